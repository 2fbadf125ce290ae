//! The counters that the gateway's loop increments: resolved once for each configuration, so that no message looks one up.

use prometheus::IntCounter;

use crate::domain::definitions::Definitions;
use crate::domain::profile::decoder::Decoder;
use crate::metrics::Metrics;

/// Counters for each profile, in the decoder's order.
pub(super) fn profile_counters(decoder: &Decoder, metrics: &Metrics) -> Vec<[IntCounter; 3]> {
    let names = decoder.profiles();
    names.map(|name| metrics.profile_messages(name)).collect()
}

/// A counter for each kind, in the decoder's order.
pub(super) fn reading_counters(definitions: &Definitions, metrics: &Metrics) -> Vec<IntCounter> {
    let kinds = definitions.source().kinds.iter();
    kinds.map(|kind| metrics.readings(&kind.id)).collect()
}

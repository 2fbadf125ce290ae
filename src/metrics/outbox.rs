//! Meters of what waits in the outbox.

use prometheus::{IntGauge, IntGaugeVec, Registry};

use crate::meters::gauges;

/// Notices that have not been delivered, by target.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    pending: IntGaugeVec,
    refused: IntGaugeVec,
}

impl Outbox {
    pub(super) fn new(registry: &Registry) -> Outbox {
        Outbox {
            pending: gauges(
                registry,
                "ninewatch_notices_pending",
                "Notices in the outbox that their target has not got yet.",
                &["target"],
            ),
            refused: gauges(
                registry,
                "ninewatch_notices_refused",
                "Of those, the ones that the target has refused: tried again now and then.",
                &["target"],
            ),
        }
    }

    pub(super) fn pending(&self, target: &str) -> IntGauge {
        self.pending.with_label_values(&[target])
    }

    pub(super) fn refused(&self, target: &str) -> IntGauge {
        self.refused.with_label_values(&[target])
    }
}

//! Asking an edge node to say everything anew: the command `Node Control/Rebirth`, and how often it may be sent.

use prost::Message as _;

use super::topic::NAMESPACE;
use super::wire::{BOOLEAN, Metric, Payload, Value};
use crate::domain::profile::command::Outgoing;
use crate::domain::time::{Millis, Ticks, Timestamp};

/// How long the first request has for its answer; each further one has twice as long, up to [`MOST_WAIT`].
const FIRST_WAIT: Millis = Millis(1_000);

/// The longest time between two requests.
const MOST_WAIT: Millis = Millis(64_000);

/// The message that asks the edge node for a rebirth.
pub(super) fn request(group: &str, edge: &str, now: Timestamp) -> Outgoing {
    let payload = Payload {
        timestamp: u64::try_from(now.0).ok(),
        metrics: vec![Metric {
            name: Some("Node Control/Rebirth".to_owned()),
            datatype: Some(BOOLEAN),
            value: Some(Value::Bool(true)),
            ..Metric::default()
        }],
        seq: None,
    };
    Outgoing {
        topic: format!("{NAMESPACE}/{group}/NCMD/{edge}"),
        payload: payload.encode_to_vec(),
    }
}

/// When an edge node was last asked, and how long it has to answer.
#[derive(Debug, Default)]
pub(super) struct Asked(Option<(Ticks, Millis)>);

impl Asked {
    /// Whether to ask now: at once when it was not asked lately, else with growing patience. A birth does not end
    /// that: a node whose births leave it in doubt must not be asked without end.
    pub(super) fn again(&mut self, now: Ticks) -> bool {
        let wait = match self.0 {
            None => FIRST_WAIT,
            Some((at, wait)) if now.since(at) < wait => return false,
            Some((at, _)) if now.since(at).0 >= MOST_WAIT.0.saturating_mul(2) => FIRST_WAIT,
            Some((_, wait)) => Millis(wait.0.saturating_mul(2).min(MOST_WAIT.0)),
        };
        self.0 = Some((now, wait));
        true
    }
}

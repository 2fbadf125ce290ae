//! Meters of what is sent past the outbox, and so is no delivery.

use prometheus::{IntCounter, IntCounterVec, Registry};

use crate::meters::counters;

/// What is told again to a target that forgets, and heartbeats.
#[derive(Debug, Clone)]
pub struct PastOutbox {
    resends: IntCounterVec,
    heartbeats: IntCounterVec,
}

impl PastOutbox {
    pub(super) fn new(registry: &Registry) -> PastOutbox {
        PastOutbox {
            resends: counters(
                registry,
                "ninewatch_alert_resends_total",
                "Requests that told an Alertmanager again what stands, by target and result (delivered, failed).",
                &["target", "result"],
            ),
            heartbeats: counters(
                registry,
                "ninewatch_heartbeats_total",
                "Heartbeats, by target and result (delivered, failed, skipped: the pipeline did not move, or the target was not ready).",
                &["target", "result"],
            ),
        }
    }

    /// The counter of requests that told `target` again what stands; resolve once, keep.
    pub fn resends(&self, target: &str, result: &str) -> IntCounter {
        self.resends.with_label_values(&[target, result])
    }

    /// The counter of heartbeats to `target`.
    pub fn heartbeats(&self, target: &str, result: &str) -> IntCounter {
        self.heartbeats.with_label_values(&[target, result])
    }
}

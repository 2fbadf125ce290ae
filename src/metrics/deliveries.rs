//! Meters of deliveries: attempts, and why they failed.

use prometheus::{IntCounter, IntCounterVec, Registry};

use crate::meters::counters;

/// Attempts to deliver, by target.
#[derive(Debug, Clone)]
pub(super) struct Deliveries {
    results: IntCounterVec,
    failures: IntCounterVec,
}

impl Deliveries {
    pub(super) fn new(registry: &Registry) -> Deliveries {
        Deliveries {
            results: counters(
                registry,
                "ninewatch_deliveries_total",
                "Attempts to deliver a notice, by target and result.",
                &["target", "result"],
            ),
            failures: counters(
                registry,
                "ninewatch_delivery_failures_total",
                "Failed attempts to tell a target something, by target and reason (away, throttled, refused, reader, configuration, clock, store).",
                &["target", "reason"],
            ),
        }
    }

    pub(super) fn result(&self, target: &str, result: &str) -> IntCounter {
        self.results.with_label_values(&[target, result])
    }

    pub(super) fn failure(&self, target: &str, reason: &str) -> IntCounter {
        self.failures.with_label_values(&[target, reason])
    }
}

//! Faults, injected into the real binary among real servers, and a ledger that shows what became of every message.
//! `tests/faults.sh` runs them all at full scale and writes the table in docs/reliability.md.

#![cfg(test)]

mod broker;
mod clock;
mod crash;
mod damage;
mod disk;
mod load;
mod moments;
mod postgres;
mod proxy;
#[path = "../support/mod.rs"]
mod support;
mod webhook;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::interval;

use support::gateway::Gateway;
use support::ledger::publish;
use support::publisher::Publisher;
use support::{PATIENCE, eventually};

/// The broker as `deploy/mosquitto.conf` sets it up, as far as faults have to do with it, with a narrower window.
const BROKER: &str = "max_inflight_messages 1000";

/// The same with sessions and queues that survive its end.
const PERSISTENT: &str =
    "max_inflight_messages 1000\npersistence true\nautosave_on_changes true\nautosave_interval 1";

/// A steady stream: 300 messages a second or so.
const PACE: Duration = Duration::from_millis(3);

/// Publishes until `stopped` turns true.
async fn publish_until(devices: &mut Publisher, mut stopped: watch::Receiver<bool>) {
    let mut pace = interval(PACE);
    while !*stopped.borrow_and_update() {
        pace.tick().await;
        publish(devices).await;
    }
}

/// Publishes all the time that `work` takes.
async fn under_stream<T>(devices: &mut Publisher, work: impl Future<Output = T>) -> T {
    let (stop, stopped) = watch::channel(false);
    let working = async {
        let outcome = work.await;
        stop.send_replace(true);
        outcome
    };
    tokio::join!(publish_until(devices, stopped), working).1
}

/// Waits until the gateway has acknowledged so many messages more.
async fn flowing(gateway: &Gateway, more: u64) {
    const ACKNOWLEDGED: &str = "ninewatch_messages_acknowledged_total";
    let before = gateway.metric(ACKNOWLEDGED, &[]).await;
    eventually("messages are taken and acknowledged", PATIENCE, async || {
        (gateway.metric(ACKNOWLEDGED, &[]).await >= before + more).then_some(())
    })
    .await;
}

/// A number from the environment, or `default`: how large `tests/faults.sh` wants a case.
fn scale(name: &str, default: u32) -> u32 {
    match std::env::var(name) {
        Ok(value) => value
            .parse()
            .unwrap_or_else(|error| panic!("{name}={value:?} is no number: {error}")),
        Err(_) => default,
    }
}

//! The broker and the line to it: killed, without its sessions, frozen, cut, slow, not there. The gateway notices,
//! comes back by itself, and nothing is missing.

use std::time::Duration;

use crate::support::gateway::Gateway;
use crate::support::ledger::{Ledger, publish};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Line, Proxy};
use crate::support::publisher::Publisher;
use crate::support::sink::Sink;
use crate::{BROKER, PERSISTENT, flowing, scale, under_stream};

/// Messages before each fault: it comes into a stream at work.
const SOME: u64 = 100;

fn times() -> u32 {
    scale("NINEWATCH_FAULTS", 3)
}

/// Gateways here notice a silent broker after some seconds.
fn prepare(port: u16, sink: &Sink) -> Gateway {
    let session = r#"client_id = "ninewatch-test""#;
    Gateway::prepare(port, &sink.url()).edited(session, &format!("{session}\nkeep_alive = \"2s\""))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_that_keeps_its_sessions() {
    let mut ledger = Ledger::of("broker killed and started, sessions on disk").with_a_forgetful_broker();
    let mut broker = Mosquitto::start(PERSISTENT);
    let sink = Sink::start();
    let mut gateway = prepare(broker.port, &sink).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for _ in 0..times() {
            flowing(&gateway, SOME).await;
            broker.kill();
            ledger.inject();
            gateway.wait_unready().await;
            broker.resume();
            ledger.recovering(gateway.wait_ready()).await;
        }
        // What is published now comes after all that the broker may have forgotten.
        flowing(&gateway, SOME).await;
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// What waited in such a broker is gone with it, and so are the subscriptions: they are made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_lost_its_sessions() {
    let mut ledger = Ledger::of("broker restarted without its sessions");
    let mut broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = prepare(broker.port, &sink).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    for _ in 0..times() {
        for _ in 0..SOME {
            publish(&mut devices).await;
        }
        devices.flush().await;
        gateway.wait_acknowledged(devices.published()).await;
        broker.kill();
        ledger.inject();
        gateway.wait_unready().await;
        broker.resume();
        ledger.recovering(gateway.wait_ready()).await;
    }
    for _ in 0..SOME {
        publish(&mut devices).await;
    }
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still() {
    let mut ledger = Ledger::of("broker process frozen (SIGSTOP)");
    let broker = Mosquitto::start(BROKER);
    let sink = Sink::start();
    let mut gateway = prepare(broker.port, &sink).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for _ in 0..times() {
            flowing(&gateway, SOME).await;
            broker.signal("STOP");
            ledger.inject();
            gateway.wait_unready().await;
            broker.signal("CONT");
            ledger.recovering(gateway.wait_ready()).await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_line() {
    until_noticed("line to the broker silent", Line::Freeze).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there() {
    until_noticed("connections to the broker refused", Line::Refuse).await;
}

/// The line turns bad until the gateway has noticed, then good again.
async fn until_noticed(fault: &'static str, bad: Line) {
    let mut ledger = Ledger::of(fault);
    let broker = Mosquitto::start(BROKER);
    let mut proxy = Proxy::start(broker.port);
    let sink = Sink::start();
    let mut gateway = prepare(proxy.port, &sink).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for _ in 0..times() {
            flowing(&gateway, SOME).await;
            proxy.set(bad).await;
            ledger.inject();
            gateway.wait_unready().await;
            proxy.set(Line::Pass).await;
            ledger.recovering(gateway.wait_ready()).await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_in_mid_stream() {
    let mut ledger = Ledger::of("connection to the broker reset in mid-stream");
    let broker = Mosquitto::start(BROKER);
    let mut proxy = Proxy::start(broker.port);
    let sink = Sink::start();
    let mut gateway = prepare(proxy.port, &sink).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for _ in 0..times() * 4 {
            flowing(&gateway, SOME).await;
            proxy.set(Line::Reset).await;
            ledger.inject();
            proxy.set(Line::Pass).await;
            ledger.recovering(flowing(&gateway, 1)).await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// The connection ends after so many bytes, wherever that is in a packet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_torn_in_their_middle() {
    let mut ledger = Ledger::of("connection to the broker torn inside a packet");
    let broker = Mosquitto::start(BROKER);
    let mut proxy = Proxy::start(broker.port);
    let sink = Sink::start();
    let mut gateway = prepare(proxy.port, &sink).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    under_stream(&mut devices, async {
        for time in 0..times() as usize * 4 {
            flowing(&gateway, SOME).await;
            // Not a multiple of any packet's length.
            proxy.set(Line::Tear(1_000 + time * 37)).await;
            gateway.wait_unready().await;
            ledger.inject();
            proxy.set(Line::Pass).await;
            ledger.recovering(gateway.wait_ready()).await;
        }
    })
    .await;
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

/// Less than the devices send, and late: the broker keeps the rest until the line is good again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line() {
    let mut ledger = Ledger::of("line to the broker slow or late");
    let broker = Mosquitto::start(BROKER);
    let mut proxy = Proxy::start(broker.port);
    let sink = Sink::start();
    let mut gateway = prepare(proxy.port, &sink).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    for line in [Line::Throttle(15_000), Line::Delay(Duration::from_millis(150))] {
        for _ in 0..times() {
            under_stream(&mut devices, async {
                proxy.set(line).await;
                ledger.inject();
                flowing(&gateway, SOME * 3).await;
                proxy.set(Line::Pass).await;
            })
            .await;
            devices.flush().await;
            ledger
                .recovering(gateway.wait_acknowledged(devices.published()))
                .await;
        }
    }
    ledger.settle(&mut gateway, &devices, &[&sink]).await;
}

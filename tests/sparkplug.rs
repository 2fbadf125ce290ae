//! Sparkplug B with the real binary and a real broker: a node that was not heard from the beginning is asked for its
//! birth, and what it says then raises an alarm; its death makes its devices offline.

#![cfg(test)]

mod support;

use support::gateway::{Gateway, write};
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::Sink;
use support::subscriber::Subscriber;
use support::{PATIENCE, eventually};

/// By hand from the specification's field numbers: a metric `bdSeq` of 3, seq 0.
const NBIRTH: &[u8] = b"\x12\x0b\x0a\x05bdSeq\x20\x04\x58\x03\x18\x00";

/// The same without a seq.
const NDEATH: &[u8] = b"\x12\x0b\x0a\x05bdSeq\x20\x04\x58\x03";

/// A metric `Gas/LEL`, alias 7, datatype 10, a double of 1; seq 1.
const DBIRTH: &[u8] = b"\x12\x16\x0a\x07Gas/LEL\x10\x07\x20\x0a\x69\0\0\0\0\0\0\xf0\x3f\x18\x01";

/// Alias 7, a double of 60; seq 2.
const DDATA: &[u8] = b"\x12\x0b\x10\x07\x69\0\0\0\0\0\0\x4e\x40\x18\x02";

const PROFILE: &str = "[profile]\nname = \"plant\"\ncodec = \"sparkplug_b\"\n\n\
                       [[metric]]\nname = \"Gas/LEL\"\nkind = \"gas_detector\"\npoint = \"lel\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_asked_for_its_birth_and_then_believed() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url())
        .with_shipped_rules()
        .edited("[files]\n", "[files]\nprofiles = [\"plant.toml\"]\n");
    write(&gateway.folder().join("plant.toml"), PROFILE);
    let gateway = gateway.start().await;
    let commands = Subscriber::start(broker.port, "node", "spBv1.0/plant/NCMD/e1").await;
    let mut node = Publisher::start(broker.port, "edge");

    node.publish("spBv1.0/plant/DDATA/e1/g1", DDATA).await;
    let asked = commands.wait_for(1).await;
    assert!(!asked[0].retain);
    let name = b"Node Control/Rebirth";
    assert!(
        asked[0].payload.windows(name.len()).any(|part| part == name),
        "{:?}",
        asked[0]
    );
    assert_eq!(
        gateway
            .metric("ninewatch_dead_letters_total", &["reason=\"no_birth\""])
            .await,
        1
    );

    node.publish("spBv1.0/plant/NBIRTH/e1", NBIRTH).await;
    node.publish("spBv1.0/plant/DBIRTH/e1/g1", DBIRTH).await;
    node.publish("spBv1.0/plant/DDATA/e1/g1", DDATA).await;
    let raised = sink
        .wait_for("alarm.raised", "gas-high", "plant/e1/g1")
        .await
        .json();
    assert_eq!(raised["alarm"]["values"]["lel"], 60.0);

    node.publish("spBv1.0/plant/NDEATH/e1", NDEATH).await;
    eventually("the device is offline", PATIENCE, async || {
        let offline = ["kind=\"gas_detector\"", "presence=\"offline\""];
        (gateway.metric("ninewatch_devices", &offline).await == 1).then_some(())
    })
    .await;
}

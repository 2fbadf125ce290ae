//! A webhook that fails in every way for long: its messages wait in the outbox and come with the same ids once it is
//! back, and another target gets its own meanwhile.

use crate::support::gateway::Gateway;
use crate::support::ledger::Ledger;
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Line, Proxy};
use crate::support::publisher::Publisher;
use crate::support::sink::{Mood, Sink};
use crate::support::{PATIENCE, eventually};
use crate::{BROKER, flowing, scale, under_stream};

const SOME: u64 = 60;
/// Notices that the other target gets meanwhile.
const TOLD: usize = 60;
const FAILED: &str = r#"result="failed""#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_500() {
    fails("webhook answers 500", Mood::Refuse(500), Line::Pass).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_answers() {
    fails("webhook never answers", Mood::Hang, Line::Pass).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_every_connection() {
    fails("webhook resets every connection", Mood::Accept, Line::Reset).await;
}

/// The sink has taken the message and the gateway cannot know: it comes again, under the same id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_by_half() {
    fails(
        "webhook takes it, its answer breaks off",
        Mood::Accept,
        Line::Tear(9),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_not_there() {
    fails("webhook refuses connections", Mood::Accept, Line::Refuse).await;
}

async fn fails(fault: &'static str, mood: Mood, line: Line) {
    let failures = u64::from(scale("NINEWATCH_FAILURES", 20));
    let mut ledger = Ledger::of(fault);
    let broker = Mosquitto::start(BROKER);
    let (duty, deputy) = (Sink::start(), Sink::start());
    let mut proxy = Proxy::start(duty.port);
    let mut gateway = prepare(broker.port, &proxy, &deputy).start().await;
    let mut devices = Publisher::start(broker.port, "devices");
    let failed = async |gateway: &Gateway| gateway.metric("ninewatch_deliveries_total", &[FAILED]).await;
    under_stream(&mut devices, async {
        flowing(&gateway, SOME).await;
        duty.set(mood);
        proxy.set(line).await;
        ledger.inject();
        let (before, told) = (failed(&gateway).await, deputy.delivered().len());
        eventually("the target fails for long", PATIENCE * 4, async || {
            (failed(&gateway).await >= before + failures).then_some(())
        })
        .await;
        eventually("the other target is told meanwhile", PATIENCE, async || {
            (deputy.delivered().len() > told + TOLD).then_some(())
        })
        .await;
        duty.set(Mood::Accept);
        proxy.set(Line::Pass).await;
    })
    .await;
    let delivered = eventually("nothing waits any more", PATIENCE * 4, async || {
        (gateway.metric("ninewatch_notices_pending", &[]).await == 0).then_some(())
    });
    ledger.recovering(delivered).await;
    ledger.settle(&mut gateway, &devices, &[&duty, &deputy]).await;
    duty.assert_all_signed();
    deputy.assert_all_signed();
}

/// A gateway with two targets: the duty officer behind the proxy, and a deputy.
fn prepare(mqtt_port: u16, proxy: &Proxy, deputy: &Sink) -> Gateway {
    let second = format!(
        "timeout = \"1s\"\n\n[[target]]\nname = \"deputy\"\nkind = \"webhook\"\nurl = \"{}\"\nsecret_file = \"hook.secret\"",
        deputy.url()
    );
    let secret = r#"secret_file = "hook.secret""#;
    Gateway::prepare(mqtt_port, &format!("http://127.0.0.1:{}/hook", proxy.port))
        .edited(secret, &format!("{secret}\n{second}"))
        .edited(r#"targets = ["duty"]"#, r#"targets = ["duty", "deputy"]"#)
}

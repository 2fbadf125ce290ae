//! Ten thousand alarms at once: all fire in a real Alertmanager, are told again in bounded requests, and keep no new one
//! waiting.

use std::path::Path;
use std::time::Duration;

use ninewatch::config::{AlertmanagerSettings, NetworkSettings, Secret, TargetKind, TargetSettings};
use ninewatch::domain::alarm::AlarmState;
use ninewatch::domain::notice::{AlarmBody, EventBody};
use ninewatch::domain::officer::Language;
use ninewatch::domain::registry::Registry;
use ninewatch::handoff::AlarmCommit;
use ninewatch::notify::Notify;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::outward::{TestStore, step};
use crate::support::alertmanager::Alertmanager;
use crate::support::{PATIENCE, eventually};

const MANY: u64 = 10_000;

fn raised(number: u64) -> AlarmCommit {
    let commit = step(number, number, AlarmState::ActiveUnacknowledged, &["am"]);
    let registry = Registry::default();
    let shown = AlarmBody::new(&commit.event.alarm, &registry);
    let body = EventBody::new(&commit.event, &shown, "test-01", "http://gw.example");
    AlarmCommit {
        alarm: serde_json::to_string(&shown).unwrap(),
        body: serde_json::to_string(&body).unwrap(),
        ..commit
    }
}

fn deliveries(folder: &Path) -> i64 {
    let database = rusqlite::Connection::open(folder.join("ninewatch.db")).unwrap();
    database
        .query_row("SELECT count(*) FROM delivery", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_alarms_fire_and_keep_no_new_one_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let alertmanager = Alertmanager::silent().await;
    let target = TargetSettings {
        name: "am".to_owned(),
        kind: TargetKind::Alertmanager(AlertmanagerSettings {
            language: Language::Zh,
            resend: Duration::from_secs(1),
            hold: Duration::from_hours(1),
        }),
        url: Secret::new(alertmanager.url()),
        secret: None,
        timeout: Duration::from_secs(10),
        fall_over: Duration::from_secs(15),
        acknowledges: false,
        network: NetworkSettings::default(),
    };
    let notify = Notify {
        targets: vec![target],
        vocabulary: ninewatch::words::InForce::default(),
        links: store.links.clone(),
        reader: store.reader.clone(),
        work: store.work.clone(),
        operators: mpsc::channel(1).0,
        committed: store.committed.clone(),
        metrics: store.metrics.clone(),
        clock: store.clock,
    };
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(notify.run(stop.clone()));
    for first in (0..MANY).step_by(500) {
        store.commit((first..first + 500).map(raised).collect()).await;
    }
    eventually("all fire", PATIENCE * 2, async || {
        let firing = u64::try_from(alertmanager.firing().await.len()).ok()?;
        (firing == MANY).then_some(())
    })
    .await;
    let resends = store.metrics.past_outbox.resends("am", "delivered");
    let rounds = resends.get();
    // Each request has 200 at the most.
    eventually("all are told again", PATIENCE * 2, async || {
        (resends.get() >= rounds + 2 * MANY / 200).then_some(())
    })
    .await;
    store.commit(vec![raised(MANY)]).await;
    alertmanager.wait_firing("gas-high", &format!("g{MANY}")).await;
    assert!(
        deliveries(folder.path()) < 500,
        "what is told again is no delivery"
    );
    assert_eq!(store.metrics.past_outbox.resends("am", "failed").get(), 0);
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap().unwrap();
    }
}

//! What holds for every kind of target: over each transport, and against servers that are slow, silent, cut short or endless;
//! for those that speak HTTP here, for e-mail in `mail`. What is delivered is what the server took; errors name no address.

mod fault;
mod limits;
mod mail;
mod mail_fault;
mod proxy;
mod relay;
mod server;

use std::path::Path;

use axum::http::Version;
use ninewatch::config::{AlertmanagerSettings, RobotSettings, Service};
use ninewatch::domain::officer::Language;
use ninewatch::domain::rule::Priority;
use rustls::pki_types::CertificateDer;

use self::fault::{FAULTS, Fault, Faulty};
use self::proxy::Proxy;
use self::relay::Relay;
use self::server::{Server, Speech};
use super::alertmanager::told;
use super::people::column;
use super::*;

/// Makes the settings of a kind.
type Make = fn() -> TargetKind;

/// Every kind that speaks HTTP.
const KINDS: [(&str, Make); 6] = [
    ("webhook", || TargetKind::Webhook),
    ("alertmanager", alertmanager),
    ("alertmanager-body", || {
        TargetKind::AlertmanagerWebhook(Language::Zh)
    }),
    ("wecom", || robot(Service::Wecom)),
    ("dingtalk", || robot(Service::Dingtalk)),
    ("feishu", || robot(Service::Feishu)),
];

/// What each kind takes for success.
const TAKEN: &str = r#"{"errcode":0,"code":0}"#;

fn robot(service: Service) -> TargetKind {
    TargetKind::Robot(RobotSettings {
        service,
        mention_all: false,
        language: Language::Zh,
        template: None,
    })
}

/// It is told each alarm once, as far as these tests go.
fn alertmanager() -> TargetKind {
    TargetKind::Alertmanager(AlertmanagerSettings {
        language: Language::Zh,
        resend: Duration::from_hours(1),
        hold: Duration::from_hours(2),
    })
}

/// The settings of a target of this kind.
fn of_kind(name: &str, kind: TargetKind, url: String) -> TargetSettings {
    TargetSettings {
        kind,
        url: Secret::new(url),
        secret: None,
        ..target(name, SocketAddr::from(([127, 0, 0, 1], 1)))
    }
}

fn trusting(authority: &CertificateDer<'static>) -> NetworkSettings {
    NetworkSettings {
        authorities: vec![authority.clone()],
        ..NetworkSettings::default()
    }
}

/// `target: error` of every failed attempt, sorted.
fn errors(folder: &Path) -> Vec<String> {
    column(
        folder,
        "SELECT target || ': ' || error FROM delivery WHERE error IS NOT NULL ORDER BY 1",
    )
}

/// Sends one alarm to all of these targets, and waits until all have it.
async fn tell(store: &TestStore, number: u64, targets: &[TargetSettings]) {
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    let critical = (AlarmState::ActiveUnacknowledged, Priority::Critical);
    store.commit(vec![told(number, number, critical, &names)]).await;
    for name in names {
        all_delivered(store, name).await;
    }
}

/// Nothing else has come, but for what an Alertmanager is told again past the outbox, the first time at once.
fn nothing_more(server: &mut Server) {
    while let Ok(got) = server.got.try_recv() {
        assert!(got.body.starts_with('['), "something came twice: {}", got.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_is_delivered_over_http_1_and_2() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (mut servers, mut targets) = (Vec::new(), Vec::new());
    for (kind, settings_of) in KINDS {
        for (speech, version) in [
            (Speech::Plain, Version::HTTP_11),
            (Speech::Http1, Version::HTTP_11),
            (Speech::Http2, Version::HTTP_2),
        ] {
            let server = Server::start(speech, |_| (200, TAKEN.to_owned())).await;
            let mut settings = of_kind(
                &format!("{kind}-{speech:?}"),
                settings_of(),
                server.url("localhost"),
            );
            settings.network = trusting(&server.authority);
            targets.push(settings);
            servers.push((server, version));
        }
    }
    let running = Running::start(&store, targets.clone());
    for number in 1..=2 {
        tell(&store, number, &targets).await;
    }
    running.stop().await;
    for (mut server, version) in servers {
        for _ in 0..2 {
            let got = server.got.try_recv().unwrap();
            assert_eq!(got.version, version);
            assert!(serde_json::from_str::<serde_json::Value>(&got.body).is_ok());
        }
        nothing_more(&mut server);
    }
    assert_eq!(errors(folder.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_no_trusted_authority_vouches_for_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut server = Server::start(Speech::Http2, |_| (200, TAKEN.to_owned())).await;
    let other = Server::start(Speech::Http2, |_| (200, TAKEN.to_owned())).await;
    let mut mistaken = of_kind("other-authority", TargetKind::Webhook, server.url("localhost"));
    mistaken.network = trusting(&other.authority);
    // The certificate is for localhost and 127.0.0.1.
    let mut elsewhere = of_kind("other-name", TargetKind::Webhook, server.url("127.0.0.2"));
    elsewhere.network = trusting(&server.authority);
    let system = of_kind("system", TargetKind::Webhook, server.url("localhost"));
    let targets = vec![mistaken, elsewhere, system];
    let running = Running::start(&store, targets);
    let names = ["other-authority", "other-name", "system"];
    store.commit(vec![raised(1, 1, &names)]).await;
    for name in names {
        failures(&store, name, 1).await;
    }
    running.stop.cancel();
    assert!(server.got.try_recv().is_err(), "it was told");
}

/// Each server misbehaves on its first connection, and then works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_on_the_way_is_told_apart_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (mut servers, mut targets, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (kind, settings_of) in KINDS {
        for (fault, of_webhook, of_robot) in FAULTS {
            let server = Faulty::start(fault).await;
            let name = format!("{kind}-{fault:?}");
            let mut settings = of_kind(
                &name,
                settings_of(),
                format!("http://{}/private-path", server.address),
            );
            // A deadline that is not meant to be met must not be met on a slow machine either.
            settings.timeout = Duration::from_mins(5);
            if fault.is_late() {
                settings.timeout = Duration::from_secs(3);
            }
            if fault.is_silent() {
                settings.network.read_timeout = Some(Duration::from_millis(1_500));
            }
            let robot = matches!(settings.kind, TargetKind::Robot(_));
            let error = if robot { of_robot } else { of_webhook };
            expected.extend(error.map(|error| format!("{name}: {error}")));
            targets.push(settings);
            servers.push(server);
        }
    }
    let running = Running::start(&store, targets.clone());
    tell(&store, 1, &targets).await;
    running.stop().await;
    expected.sort();
    assert_eq!(errors(folder.path()), expected);
}

/// It takes connections, and says nothing when it is greeted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_has_a_deadline_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let server = Faulty::start(Fault::Unread).await;
    let url = format!("https://{}/private-path", server.address);
    let mut settings = of_kind("duty", TargetKind::Webhook, url);
    settings.timeout = Duration::from_mins(5);
    settings.network.connect_timeout = Some(Duration::from_millis(200));
    let running = Running::start(&store, vec![settings]);
    store.commit(vec![raised(1, 1, &["duty"])]).await;
    failures(&store, "duty", 1).await;
    running.stop.cancel();
}

/// A connection that is kept, and dies without a word, as behind a router that forgets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_died_unnoticed_costs_one_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (mut relays, mut targets) = (Vec::new(), Vec::new());
    for (kind, settings_of) in KINDS {
        for speech in [Speech::Http1, Speech::Http2] {
            let server = Server::start(speech, |_| (200, TAKEN.to_owned())).await;
            let relay = Relay::start(server.address).await;
            let url = format!("https://localhost:{}/hook", relay.address.port());
            let mut settings = of_kind(&format!("{kind}-{speech:?}"), settings_of(), url);
            settings.network = trusting(&server.authority);
            settings.timeout = Duration::from_secs(3);
            targets.push(settings);
            relays.push((relay, server));
        }
    }
    let running = Running::start(&store, targets.clone());
    tell(&store, 1, &targets).await;
    for (relay, _) in &relays {
        relay.freeze();
    }
    tell(&store, 2, &targets).await;
    running.stop().await;
    for settings in &targets {
        let failed = store.metrics.deliveries(&settings.name, "failed").get();
        assert_eq!(failed, 1, "{}", settings.name);
    }
    for (relay, mut server) in relays {
        assert_eq!(relay.connections(), 2);
        assert!(server.got.try_recv().is_ok() && server.got.try_recv().is_ok());
        nothing_more(&mut server);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_proxy_the_proxy_finds_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let (mut servers, mut targets) = (Vec::new(), Vec::new());
    for (kind, settings_of) in KINDS {
        for speech in [Speech::Plain, Speech::Http1, Speech::Http2] {
            let server = Server::start(speech, |_| (200, TAKEN.to_owned())).await;
            // No other than the proxy knows this name; the certificate is for it too.
            let proxy = Proxy::start("hook.invalid", server.address).await;
            let mut settings = of_kind(
                &format!("{kind}-{speech:?}"),
                settings_of(),
                server.url("hook.invalid"),
            );
            settings.network = trusting(&server.authority);
            settings.network.proxy = Some(Secret::new(format!("http://gate%40way:p%3Aw@{}", proxy.address)));
            targets.push(settings);
            servers.push((server, proxy, speech));
        }
    }
    let running = Running::start(&store, targets.clone());
    tell(&store, 1, &targets).await;
    running.stop().await;
    assert_eq!(errors(folder.path()), Vec::<String>::new());
    for (mut server, proxy, speech) in servers {
        assert_eq!(server.got.try_recv().unwrap().version, speech.version());
        nothing_more(&mut server);
        assert_eq!(proxy.refused(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_refuses_is_an_error_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut targets = Vec::new();
    let plain = Server::start(Speech::Plain, |_| (200, TAKEN.to_owned())).await;
    let encrypted = Server::start(Speech::Http2, |_| (200, TAKEN.to_owned())).await;
    let mut proxies = Vec::new();
    for (name, server) in [("plain", &plain), ("encrypted", &encrypted)] {
        let proxy = Proxy::start("hook.invalid", server.address).await;
        let mut settings = of_kind(name, TargetKind::Webhook, server.url("hook.invalid"));
        settings.network = trusting(&server.authority);
        settings.network.proxy = Some(Secret::new(format!("http://gateway:hunter2@{}", proxy.address)));
        targets.push(settings);
        proxies.push(proxy);
    }
    let running = Running::start(&store, targets);
    store.commit(vec![raised(1, 1, &["plain", "encrypted"])]).await;
    let both = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            let mut errors = errors(folder.path());
            errors.dedup();
            if errors.len() == 2 {
                return errors;
            }
        }
    };
    assert_eq!(
        within("both errors", both).await,
        [
            "encrypted: cannot connect to the target",
            "plain: the target answered HTTP 407"
        ]
    );
    running.stop.cancel();
    assert!(proxies.iter().all(|proxy| proxy.refused() > 0));
}

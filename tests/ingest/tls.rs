//! Ingest over TLS and mutual TLS against a real mosquitto, with certificates made for each test.

use std::fs;
use std::path::Path;

use ninewatch::config::{BrokerUrl, MqttSettings, MqttTls};
use ninewatch::ingest::IngestError;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::mosquitto::Mosquitto;
use crate::running::{Running, eventually, settings};

const TLS_LISTENER: &str = "cafile {folder}/ca.pem\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n\
                            log_type all";

/// Writes a new authority `{name}.pem`, and a certificate of its for each of `holders`, into `folder`.
fn authority(folder: &Path, name: &str, holders: &[(&str, ExtendedKeyUsagePurpose)]) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    write(folder, &format!("{name}.pem"), &certificate.pem());
    let issuer = Issuer::new(params, key);
    for (holder, usage) in holders {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, *holder);
        params.extended_key_usages = vec![usage.clone()];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        write(folder, &format!("{holder}.pem"), &certificate.pem());
        write(folder, &format!("{holder}.key"), &key.serialize_pem());
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("a file in the broker's folder");
}

fn certificates(folder: &Path) {
    let server = ("server", ExtendedKeyUsagePurpose::ServerAuth);
    let gateway = ("gateway", ExtendedKeyUsagePurpose::ClientAuth);
    authority(folder, "ca", &[server, gateway]);
    let stranger = ("stranger", ExtendedKeyUsagePurpose::ClientAuth);
    authority(folder, "other-ca", &[stranger]);
}

/// Settings for TLS to `broker`, with files of its folder.
fn tls(broker: &Mosquitto, ca: &str, identity: Option<&str>) -> MqttSettings {
    let file = |name: String| broker.folder().join(name);
    let mut settings = settings(broker.port);
    settings.url = BrokerUrl::Remote {
        host: "localhost".to_owned(),
        port: broker.port,
        tls: true,
    };
    settings.tls = MqttTls {
        ca_file: Some(file(format!("{ca}.pem"))),
        cert_file: identity.map(|name| file(format!("{name}.pem"))),
        key_file: identity.map(|name| file(format!("{name}.key"))),
    };
    settings
}

#[tokio::test]
async fn tls_to_a_broker_of_a_known_authority() {
    let broker = Mosquitto::start_with(TLS_LISTENER, certificates);
    let running = Running::start(tls(&broker, "ca", None), 64);
    running.up().await;
    running.stop().await;
    eventually("a clean goodbye", || broker.logged("Received DISCONNECT") == 1).await;
}

#[tokio::test]
async fn a_broker_of_an_unknown_authority_gets_nothing() {
    let broker = Mosquitto::start_with(TLS_LISTENER, certificates);
    let running = Running::start(tls(&broker, "other-ca", None), 64);
    eventually("it tries again", || broker.logged("alert unknown ca") >= 2).await;
    assert!(!running.health.broker());
    assert_eq!(broker.logged("ninewatch-test"), 0);
}

#[tokio::test]
async fn a_broker_of_another_name_gets_nothing() {
    let broker = Mosquitto::start_with(TLS_LISTENER, certificates);
    let mut settings = tls(&broker, "ca", None);
    settings.url = BrokerUrl::Remote {
        host: "127.0.0.1".to_owned(),
        port: broker.port,
        tls: true,
    };
    let running = Running::start(settings, 64);
    eventually("it tries again", || broker.logged("alert bad certificate") >= 2).await;
    assert!(!running.health.broker());
}

#[tokio::test]
async fn mutual_tls_lets_in_only_who_has_a_certificate() {
    let lines = format!("{TLS_LISTENER}\nrequire_certificate true\nuse_identity_as_username true");
    let broker = Mosquitto::start_with(&lines, certificates);
    let nobody = Running::start(tls(&broker, "ca", None), 64);
    eventually("no certificate is refused", || {
        broker.logged("peer did not return a certificate") >= 2
    })
    .await;
    assert!(!nobody.health.broker());
    nobody.stop().await;
    let stranger = Running::start(tls(&broker, "ca", Some("stranger")), 64);
    eventually("a foreign certificate is refused", || {
        broker.logged("certificate verify failed") >= 2
    })
    .await;
    assert!(!stranger.health.broker());
    stranger.stop().await;
    Running::start(tls(&broker, "ca", Some("gateway")), 64).up().await;
    eventually("it is known by its certificate", || {
        broker.logged("u'gateway'") > 0
    })
    .await;
}

#[tokio::test]
async fn unusable_tls_files_end_it_at_the_start() {
    let broker = Mosquitto::start_with(TLS_LISTENER, certificates);
    let missing = tls(&broker, "no-such-ca", None);
    let mut half = tls(&broker, "ca", Some("gateway"));
    half.tls.key_file = None;
    let mut mixed = tls(&broker, "ca", Some("gateway"));
    mixed.tls.key_file = Some(broker.folder().join("server.key"));
    for (settings, expected) in [
        (missing, "mqtt.ca_file"),
        (half, "belong together"),
        (mixed, "mqtt.cert_file with mqtt.key_file"),
    ] {
        let ended = Running::start(settings, 64).ended().await;
        let Err(IngestError::Settings(error)) = ended else {
            panic!("{expected}: {ended:?}");
        };
        assert!(error.to_string().contains(expected), "{error} / {expected}");
    }
}

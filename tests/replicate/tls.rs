//! PostgreSQL over TLS: a server of a known authority gets its copy, one of an unknown authority or name gets nothing.

use std::path::{Path, PathBuf};

use ninewatch::config::{Durability, PostgresSettings, PostgresTls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::follower::{Site, eventually, settings, write};
use crate::postgres::Postgres;

/// Writes an authority `ca.pem`, another one `other.pem`, and a certificate of the first for `localhost`.
fn certificates(folder: &Path) {
    for (name, signs) in [("ca", true), ("other", false)] {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        write(folder, &format!("{name}.pem"), &certificate.pem());
        if signs {
            let issuer = Issuer::new(params, key);
            let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            write(folder, "server.pem", &certificate.pem());
            write(folder, "server.key", &key.serialize_pem());
            let status = std::process::Command::new("chmod")
                .arg("600")
                .arg(folder.join("server.key"))
                .status();
            assert!(status.expect("chmod runs").success());
        }
    }
}

fn encrypted(server: &Postgres, host: &str, ca: &str) -> PostgresSettings {
    let ca: PathBuf = server.data().join(ca);
    PostgresSettings {
        server: server.url().replace("127.0.0.1", host).parse().expect("a URL"),
        tls: PostgresTls::Verified { ca_file: Some(ca) },
        ..settings(server)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_server_that_proves_its_name_gets_a_copy() {
    let lines = "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'";
    let server = Postgres::start_with(lines, certificates);
    let mut site = Site::start("g", Durability::Local);
    site.feed(3).await;
    for (host, ca) in [("localhost", "other.pem"), ("127.0.0.1", "ca.pem")] {
        let follower = site.follow(encrypted(&server, host, ca));
        eventually("it is refused", || {
            follower.metrics.replication_errors("connection").get() >= 1
        })
        .await;
        assert_eq!(
            server.rows("SELECT to_regclass('event') IS NULL"),
            ["t"],
            "{host} {ca}"
        );
    }
    let _follower = site.follow(encrypted(&server, "localhost", "ca.pem"));
    site.same(&server).await;
    let used = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'ninewatch g'";
    assert_eq!(server.rows(used), ["t"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_gets_nothing_where_it_is_wanted() {
    let server = Postgres::start_with("", certificates);
    let mut site = Site::start("g", Durability::Local);
    site.feed(1).await;
    let follower = site.follow(encrypted(&server, "localhost", "ca.pem"));
    eventually("it is refused", || {
        follower.metrics.replication_errors("connection").get() >= 1
    })
    .await;
    assert_eq!(server.rows("SELECT to_regclass('event') IS NULL"), ["t"]);
}

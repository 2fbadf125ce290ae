//! How a target is reached, with the real binary and a real broker: TLS by an authority of the site's own, HTTP/2, and whatever
//! proxies the environment names.

#![cfg(test)]

#[expect(dead_code, reason = "the contract suite uses the rest")]
#[path = "notify/contract/server.rs"]
mod server;
mod support;

use axum::http::Version;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use server::{Server, Speech};
use support::gateway::{Gateway, write};
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::{PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_of_the_sites_own_is_trusted_and_no_proxy_of_the_environment_is_heeded() {
    let mut hook = Server::start(Speech::Http2, |_| (204, String::new())).await;
    let broker = Mosquitto::start("");
    let mut gateway = Gateway::prepare(broker.port, &hook.url("localhost")).edited(
        "kind = \"webhook\"",
        "kind = \"webhook\"\nca_file = \"site-ca.pem\"",
    );
    let encoded = STANDARD.encode(&hook.authority);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
    write(&gateway.folder().join("site-ca.pem"), &pem);
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        // Nobody listens there.
        gateway.set_environment(name, "http://127.0.0.1:1");
    }
    let mut gateway = gateway.start().await;
    let mut device = Publisher::start(broker.port, "device");
    device.gas("g1", r#"{"lel":60.0}"#).await;
    let got = eventually("the hook is told", PATIENCE, async || hook.got.try_recv().ok()).await;
    assert_eq!(got.version, Version::HTTP_2);
    assert!(got.body.contains("alarm.raised"), "{}", got.body);
    assert!(gateway.terminate().await.success());
}

//! Names that change what they stand for, under a real client and real servers.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::*;
use crate::config::{NetworkSettings, Secret, TargetKind};
use crate::notify::parcel::Fault;

/// A name system that gives these answers one after the other, then none.
struct Changing(Mutex<VecDeque<Vec<IpAddr>>>);

impl Changing {
    fn new(answers: &[&[&str]]) -> Changing {
        let parsed = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Changing(Mutex::new(answers.iter().map(parsed).collect()))
    }
}

impl LookUp for Changing {
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(name, "duty.example");
        let answer = self.0.lock().await.pop_front();
        answer.ok_or_else(|| io::Error::other("no such name at 127.0.0.1"))
    }
}

/// Answers each connection's only request with 204, and counts the connections.
async fn server(servers: &mut JoinSet<()>, address: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    servers.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4_096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, count)
}

fn settings(url: String, network: NetworkSettings) -> TargetSettings {
    TargetSettings {
        name: "duty".to_owned(),
        kind: TargetKind::Webhook,
        url: Secret::new(url),
        secret: None,
        timeout: Duration::from_secs(10),
        fall_over: Duration::ZERO,
        acknowledges: false,
        network,
    }
}

fn allowing(networks: &[&str]) -> NetworkSettings {
    NetworkSettings {
        allow: networks.iter().map(|network| network.parse().unwrap()).collect(),
        ..NetworkSettings::default()
    }
}

async fn send((client, url): &(Client, Url)) -> Result<u16, SendError> {
    let sent = client.post(url.clone()).body("{}").send().await;
    sent.map(|answer| answer.status().as_u16())
        .map_err(|error| failure(&error, Duration::from_secs(10)))
}

#[tokio::test]
async fn what_a_name_stands_for_is_judged_at_every_connection() {
    let mut servers = JoinSet::new();
    let (own, allowed) = server(&mut servers, SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let (_, other) = server(&mut servers, SocketAddr::from(([127, 0, 0, 2], own.port()))).await;
    let answers = Changing::new(&[
        &["127.0.0.1"],
        // The name is bound anew between two connections.
        &["127.0.0.2"],
        &["127.0.0.2", "::ffff:127.0.0.2", "127.0.0.1"],
        &["169.254.169.254", "10.0.0.1", "::1"],
        &["127.0.0.1"],
    ]);
    let url = format!("http://duty.example:{}/hook", own.port());
    let client = client_over(&settings(url, allowing(&["127.0.0.1/32"])), answers).unwrap();
    assert_eq!(send(&client).await, Ok(204));
    assert_eq!(send(&client).await, Err(SendError::Forbidden));
    assert_eq!(send(&client).await, Ok(204), "of several only what is allowed");
    assert_eq!(send(&client).await, Err(SendError::Forbidden));
    assert_eq!(send(&client).await, Ok(204));
    assert_eq!(send(&client).await, Err(SendError::Connect), "no such name");
    assert_eq!(allowed.load(Ordering::SeqCst), 3);
    assert_eq!(other.load(Ordering::SeqCst), 0, "it was connected to");
}

#[tokio::test]
async fn the_name_of_a_proxy_is_judged_as_well() {
    let mut servers = JoinSet::new();
    let (proxy, count) = server(&mut servers, SocketAddr::from(([127, 0, 0, 1], 0))).await;
    for url in ["http://127.0.0.1:1/hook", "https://192.0.2.1/hook"] {
        let network = NetworkSettings {
            proxy: Some(Secret::new(format!("http://duty.example:{}", proxy.port()))),
            ..NetworkSettings::default()
        };
        let answers = Changing::new(&[&["127.0.0.1"]]);
        let client = client_over(&settings(url.to_owned(), network), answers).unwrap();
        assert_eq!(send(&client).await, Err(SendError::Forbidden), "{url}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_person_has_to_mend_a_name_that_leads_where_it_may_not() {
    assert_eq!(SendError::Forbidden.fault(), Fault::Configuration);
}

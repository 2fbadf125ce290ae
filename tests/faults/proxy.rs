//! The proxy itself: each kind of bad line is what it says, seen by a client and a server that echoes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::proxy::{Line, Proxy};
use crate::support::{PATIENCE, eventually};

/// Long enough to see that nothing comes.
const MOMENT: Duration = Duration::from_millis(200);

struct Bench {
    proxy: Proxy,
    _echo: JoinSet<()>,
}

impl Bench {
    async fn start() -> Bench {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut echo = JoinSet::new();
        echo.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Bench {
            proxy: Proxy::start(port),
            _echo: echo,
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.proxy.port)).await
    }
}

/// What the echo of `text` is, as far as the connection lasts.
async fn echo(stream: &mut TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .expect("an answer or an end")?;
    Ok(String::from_utf8(answer).unwrap())
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

#[tokio::test]
async fn passes_and_delays() {
    let mut bench = Bench::start().await;
    let mut client = bench.connect().await.unwrap();
    assert_eq!(echo(&mut client, "hello").await.unwrap(), "hello");
    bench.proxy.set(Line::Delay(MOMENT)).await;
    let started = Instant::now();
    assert_eq!(echo(&mut client, "later").await.unwrap(), "later");
    assert!(started.elapsed() >= MOMENT * 2, "both ways are late");
}

#[tokio::test]
async fn a_frozen_line_keeps_what_it_has_for_later() {
    let mut bench = Bench::start().await;
    let mut old = bench.connect().await.unwrap();
    echo(&mut old, "before").await.unwrap();
    bench.proxy.set(Line::Freeze).await;
    let mut new = bench.connect().await.unwrap();
    for client in [&mut old, &mut new] {
        client.write_all(b"x").await.unwrap();
        let silent = timeout(MOMENT, client.read_u8()).await;
        assert!(silent.is_err(), "no byte and no end: {silent:?}");
    }
    bench.proxy.set(Line::Pass).await;
    for client in [&mut old, &mut new] {
        let answer = timeout(PATIENCE, client.read_u8()).await.unwrap().unwrap();
        assert_eq!(answer, b'x');
    }
}

#[tokio::test]
async fn a_reset_is_no_orderly_end() {
    let mut bench = Bench::start().await;
    let mut old = bench.connect().await.unwrap();
    echo(&mut old, "before").await.unwrap();
    bench.proxy.set(Line::Reset).await;
    assert!(is_reset(&old.read_u8().await.unwrap_err()));
    let mut new = bench.connect().await.unwrap();
    assert!(is_reset(&echo(&mut new, "again").await.unwrap_err()));
    bench.proxy.set(Line::Pass).await;
    let mut client = bench.connect().await.unwrap();
    assert_eq!(echo(&mut client, "back").await.unwrap(), "back");
}

#[tokio::test]
async fn a_throttled_line_takes_its_time() {
    let mut bench = Bench::start().await;
    bench.proxy.set(Line::Throttle(10_000)).await;
    let mut client = bench.connect().await.unwrap();
    let text = "x".repeat(5_000);
    let started = Instant::now();
    assert_eq!(echo(&mut client, &text).await.unwrap(), text);
    assert!(
        started.elapsed() >= Duration::from_millis(450),
        "half a second of bytes"
    );
}

#[tokio::test]
async fn a_torn_answer_ends_in_its_middle() {
    let mut bench = Bench::start().await;
    bench.proxy.set(Line::Tear(3)).await;
    let mut client = bench.connect().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut answer = Vec::new();
    let end = timeout(PATIENCE, client.read_to_end(&mut answer)).await.unwrap();
    assert!(end.as_ref().is_err_and(is_reset), "{end:?}");
    // A reset may throw away what had come before it.
    assert!(b"hel".starts_with(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_refused_port_is_the_same_port_afterwards() {
    let mut bench = Bench::start().await;
    let mut old = bench.connect().await.unwrap();
    echo(&mut old, "before").await.unwrap();
    bench.proxy.set(Line::Refuse).await;
    assert!(
        !matches!(timeout(PATIENCE, old.read_u8()).await, Ok(Ok(_))),
        "it has ended"
    );
    let refused = bench.connect().await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    bench.proxy.set(Line::Pass).await;
    let mut client = bench.connect().await.unwrap();
    assert_eq!(echo(&mut client, "back").await.unwrap(), "back");
    drop(client);
    eventually("no connection is left", PATIENCE, async || {
        (bench.proxy.connections() == 0).then_some(())
    })
    .await;
}

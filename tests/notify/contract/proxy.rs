//! An HTTP proxy that knows one name, and lets in who has the password: it forwards what is in the clear, and makes tunnels.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Who is let in.
const LOGIN: &str = "gate@way:p:w";

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    refused: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Proxy {
    /// To it, `name` is the server at `to`, and there is nobody else.
    pub(super) async fn start(name: &'static str, to: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let refused = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&refused);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(pass(
                    stream,
                    format!("{name}:{}", to.port()),
                    to,
                    Arc::clone(&count),
                ));
            }
        });
        Proxy {
            address,
            refused,
            _server: server,
        }
    }

    /// How many requests were refused.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

async fn pass(mut client: TcpStream, name: String, to: SocketAddr, refused: Arc<AtomicUsize>) {
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        if !client.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
            return;
        }
    }
    let head = String::from_utf8_lossy(&read).into_owned();
    let login = format!("Basic {}", STANDARD.encode(LOGIN));
    let known = head.lines().filter_map(|line| line.split_once(": "));
    let known = known
        .filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"))
        .any(|(_, value)| value == login);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let tunnel = head.starts_with("CONNECT ");
    let meant = if tunnel {
        target == name
    } else {
        target.starts_with(&format!("http://{name}/"))
    };
    if !known || !meant {
        refused.fetch_add(1, Ordering::SeqCst);
        let status = if known {
            "502 Bad Gateway"
        } else {
            "407 Proxy Authentication Required"
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _left = client.write_all(answer.as_bytes()).await;
        return;
    }
    let mut server = TcpStream::connect(to).await.unwrap();
    if tunnel {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    } else {
        // A server understands the absolute form too.
        server.write_all(&read).await.unwrap();
    }
    let _ended = copy_bidirectional(&mut client, &mut server).await;
}

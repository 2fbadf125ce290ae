//! A TCP proxy that stands between the gateway and a broker, a database or a webhook, and is a bad line on demand:
//! slow, silent, cut, or not there. Its port stays the same throughout.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{PATIENCE, eventually};

const BACKLOG: u32 = 1024;
const BUFFER: usize = 16 * 1024;

/// What the line does, to connections that stand and to new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Passes every byte at once.
    Pass,
    /// Passes what it reads so much later.
    Delay(Duration),
    /// Accepts, keeps everything open, moves no byte.
    Freeze,
    /// Ends every connection with a reset (RST), new ones as soon as they are accepted.
    Reset,
    /// Passes so many bytes a second each way.
    Throttle(u32),
    /// Passes so many bytes of what the server says on a connection, then resets it.
    Tear(usize),
    /// Ends every connection and refuses new ones.
    Refuse,
    /// Passes every byte at once on the connections that stand, and resets new ones.
    Full,
}

/// The proxy. It ends, with its connections, when dropped.
pub(crate) struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    upstream: SocketAddr,
    line: watch::Sender<Line>,
    open: watch::Sender<usize>,
    server: JoinSet<()>,
    /// Holds the port while connections are refused, so that nobody else takes it.
    held: Option<TcpSocket>,
}

impl Proxy {
    /// A proxy to this port of the loopback that passes everything.
    pub(crate) fn start(upstream: u16) -> Proxy {
        let socket = bound(0);
        let port = socket.local_addr().expect("a bound socket has an address").port();
        let mut proxy = Proxy {
            port,
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, upstream)),
            line: watch::Sender::new(Line::Pass),
            open: watch::Sender::new(0),
            server: JoinSet::new(),
            held: Some(socket),
        };
        proxy.listen();
        proxy
    }

    /// From now on the line is like this. Returns when connections that it ends have ended.
    pub(crate) async fn set(&mut self, line: Line) {
        self.line.send_replace(line);
        match line {
            Line::Refuse => {
                self.server.shutdown().await;
                self.held.get_or_insert_with(|| bound(self.port));
            }
            Line::Reset => {
                eventually("every connection is reset", PATIENCE, async || {
                    (self.connections() == 0).then_some(())
                })
                .await;
            }
            Line::Pass | Line::Delay(_) | Line::Freeze | Line::Throttle(_) | Line::Tear(_) | Line::Full => {}
        }
        if line != Line::Refuse {
            self.listen();
        }
    }

    /// How many connections stand.
    pub(crate) fn connections(&self) -> usize {
        *self.open.borrow()
    }

    fn listen(&mut self) {
        let Some(socket) = self.held.take() else { return };
        let listener = socket.listen(BACKLOG).expect("a bound socket can listen");
        let (line, open) = (self.line.subscribe(), self.open.clone());
        self.server.spawn(serve(listener, self.upstream, line, open));
    }
}

fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a new socket takes options");
    socket
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .unwrap_or_else(|error| panic!("cannot bind port {port}: {error}"));
    socket
}

async fn serve(
    listener: TcpListener,
    upstream: SocketAddr,
    line: watch::Receiver<Line>,
    open: watch::Sender<usize>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        let counted = Counted::new(&open);
        let line = line.clone();
        connections.spawn(async move {
            connection(client, upstream, line).await;
            drop(counted);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Counts a connection for as long as it lives, however it ends.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(open: &watch::Sender<usize>) -> Counted {
        open.send_modify(|count| *count += 1);
        Counted(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

async fn connection(mut client: TcpStream, upstream: SocketAddr, mut line: watch::Receiver<Line>) {
    if *line.borrow() == Line::Full {
        let _ = client.set_zero_linger();
        return;
    }
    // Not even a connection to the server stands for a client that is reset or whose bytes are not moved.
    let connecting = connect(upstream, line.clone());
    let server = tokio::select! {
        _ = line.wait_for(|line| *line == Line::Reset) => None,
        server = connecting => server,
    };
    let Some(mut server) = server else {
        // A failure to set it only makes the end less sudden.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let torn = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pump(from_client, to_server, line.clone(), false);
        let down = pump(from_server, to_client, line.clone(), true);
        let both = async { tokio::try_join!(up, down).is_err() };
        tokio::select! {
            _ = line.wait_for(|line| *line == Line::Reset) => true,
            torn = both => torn,
        }
    };
    if torn {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

async fn connect(upstream: SocketAddr, mut line: watch::Receiver<Line>) -> Option<TcpStream> {
    line.wait_for(|line| *line != Line::Freeze).await.ok()?;
    TcpStream::connect(upstream).await.ok()
}

/// A connection is to be reset: one side was, or the line tears it.
struct Torn;

/// Moves bytes one way until the end of the stream.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut line: watch::Receiver<Line>,
    answers: bool,
) -> Result<(), Torn> {
    let mut buffer = vec![0; BUFFER];
    let mut moved = 0;
    loop {
        let now = *line
            .wait_for(|line| *line != Line::Freeze)
            .await
            .map_err(|_| Torn)?;
        let most = match now {
            // Twenty portions a second: a slow line, not one that stops and jumps.
            Line::Throttle(rate) => (rate as usize / 20).clamp(1, BUFFER),
            Line::Pass
            | Line::Delay(_)
            | Line::Freeze
            | Line::Reset
            | Line::Tear(_)
            | Line::Refuse
            | Line::Full => BUFFER,
        };
        let got = tokio::select! {
            got = from.read(&mut buffer[..most]) => got.map_err(|_| Torn)?,
            // Bytes that come after the change are under the new rule.
            _ = line.changed() => continue,
        };
        if got == 0 {
            return to.shutdown().await.map_err(|_| Torn);
        }
        let now = *line
            .wait_for(|line| *line != Line::Freeze)
            .await
            .map_err(|_| Torn)?;
        let mut passed = got;
        match now {
            Line::Delay(time) => sleep(time).await,
            Line::Throttle(rate) => sleep(Duration::from_secs_f64(got as f64 / f64::from(rate.max(1)))).await,
            Line::Tear(after) if answers => passed = got.min(after.saturating_sub(moved)),
            Line::Pass | Line::Freeze | Line::Reset | Line::Tear(_) | Line::Refuse | Line::Full => {}
        }
        to.write_all(&buffer[..passed]).await.map_err(|_| Torn)?;
        moved += passed;
        if passed < got {
            return Err(Torn);
        }
    }
}

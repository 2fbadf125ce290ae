//! A relay that forgets its connections, as routers do: they stay open, and nothing passes any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(super) struct Relay {
    pub(super) address: SocketAddr,
    count: Arc<AtomicUsize>,
    frozen: watch::Sender<usize>,
    _server: JoinSet<()>,
}

impl Relay {
    pub(super) async fn start(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let (frozen, freezing) = watch::channel(0);
        let counted = Arc::clone(&count);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = counted.fetch_add(1, Ordering::SeqCst);
                connections.spawn(pass(stream, to, freezing.clone(), number));
            }
        });
        Relay {
            address,
            count,
            frozen,
            _server: server,
        }
    }

    /// Nothing passes any more over the connections of now.
    pub(super) fn freeze(&self) {
        self.frozen.send_replace(self.connections());
    }

    pub(super) fn connections(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

async fn pass(mut one: TcpStream, to: SocketAddr, mut frozen: watch::Receiver<usize>, number: usize) {
    let mut other = TcpStream::connect(to).await.unwrap();
    let freeze = async { frozen.wait_for(|frozen| *frozen > number).await.is_ok() };
    let frozen = tokio::select! {
        _ended = copy_bidirectional(&mut one, &mut other) => false,
        frozen = freeze => frozen,
    };
    if frozen {
        // Both stay open.
        std::future::pending::<()>().await;
    }
}

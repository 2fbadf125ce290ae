//! A server that speaks HTTP/1.1 or HTTP/2, encrypted or not, and keeps what it gets.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Version};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// HTTP/1.1 in the clear.
    Plain,
    /// HTTP/1.1 over TLS.
    Http1,
    /// HTTP/2 over TLS.
    Http2,
}

impl Speech {
    pub(super) const fn version(self) -> Version {
        match self {
            Speech::Plain | Speech::Http1 => Version::HTTP_11,
            Speech::Http2 => Version::HTTP_2,
        }
    }
}

/// A request as it came.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) version: Version,
    pub(super) body: String,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Its own certificate, for `localhost`, `127.0.0.1` and `hook.invalid`.
    pub(super) authority: CertificateDer<'static>,
    pub(super) got: mpsc::Receiver<Got>,
    speech: Speech,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Answers each body with the status and text that `answer` gives.
    pub(super) async fn start(
        speech: Speech,
        answer: impl Fn(&str) -> (u16, String) + Clone + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (acceptor, authority) = tls(speech);
        let (sender, got) = mpsc::channel(1_000);
        let handler = move |version: Version, body: String| {
            let (status, text) = answer(&body);
            sender.try_send(Got { version, body }).unwrap();
            std::future::ready((StatusCode::from_u16(status).unwrap(), text))
        };
        let router = Router::new().fallback(handler);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, speech, acceptor.clone(), router.clone()));
            }
        });
        Server {
            address,
            authority,
            got,
            speech,
            _tasks: server,
        }
    }

    /// Its address under this name.
    pub(super) fn url(&self, host: &str) -> String {
        let scheme = if self.speech == Speech::Plain {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{host}:{}/private-path", self.address.port())
    }
}

/// Until the other side has enough.
async fn serve(stream: TcpStream, speech: Speech, acceptor: TlsAcceptor, router: Router) {
    let service = TowerToHyperService::new(router);
    if speech == Speech::Plain {
        let stream = TokioIo::new(stream);
        let _ended = http1::Builder::new().serve_connection(stream, service).await;
        return;
    }
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let stream = TokioIo::new(stream);
    let _ended = match agreed.as_deref() {
        Some(b"h2") => {
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(stream, service)
                .await
        }
        _ => http1::Builder::new().serve_connection(stream, service).await,
    };
}

pub(super) fn tls(speech: Speech) -> (TlsAcceptor, CertificateDer<'static>) {
    let names = ["localhost", "127.0.0.1", "hook.invalid"].map(str::to_owned);
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names.to_vec()).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = match speech {
        Speech::Plain | Speech::Http1 => vec![b"http/1.1".to_vec()],
        Speech::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    (TlsAcceptor::from(Arc::new(config)), cert.der().clone())
}

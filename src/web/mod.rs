//! `/metrics`, health and the API over HTTP: reads the store, hands on what operators ask for. Never
//! changes anything itself.

mod acknowledge;
mod api;
mod auth;
mod commands;
mod deliveries;
mod devices;
mod health;
mod history;
mod operate;
mod problem;
mod registry;
mod reload;
mod roster;
mod server;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::auth::Gate;
use self::problem::Problem;
use crate::config::HttpSettings;
use crate::handoff::{Directory, OperatorRequest, Work};
use crate::lifecycle::Health;
use crate::link::Links;
use crate::metrics::Metrics;
use crate::reload::ReloadRequest;
use crate::series::Names;
use crate::store::StoreReader;

/// Everything the web side needs: give it these and [`bind`](Web::bind) it.
pub struct Web {
    /// Where to listen and whom to let in.
    pub settings: HttpSettings,
    /// The store, to read.
    pub reader: StoreReader,
    /// Checks the addresses in messages.
    pub links: Links,
    /// Where the store is told to send something again.
    pub work: mpsc::Sender<Work>,
    /// Where operators' requests go.
    pub operators: mpsc::Sender<OperatorRequest>,
    /// Where requests to read the configuration anew go.
    pub reloads: mpsc::Sender<ReloadRequest>,
    /// What is in force: names and kinds.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What `/-/ready` answers from.
    pub health: Health,
    /// How long and how much a client may.
    pub limits: Limits,
}

/// How long and how much a client may.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may take to send a request's head, and how long a connection may lie idle.
    pub header_wait: Duration,
    /// How long an answer of the gateway or the store is waited for.
    pub answer_wait: Duration,
    /// How long a reload is waited for: it reads every file of the configuration.
    pub reload_wait: Duration,
    /// How many connections are served at once; more wait in the listener's backlog.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            header_wait: Duration::from_secs(10),
            answer_wait: Duration::from_secs(5),
            reload_wait: Duration::from_secs(30),
            connections: 256,
        }
    }
}

/// A web side that has its address.
pub struct BoundWeb {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    limits: Limits,
}

/// Why the web side cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: the port is in use; stop the other program (another ninewatch?) or change http.listen"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; check http.listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    reader: StoreReader,
    work: mpsc::Sender<Work>,
    links: Links,
    operators: mpsc::Sender<OperatorRequest>,
    reloads: mpsc::Sender<ReloadRequest>,
    directory: watch::Receiver<Arc<Directory>>,
    metrics: Metrics,
    health: Health,
    limits: Limits,
    max_series: usize,
    /// One scrape at a time: who else scrapes waits for it.
    names: Arc<Mutex<Names>>,
}

impl Web {
    /// Takes the address. Nothing is answered before [`BoundWeb::run`].
    pub async fn bind(self) -> Result<BoundWeb, WebError> {
        let address = self.settings.listen;
        let failed = |source: std::io::Error| {
            if source.kind() == std::io::ErrorKind::AddrInUse {
                WebError::InUse { address }
            } else {
                WebError::Listen { address, source }
            }
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let limits = self.limits;
        Ok(BoundWeb {
            listener,
            address,
            router: self.router(),
            limits,
        })
    }

    fn router(self) -> Router {
        let gate = Gate::new(&self.settings.auth);
        let shared = Shared {
            reader: self.reader,
            work: self.work,
            links: self.links,
            operators: self.operators,
            reloads: self.reloads,
            directory: self.directory,
            metrics: self.metrics,
            health: self.health,
            limits: self.limits,
            max_series: self.settings.max_series,
            names: Arc::default(),
        };
        let open = Router::new()
            .route("/-/healthy", get(health::healthy))
            .route("/-/ready", get(health::ready))
            // The address itself is the right: it is signed, for one officer and one notice.
            .route("/a/{token}", get(acknowledge::show).post(acknowledge::press))
            .method_not_allowed_fallback(wrong_method);
        Router::new()
            .route("/metrics", get(health::metrics))
            .route("/-/reload", post(reload::reload))
            .route("/api/v1/alarms", get(api::alarms))
            .route("/api/v1/alarms/{id}", get(api::alarm))
            .route("/api/v1/alarms/{id}/acknowledge", post(operate::acknowledge))
            .route("/api/v1/alarms/{id}/reset", post(operate::reset))
            .route("/api/v1/alarms/{id}/shelve", post(operate::shelve))
            .route("/api/v1/alarms/{id}/unshelve", post(operate::unshelve))
            .route("/api/v1/alarms/{id}/verdict", post(operate::verdict))
            .route("/api/v1/alarms/{id}/close", post(operate::close))
            .route("/api/v1/venues", get(devices::venues))
            .route("/api/v1/devices", get(devices::list))
            .route("/api/v1/venues/{id}", put(registry::put_venue))
            .route(
                "/api/v1/devices/{id}",
                get(devices::one)
                    .put(registry::put_device)
                    .delete(registry::retire),
            )
            .route("/api/v1/devices/{id}/history", get(history::history))
            .route("/api/v1/devices/{id}/commands", post(commands::command))
            .route("/api/v1/devices/out-of-service", post(operate::out_of_service))
            .route("/api/v1/devices/in-service", post(operate::in_service))
            .route("/api/v1/commands", get(commands::list))
            .route("/api/v1/commands/{id}", get(commands::one))
            .route("/api/v1/roster", get(roster::roster))
            .route("/api/v1/deliveries", get(deliveries::list))
            .route("/api/v1/deliveries/{id}/resend", post(deliveries::resend))
            .route("/api/v1/events", get(api::events))
            .route("/api/v1/dead-letters", get(api::dead_letters))
            .method_not_allowed_fallback(wrong_method)
            .fallback(no_such_path)
            .layer(from_fn_with_state(gate, auth::check))
            .merge(open)
            .with_state(shared)
    }
}

impl BoundWeb {
    /// Where it listens: the port is the real one even when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop; then requests under way get three seconds.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WebError> {
        server::serve(self.listener, self.router, self.limits, stop).await;
        Ok(())
    }
}

impl fmt::Debug for BoundWeb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundWeb")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn no_such_path(request: Request) -> Response {
    Problem::no_such_path(request.uri().path()).into_response()
}

async fn wrong_method(request: Request) -> Response {
    Problem::method(request.method().as_str()).into_response()
}

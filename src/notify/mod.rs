//! Drains the outbox: one worker a target, each delivery reported back to the store. Never decides who is told;
//! at least once, with the same id and bytes on every attempt.

mod address;
mod alertmanager;
mod any;
mod asked;
mod emergency;
mod heartbeat;
mod http;
mod mail;
mod pace;
pub mod parcel;
mod reason;
mod reply;
mod robot;
pub mod schedule;
mod sign;
mod strangers;
mod target;
mod webhook;
mod worker;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::alertmanager::resend::Resend;
use self::any::AnyTarget;
pub use self::emergency::Emergency;
pub use self::heartbeat::Heartbeat;
use self::strangers::Strangers;
use self::worker::Worker;
use crate::clock::Clock;
use crate::config::TargetSettings;
use crate::handoff::{OperatorRequest, Work};
use crate::link::Links;
use crate::metrics::Metrics;
use crate::store::StoreReader;
use crate::words::InForce;

/// Everything notify needs: give it these and [`run`](Notify::run) it.
#[derive(Debug)]
pub struct Notify {
    /// Where notices go.
    pub targets: Vec<TargetSettings>,
    /// What texts call points and commands.
    pub vocabulary: InForce,
    /// Makes the addresses by which officers acknowledge.
    pub links: Links,
    /// Where what operators do goes: targets that may acknowledge by their answers are such.
    pub operators: mpsc::Sender<OperatorRequest>,
    /// The outbox, to read.
    pub reader: StoreReader,
    /// Where deliveries are reported.
    pub work: mpsc::Sender<Work>,
    /// Changes with every commit that may have brought notices.
    pub committed: watch::Receiver<u64>,
    /// The process's metrics.
    pub metrics: Metrics,
    /// The process's clock.
    pub clock: Clock,
}

/// Why notices cannot be sent at all. A failed delivery is not one of these: it is reported and tried again.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The address is no `http` or `https` URL.
    #[error(
        "target {target}: its url is not an http:// or https:// address; correct it in the configuration"
    )]
    Url {
        /// The target's name.
        target: String,
    },
    /// An `https` target, and the system trusts nobody.
    #[error(
        "target {target}: no certificate authorities found on this system; install the package ca-certificates, or set SSL_CERT_FILE"
    )]
    NoAuthorities {
        /// The target's name.
        target: String,
    },
    /// TLS could not be set up.
    #[error("target {target}: cannot set up TLS")]
    Tls {
        /// The target's name.
        target: String,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The HTTP client could not be set up.
    #[error("target {target}: cannot set up the HTTP client")]
    Client {
        /// The target's name.
        target: String,
        /// What the client says, without the URL.
        source: reqwest::Error,
    },
    /// E-mail could not be set up.
    #[error("target {target}: {problem}")]
    Mail {
        /// The target's name.
        target: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A worker ended unasked.
    #[error("a notice worker died")]
    Worker(#[from] tokio::task::JoinError),
}

/// The ways back from whoever is told of something.
struct Back {
    links: Links,
    operators: mpsc::Sender<OperatorRequest>,
    metrics: Metrics,
}

impl Notify {
    /// Sends notices until told to stop or until nobody takes reports any more. After a stop nothing new is
    /// sent; what is under way gets three seconds.
    pub async fn run(self, stop: CancellationToken) -> Result<(), NotifyError> {
        let mut workers = JoinSet::new();
        workers.spawn(Strangers::new(&self).run(stop.clone()));
        let back = Back {
            links: self.links.clone(),
            operators: self.operators.clone(),
            metrics: self.metrics.clone(),
        };
        for settings in &self.targets {
            let target = AnyTarget::new(settings, &self.vocabulary, Some(&back), Some(&self.reader))?;
            if let Some(alertmanager) = target.forgetful() {
                let resend = Resend::new(Arc::clone(alertmanager), &self);
                workers.spawn(resend.run(stop.clone()));
            }
            let worker = Worker::new(&settings.name, Arc::new(target), &self);
            workers.spawn(worker.run(stop.clone()));
        }
        while let Some(ended) = workers.join_next().await {
            ended?;
        }
        Ok(())
    }
}

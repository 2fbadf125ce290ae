//! What a build without the broker has in its place: the same face, and a clear answer.

use std::net::SocketAddr;

use super::BrokerError;

/// Cannot exist in this build.
#[derive(Debug)]
pub enum EmbeddedBroker {}

impl EmbeddedBroker {
    /// Always [`BrokerError::NotBuilt`].
    #[expect(
        clippy::unused_async,
        reason = "the same signature as in a build that has the broker"
    )]
    pub async fn start(_listen: SocketAddr) -> Result<EmbeddedBroker, BrokerError> {
        Err(BrokerError::NotBuilt)
    }

    /// Never called: there is no value to call it on.
    #[expect(
        clippy::unused_async,
        reason = "the same signature as in a build that has the broker"
    )]
    pub async fn ended(&mut self) {
        match *self {}
    }

    /// Never called: there is no value to call it on.
    pub fn address(&self) -> SocketAddr {
        match *self {}
    }
}

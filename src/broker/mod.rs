//! The broker inside the process (rmqtt), for the demo and tiny sites: sessions and queues live in memory.
//! Knows nothing of payloads; a site that needs its messages to outlive a crash runs a broker of its own.

use std::net::SocketAddr;

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The port is taken, or the address is not this machine's.
    #[error(
        "the embedded MQTT broker cannot listen on {address}: {problem}; choose another address, or port 0 for any free one"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        problem: String,
    },
    /// This binary has no broker in it.
    #[error(
        "this ninewatch was built without its embedded broker (cargo feature `embedded-broker`): set mqtt.url to a broker of your own"
    )]
    NotBuilt,
}

#[cfg(not(feature = "embedded-broker"))]
mod absent;
#[cfg(feature = "embedded-broker")]
mod present;

#[cfg(not(feature = "embedded-broker"))]
pub use self::absent::EmbeddedBroker;
#[cfg(feature = "embedded-broker")]
pub use self::present::EmbeddedBroker;

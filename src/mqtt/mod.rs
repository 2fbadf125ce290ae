//! What both connections to the broker are made of, ingest's and that of the commands: the stream, the handshake, the
//! pings, the waits. Knows nothing of messages.

pub mod connect;
pub(crate) mod keep_alive;
pub(crate) mod outages;
pub(crate) mod reconnect;
pub(crate) mod session;
pub(crate) mod wire;

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::domain::time::Millis;

/// From the first packet of TCP to the broker's CONNACK.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// A session that stood this long was sound: the next outage starts with the shortest wait again.
pub(crate) const STABLE: Millis = Millis(10_000);

/// How long the broker may take to close after our DISCONNECT.
pub(crate) const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// Ticks each half of the keep-alive time, the first after such a half.
pub(crate) fn half_interval(keep_alive: Duration) -> Interval {
    let half = (keep_alive / 2).max(Duration::from_millis(1));
    let mut ticks = interval(half);
    // After a stall of the process the broker gets the same time to answer as ever.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

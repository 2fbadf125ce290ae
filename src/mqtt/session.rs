//! A session's beginning and its end: CONNECT, the broker's answer, and what can go wrong.

use std::io;

use rumqttc::{ConnAck, Connect, ConnectReturnCode, Login};

use super::connect::ConnectError;
use super::keep_alive::Dead;
use crate::config::MqttSettings;

/// What the broker keeps for us while we are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The subscriptions and what came for them.
    Session,
    /// Nothing.
    Nothing,
}

/// The CONNECT of `client_id`.
pub(crate) fn connect_packet(settings: &MqttSettings, client_id: &str, kept: Kept) -> Connect {
    let mut packet = Connect::new(client_id.to_owned());
    packet.clean_session = match kept {
        Kept::Session => false,
        Kept::Nothing => true,
    };
    // The protocol counts whole seconds, and 0 would switch the broker's watch over us off.
    packet.keep_alive = u16::try_from(settings.keep_alive.as_secs())
        .unwrap_or(u16::MAX)
        .max(1);
    packet.login = settings.username.as_ref().map(|username| Login {
        username: username.clone(),
        password: settings
            .password
            .as_ref()
            .map(|password| password.expose().to_owned())
            .unwrap_or_default(),
    });
    packet
}

/// Whether the broker kept our session, if it lets us in.
pub(crate) fn admitted(answer: &ConnAck) -> Result<bool, SessionError> {
    let refused = match answer.code {
        ConnectReturnCode::Success => return Ok(answer.session_present),
        ConnectReturnCode::RefusedProtocolVersion => "it does not speak MQTT 3.1.1",
        ConnectReturnCode::BadClientId => "it does not accept mqtt.client_id",
        ConnectReturnCode::ServiceUnavailable => "it says that it is unavailable",
        ConnectReturnCode::BadUserNamePassword => "wrong mqtt.username or mqtt.password",
        ConnectReturnCode::NotAuthorized => "not authorised; check mqtt.username and mqtt.password",
    };
    Err(SessionError::Refused(refused))
}

/// How a session failed to come up, or ended. Another connection is the answer to all of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// There is no stream.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It took too long to connect.
    #[error("the broker did not complete the connection within {seconds} s")]
    Deadline {
        /// The deadline in seconds.
        seconds: u64,
    },
    /// The broker does not let us in.
    #[error("the broker refuses us: {0}")]
    Refused(&'static str),
    /// The broker closed the connection.
    #[error(
        "the broker closed the connection; if this repeats, another client may use the same mqtt.client_id"
    )]
    Closed,
    /// Reading or writing failed.
    #[error("the connection to the broker broke: {0}")]
    Io(#[from] io::Error),
    /// The broker is silent, or does not read.
    #[error("{0}")]
    Dead(String),
    /// The broker broke the protocol.
    #[error("{0}")]
    Protocol(String),
}

impl From<rumqttc::mqttbytes::Error> for SessionError {
    fn from(error: rumqttc::mqttbytes::Error) -> SessionError {
        SessionError::Protocol(format!("a packet of ours cannot be written: {error}"))
    }
}

impl From<Dead> for SessionError {
    fn from(dead: Dead) -> SessionError {
        SessionError::Dead(dead.to_string())
    }
}

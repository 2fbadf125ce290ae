//! One connection for commands: PUBLISH out at QoS 1, PUBACK in. It subscribes to nothing and never reconnects.

use bytes::BytesMut;
use rumqttc::{Disconnect, Packet, PingReq, Publish, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::select;

use crate::config::MqttSettings;
use crate::handoff::CommandMessage;
use crate::mqtt::connect::Stream;
use crate::mqtt::keep_alive::KeepAlive;
use crate::mqtt::session::{Kept, SessionError, admitted, connect_packet};
use crate::mqtt::wire::Unsent;

/// The most bytes of a packet that a broker has for us: it owes us acknowledgements and nothing else.
const LARGEST_PACKET: usize = 1024;

/// A connection that the broker has let in.
pub(super) struct Link {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    incoming: BytesMut,
    unsent: Unsent,
    keep_alive: KeepAlive,
}

impl Link {
    /// Introduces us to the broker as `client_id`. Nothing is kept there for us: what is to be said again, the book knows.
    pub(super) async fn open(
        stream: Box<dyn Stream>,
        settings: &MqttSettings,
        client_id: &str,
    ) -> Result<Link, SessionError> {
        let (reader, writer) = tokio::io::split(stream);
        let mut link = Link {
            reader,
            writer,
            incoming: BytesMut::new(),
            unsent: Unsent::default(),
            keep_alive: KeepAlive::default(),
        };
        connect_packet(settings, client_id, Kept::Nothing).write(&mut link.unsent.bytes)?;
        let packet = link.next_packet().await?;
        let Packet::ConnAck(answer) = packet else {
            return Err(unexpected(&packet));
        };
        admitted(&answer).map(|_nothing_kept| link)
    }

    /// Queues `message`. Never retained: a command is for now, not for whoever subscribes later.
    pub(super) fn publish(&mut self, packet_id: u16, message: &CommandMessage) -> Result<(), SessionError> {
        let payload = message.payload.clone();
        let mut packet = Publish::from_bytes(message.topic.as_str(), QoS::AtLeastOnce, payload);
        packet.pkid = packet_id;
        packet.write(&mut self.unsent.bytes)?;
        Ok(())
    }

    /// Sends what is queued and waits for the next acknowledgement: its packet identifier. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<u16, SessionError> {
        loop {
            let packet = self.next_packet().await?;
            if let Packet::PubAck(acknowledgement) = packet {
                return Ok(acknowledgement.pkid);
            }
            if packet != Packet::PingResp {
                return Err(unexpected(&packet));
            }
        }
    }

    async fn next_packet(&mut self) -> Result<Packet, SessionError> {
        loop {
            match Packet::read(&mut self.incoming, LARGEST_PACKET) {
                Ok(packet) => return Ok(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => {
                    return Err(SessionError::Protocol(format!(
                        "the broker sent something that is no MQTT packet for us: {error}"
                    )));
                }
            }
            let waiting = self.unsent.waiting();
            let sent = self.unsent.send(&mut self.writer, &mut self.keep_alive);
            select! {
                biased;
                sent = sent, if waiting => sent?,
                count = self.reader.read_buf(&mut self.incoming) => {
                    if count? == 0 {
                        return Err(SessionError::Closed);
                    }
                    self.keep_alive.read();
                }
            }
        }
    }

    /// To be called each half of the keep-alive time: pings, and finds out whether the broker is dead.
    pub(super) fn tick(&mut self) -> Result<(), SessionError> {
        if self.keep_alive.tick(true, self.unsent.waiting())? {
            PingReq.write(&mut self.unsent.bytes)?;
        }
        Ok(())
    }

    /// Sends what is queued, says goodbye and waits until the broker has closed.
    pub(super) async fn close(mut self) -> Result<(), SessionError> {
        Disconnect.write(&mut self.unsent.bytes)?;
        self.unsent.send(&mut self.writer, &mut self.keep_alive).await?;
        self.writer.shutdown().await?;
        while self.reader.read_buf(&mut self.incoming).await? > 0 {
            self.incoming.clear();
        }
        Ok(())
    }
}

fn unexpected(packet: &Packet) -> SessionError {
    SessionError::Protocol(format!(
        "the broker sent what nobody asked for on the connection for commands: {packet:?}"
    ))
}

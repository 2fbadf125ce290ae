//! An MQTT 3.1.1 session on a byte stream: handshake, subscription, messages in, acknowledgements out in receive
//! order. Packets and codec are `rumqttc`'s; the loop is ours (docs/decisions/0001-mqtt-session.md). Never reconnects.

use std::future::pending;

use bytes::BytesMut;
use prometheus::IntCounter;
use rumqttc::{Disconnect, PingReq, PubAck, QoS, Unsubscribe};
use rumqttc::{SubAck, Subscribe, SubscribeFilter, SubscribeReasonCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::select;

use crate::clock::Clock;
use crate::config::MqttSettings;
use crate::domain::time::Moment;
use crate::handoff::{Envelope, Receipt};
use crate::mqtt::connect::Stream;
use crate::mqtt::keep_alive::KeepAlive;
use crate::mqtt::session::{Kept, SessionError, admitted, connect_packet};
use crate::mqtt::wire::Unsent;

use super::frame::{Frame, FrameError, Frames, Message};
use super::session::{Intake, News, Session};

/// The most envelopes handed over at once.
const BATCH: usize = 512;

/// Ticks that a broker may take for a SUBACK: twice the keep-alive time.
const SUBACK_TICKS: u8 = 4;

/// A session over one connection.
pub(super) struct MqttSession {
    connection: u32,
    clock: Clock,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    frames: Frames,
    received: Moment,
    outgoing: Outgoing,
    keep_alive: KeepAlive,
    subscription: Subscription,
    /// Found behind good messages; reported once those are handed over.
    failure: Option<SessionError>,
}

/// What stands between us and the filters we want.
#[derive(Debug, Default)]
struct Subscription {
    last_packet_id: u16,
    wanted: Vec<String>,
    asked: Vec<Asked>,
    /// Wanted, and refused when last asked for.
    refused: Vec<String>,
    /// The broker's answer is not reported yet.
    news: bool,
}

/// A SUBSCRIBE without its answer.
#[derive(Debug)]
struct Asked {
    packet_id: u16,
    filters: Vec<String>,
    ticks: u8,
}

/// What waits for the socket, and how many acknowledgements are in it.
struct Outgoing {
    unsent: Unsent,
    acknowledgements: u64,
    acknowledged: IntCounter,
}

/// What a session is opened with.
pub(super) struct Opening<'a> {
    /// Client id, credentials, keep-alive and limits.
    pub(super) settings: &'a MqttSettings,
    /// The filters to subscribe to.
    pub(super) filters: &'a [String],
    /// Filters that a session which the broker kept may still have, and that are not wanted any more.
    pub(super) gone: Vec<String>,
    /// The number of this connection.
    pub(super) connection: u32,
    /// For the receive times.
    pub(super) clock: Clock,
    /// Counts the acknowledgements that went out.
    pub(super) acknowledged: IntCounter,
}

impl MqttSession {
    /// Introduces us to the broker and asks for the filters; the answer to those comes as [`News::Subscribed`].
    /// The second value is whether the broker kept our session.
    pub(super) async fn open(
        stream: Box<dyn Stream>,
        opening: Opening<'_>,
    ) -> Result<(MqttSession, bool), SessionError> {
        let (reader, writer) = tokio::io::split(stream);
        let mut session = MqttSession {
            connection: opening.connection,
            clock: opening.clock,
            reader,
            writer,
            frames: Frames::new(opening.settings.max_packet_size),
            received: opening.clock.now(),
            outgoing: Outgoing::new(opening.acknowledged),
            keep_alive: KeepAlive::default(),
            subscription: Subscription::default(),
            failure: None,
        };
        connect_packet(opening.settings, &opening.settings.client_id, Kept::Session)
            .write(&mut session.outgoing.unsent.bytes)?;
        session
            .outgoing
            .send(&mut session.writer, &mut session.keep_alive)
            .await?;
        let answer = loop {
            if let Some(frame) = session.frames.next()? {
                break frame;
            }
            session.read().await?;
        };
        let Frame::ConnAck(answer) = answer else {
            return Err(SessionError::Protocol(
                "the broker answered CONNECT with something else than CONNACK".to_owned(),
            ));
        };
        let session_present = admitted(&answer)?;
        session.want(opening.filters)?;
        session.unsubscribe(opening.gone)?;
        Ok((session, session_present))
    }

    fn next_packet_id(&mut self) -> u16 {
        let packet_id = self.subscription.last_packet_id.checked_add(1).unwrap_or(1);
        self.subscription.last_packet_id = packet_id;
        packet_id
    }

    fn subscribe(&mut self, filters: Vec<String>) -> Result<(), SessionError> {
        if filters.is_empty() {
            return Ok(());
        }
        let packet_id = self.next_packet_id();
        let mut packet = Subscribe::new_many(
            filters
                .iter()
                .map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce)),
        );
        packet.pkid = packet_id;
        packet.write(&mut self.outgoing.unsent.bytes)?;
        self.subscription.asked.push(Asked {
            packet_id,
            filters,
            ticks: 0,
        });
        Ok(())
    }

    /// Nothing depends on the answer: a filter that the broker still serves brings messages that are refused by topic.
    fn unsubscribe(&mut self, filters: Vec<String>) -> Result<(), SessionError> {
        if filters.is_empty() {
            return Ok(());
        }
        let packet = Unsubscribe {
            pkid: self.next_packet_id(),
            topics: filters,
        };
        packet.write(&mut self.outgoing.unsent.bytes)?;
        Ok(())
    }

    fn subscribed(&mut self, answer: &SubAck) -> Result<(), SessionError> {
        let fitting = |asked: &Asked| {
            asked.packet_id == answer.pkid && asked.filters.len() == answer.return_codes.len()
        };
        let Some(place) = self.subscription.asked.iter().position(fitting) else {
            return Err(SessionError::Protocol(
                "the broker sent a SUBACK that fits no SUBSCRIBE of ours".to_owned(),
            ));
        };
        let asked = self.subscription.asked.remove(place);
        let still_wanted = |filter: &String| self.subscription.wanted.contains(filter);
        self.subscription
            .refused
            .retain(|filter| !asked.filters.contains(filter));
        let answered = asked.filters.into_iter().zip(&answer.return_codes);
        let refused = answered
            .filter(|(filter, code)| match code {
                SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce) => false,
                // At QoS 0 the broker may lose what we have not stored.
                SubscribeReasonCode::Success(QoS::AtMostOnce) | SubscribeReasonCode::Failure => {
                    still_wanted(filter)
                }
            })
            .map(|(filter, _)| filter);
        self.subscription.refused.extend(refused);
        self.subscription.news = true;
        Ok(())
    }

    async fn read(&mut self) -> Result<(), SessionError> {
        let count = self.reader.read_buf(self.frames.room()).await?;
        self.has_read(count)
    }

    fn has_read(&mut self, count: usize) -> Result<(), SessionError> {
        if count == 0 {
            return Err(SessionError::Closed);
        }
        self.keep_alive.read();
        self.received = self.clock.now();
        Ok(())
    }

    /// The news in what was read so far.
    fn take_news(&mut self) -> Result<Option<News>, SessionError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut envelopes = Vec::new();
        while envelopes.len() < BATCH {
            match self.take_frame(&mut envelopes) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) if envelopes.is_empty() => return Err(failure),
                Err(failure) => {
                    self.failure = Some(failure);
                    break;
                }
            }
        }
        if !envelopes.is_empty() {
            return Ok(Some(News::Messages(envelopes)));
        }
        let news = std::mem::take(&mut self.subscription.news);
        Ok(news.then(|| News::Subscribed {
            refused: self.subscription.refused.clone(),
        }))
    }

    /// Takes one frame, if there is a whole one. Says whether to go on.
    fn take_frame(&mut self, envelopes: &mut Vec<Envelope>) -> Result<bool, SessionError> {
        match self.frames.next()? {
            None => Ok(false),
            Some(Frame::Publish(message)) => {
                envelopes.push(envelope(message, self.connection, self.received));
                Ok(true)
            }
            Some(Frame::SubAck(answer)) => {
                self.subscribed(&answer)?;
                Ok(false)
            }
            Some(Frame::PingResp | Frame::UnsubAck(_)) => Ok(true),
            Some(Frame::ConnAck(_)) => Err(SessionError::Protocol(
                "the broker sent a second CONNACK".to_owned(),
            )),
        }
    }
}

impl Session for MqttSession {
    async fn next(&mut self, intake: Intake) -> Result<News, SessionError> {
        loop {
            if intake == Intake::Open
                && let Some(news) = self.take_news()?
            {
                return Ok(news);
            }
            let waiting = self.outgoing.unsent.waiting();
            let sent = self.outgoing.send(&mut self.writer, &mut self.keep_alive);
            match intake {
                Intake::Open => select! {
                    biased;
                    sent = sent, if waiting => sent?,
                    count = self.reader.read_buf(self.frames.room()) => {
                        let count = count?;
                        self.has_read(count)?;
                    }
                },
                Intake::Paused => {
                    sent.await?;
                    return pending().await;
                }
            }
        }
    }

    fn acknowledge(&mut self, receipts: &[Receipt]) -> Result<(), SessionError> {
        for receipt in receipts.iter().filter(|r| r.connection == self.connection) {
            PubAck::new(receipt.packet_id).write(&mut self.outgoing.unsent.bytes)?;
            self.outgoing.acknowledgements += 1;
        }
        Ok(())
    }

    fn want(&mut self, filters: &[String]) -> Result<(), SessionError> {
        let before = std::mem::replace(&mut self.subscription.wanted, filters.to_vec());
        let without = |these: &[String], others: &[String]| -> Vec<String> {
            let these = these.iter().filter(|filter| !others.contains(filter));
            these.cloned().collect()
        };
        let (new, gone) = (without(filters, &before), without(&before, filters));
        let refused = self.subscription.refused.len();
        self.subscription
            .refused
            .retain(|filter| filters.contains(filter));
        self.subscription.news |= self.subscription.refused.len() < refused;
        // New ones first: of two that overlap, a message may come twice, and none is missed.
        self.subscribe(new)?;
        self.unsubscribe(gone)
    }

    fn tick(&mut self, intake: Intake) -> Result<(), SessionError> {
        let reading = intake == Intake::Open;
        if self.keep_alive.tick(reading, self.outgoing.unsent.waiting())? {
            PingReq.write(&mut self.outgoing.unsent.bytes)?;
        }
        for asked in &mut self.subscription.asked {
            asked.ticks += u8::from(reading);
            if asked.ticks > SUBACK_TICKS {
                return Err(SessionError::Dead(
                    "the broker does not answer SUBSCRIBE".to_owned(),
                ));
            }
        }
        if self.subscription.asked.is_empty() {
            self.subscribe(self.subscription.refused.clone())?;
        }
        Ok(())
    }

    async fn close(mut self) -> Result<(), SessionError> {
        Disconnect.write(&mut self.outgoing.unsent.bytes)?;
        self.outgoing.send(&mut self.writer, &mut self.keep_alive).await?;
        self.writer.shutdown().await?;
        // To close a socket with unread bytes resets it, and a reset may overtake our last acknowledgements.
        let mut unread = BytesMut::new();
        while self.reader.read_buf(&mut unread).await? > 0 {
            unread.clear();
        }
        Ok(())
    }
}

impl Outgoing {
    fn new(acknowledged: IntCounter) -> Outgoing {
        Outgoing {
            unsent: Unsent::default(),
            acknowledgements: 0,
            acknowledged,
        }
    }

    /// Sends what waits. Cancel-safe: what the stream took is not kept, and nothing else is dropped.
    async fn send(
        &mut self,
        writer: &mut WriteHalf<Box<dyn Stream>>,
        keep_alive: &mut KeepAlive,
    ) -> Result<(), SessionError> {
        self.unsent.send(writer, keep_alive).await?;
        self.acknowledged
            .inc_by(std::mem::take(&mut self.acknowledgements));
        Ok(())
    }
}

fn envelope(message: Message, connection: u32, received: Moment) -> Envelope {
    Envelope {
        topic: message.topic,
        payload: message.payload,
        received,
        duplicate: message.duplicate,
        retained: message.retained,
        oversize: message.oversize,
        receipt: message.packet_id.map(|packet_id| Receipt {
            connection,
            packet_id,
        }),
    }
}

impl From<FrameError> for SessionError {
    fn from(error: FrameError) -> SessionError {
        SessionError::Protocol(error.to_string())
    }
}

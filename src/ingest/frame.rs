//! Bytes off the wire → whole MQTT packets, however the bytes were cut. Keeps no payload above the limit: it lets
//! those bytes run through and hands on what is owed for them. Never panics on input, never looks into a payload.

use bytes::{Buf, Bytes, BytesMut};
use rumqttc::{ConnAck, Packet, SubAck, UnsubAck};

/// How many bytes a read may bring.
const CHUNK: usize = 64 * 1024;

/// With less room than this a new chunk is taken; small reads share one.
const LOW: usize = 4 * 1024;

/// The most bytes in a packet that is not a PUBLISH. A SUBACK has one for each filter.
const SMALL: usize = 64 * 1024;

/// A packet that a broker sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message.
    Publish(Message),
    /// The answer to CONNECT.
    ConnAck(ConnAck),
    /// The answer to SUBSCRIBE.
    SubAck(SubAck),
    /// The answer to UNSUBSCRIBE.
    UnsubAck(UnsubAck),
    /// The answer to PINGREQ.
    PingResp,
}

/// A PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its topic.
    pub(super) topic: String,
    /// Its payload; empty when `oversize`.
    pub(super) payload: Bytes,
    /// Its packet identifier; `None` at QoS 0.
    pub(super) packet_id: Option<u16>,
    /// The DUP flag.
    pub(super) duplicate: bool,
    /// The RETAIN flag.
    pub(super) retained: bool,
    /// The payload's length in bytes when it was above the limit.
    pub(super) oversize: Option<usize>,
}

/// What a broker must not send. The connection cannot go on after it.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The codec cannot read the packet.
    #[error("the broker sent a malformed packet: {0}")]
    Malformed(#[from] rumqttc::mqttbytes::Error),
    /// The lengths inside the packet contradict each other.
    #[error("the broker sent a malformed packet: {0}")]
    Inconsistent(&'static str),
    /// A packet type that only clients send, or that nothing of ours asks for.
    #[error("the broker sent an unexpected packet of type {0}")]
    Unexpected(u8),
    /// We subscribe at QoS 1 at most.
    #[error("the broker sent a message at QoS 2, which was not subscribed to")]
    ExactlyOnce,
    /// An answer far longer than any answer to us can be.
    #[error("the broker sent a packet of type {kind} with {length} bytes")]
    TooLong {
        /// The packet type.
        kind: u8,
        /// Its remaining length in bytes.
        length: usize,
    },
}

/// The bytes that were read and are not a whole packet yet.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: BytesMut,
    max_payload: usize,
    discarding: Option<Discarding>,
}

/// An oversize message whose payload is still running through.
#[derive(Debug)]
struct Discarding {
    message: Message,
    left: usize,
}

impl Frames {
    /// Nothing read yet. Payloads above `max_payload` bytes are not kept.
    pub(super) fn new(max_payload: usize) -> Frames {
        Frames {
            buffer: BytesMut::new(),
            max_payload,
            discarding: None,
        }
    }

    /// Where the next read goes.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        if self.buffer.capacity().saturating_sub(self.buffer.len()) < LOW {
            self.buffer.reserve(CHUNK);
        }
        &mut self.buffer
    }

    /// The next whole packet, or `None` until more has been read. After an error the stream is unusable.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(discarding) = self.discarding.take() {
            return Ok(self.discard(discarding));
        }
        let Some(header) = Header::parse(&self.buffer)? else {
            return Ok(None);
        };
        match header.kind() {
            2 | 9 | 11 | 13 => self.answer(header),
            3 => self.publish(header),
            kind => Err(FrameError::Unexpected(kind)),
        }
    }

    fn answer(&mut self, header: Header) -> Result<Option<Frame>, FrameError> {
        if header.remaining > SMALL {
            return Err(FrameError::TooLong {
                kind: header.kind(),
                length: header.remaining,
            });
        }
        if self.buffer.len() < header.frame_length() {
            return Ok(None);
        }
        let packet = Packet::read(&mut self.buffer, header.remaining)?;
        if let Packet::ConnAck(ack) = packet {
            Ok(Some(Frame::ConnAck(ack)))
        } else if let Packet::SubAck(ack) = packet {
            Ok(Some(Frame::SubAck(ack)))
        } else if let Packet::UnsubAck(ack) = packet {
            Ok(Some(Frame::UnsubAck(ack)))
        } else if packet == Packet::PingResp {
            Ok(Some(Frame::PingResp))
        } else {
            Err(FrameError::Unexpected(header.kind()))
        }
    }

    fn publish(&mut self, header: Header) -> Result<Option<Frame>, FrameError> {
        if header.qos() == 2 {
            return Err(FrameError::ExactlyOnce);
        }
        if header.remaining.saturating_sub(2) > self.max_payload {
            let Some(head) = header.publish_head(&self.buffer)? else {
                return Ok(None);
            };
            if header.remaining.saturating_sub(head) > self.max_payload {
                return self.oversize(header, head);
            }
        }
        if self.buffer.len() < header.frame_length() {
            return Ok(None);
        }
        let Packet::Publish(publish) = Packet::read(&mut self.buffer, header.remaining)? else {
            return Err(FrameError::Unexpected(header.kind()));
        };
        Ok(Some(Frame::Publish(Message {
            topic: publish.topic,
            payload: publish.payload,
            packet_id: (header.qos() != 0).then_some(publish.pkid),
            duplicate: publish.dup,
            retained: publish.retain,
            oversize: None,
        })))
    }

    /// Reads topic and packet identifier through the codec, as a message without payload.
    fn oversize(&mut self, header: Header, head: usize) -> Result<Option<Frame>, FrameError> {
        if self.buffer.len() < header.length.saturating_add(head) {
            return Ok(None);
        }
        self.buffer.advance(header.length);
        let mut empty = BytesMut::with_capacity(head.saturating_add(5));
        header.write_with(head, &mut empty);
        empty.extend_from_slice(&self.buffer.split_to(head));
        let Packet::Publish(publish) = Packet::read(&mut empty, head)? else {
            return Err(FrameError::Unexpected(header.kind()));
        };
        let length = header.remaining.saturating_sub(head);
        Ok(self.discard(Discarding {
            message: Message {
                topic: publish.topic,
                payload: Bytes::new(),
                packet_id: (header.qos() != 0).then_some(publish.pkid),
                duplicate: publish.dup,
                retained: publish.retain,
                oversize: Some(length),
            },
            left: length,
        }))
    }

    /// The message is handed on only with its last byte, so that it is never acknowledged while it still comes in.
    fn discard(&mut self, mut discarding: Discarding) -> Option<Frame> {
        let passed = discarding.left.min(self.buffer.len());
        self.buffer.advance(passed);
        discarding.left = discarding.left.saturating_sub(passed);
        if discarding.left == 0 {
            return Some(Frame::Publish(discarding.message));
        }
        self.discarding = Some(discarding);
        None
    }
}

/// MQTT's fixed header (MQTT 3.1.1 §2.2).
#[derive(Debug, Clone, Copy)]
struct Header {
    first: u8,
    /// Bytes of the header itself, 2 to 5.
    length: usize,
    /// Bytes after it.
    remaining: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let mut remaining = 0;
        for (index, &byte) in rest.iter().take(4).enumerate() {
            remaining |= usize::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(Some(Header {
                    first,
                    length: index + 2,
                    remaining,
                }));
            }
        }
        if rest.len() < 4 {
            return Ok(None);
        }
        Err(FrameError::Inconsistent("its length has more than four bytes"))
    }

    fn kind(self) -> u8 {
        self.first >> 4
    }

    fn qos(self) -> u8 {
        (self.first >> 1) & 0b11
    }

    fn frame_length(self) -> usize {
        self.length.saturating_add(self.remaining)
    }

    /// How many bytes of a PUBLISH stand between this header and the payload; `None` until that is known.
    fn publish_head(self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(&[high, low]) = bytes.get(self.length..self.length.saturating_add(2)) else {
            return Ok(None);
        };
        let packet_id = if self.qos() == 0 { 0 } else { 2 };
        let head = 2 + usize::from(u16::from_be_bytes([high, low])) + packet_id;
        if head > self.remaining {
            return Err(FrameError::Inconsistent("its topic is longer than the packet"));
        }
        Ok(Some(head))
    }

    /// Writes this header for a packet of `remaining` bytes (at most 65 539 here, so three bytes of length do).
    fn write_with(self, remaining: usize, to: &mut BytesMut) {
        let septet = |shift: usize| u8::try_from((remaining >> shift) & 0x7f).unwrap_or(0);
        to.extend_from_slice(&[self.first, septet(0) | 0x80, septet(7) | 0x80, septet(14)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rumqttc::{ConnectReturnCode, PingResp, Publish, QoS, SubscribeReasonCode};

    const LIMIT: usize = 64;

    fn drain(frames: &mut Frames) -> Vec<Frame> {
        std::iter::from_fn(|| frames.next().expect("well-formed")).collect()
    }

    /// What the parser makes of `wire` when it comes in pieces of these sizes.
    fn parse(wire: &[u8], cuts: &[usize]) -> Vec<Frame> {
        let mut frames = Frames::new(LIMIT);
        let mut found = Vec::new();
        let mut rest = wire;
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((*cuts.next().expect("a cut")).clamp(1, rest.len()));
            frames.room().extend_from_slice(piece);
            found.extend(drain(&mut frames));
            rest = later;
        }
        found
    }

    fn encode(frame: &Message, length: usize, wire: &mut BytesMut) {
        let qos = frame.packet_id.map_or(QoS::AtMostOnce, |_| QoS::AtLeastOnce);
        let mut publish = Publish::new(frame.topic.clone(), qos, vec![7; length]);
        publish.dup = frame.duplicate;
        publish.retain = frame.retained;
        publish.pkid = frame.packet_id.unwrap_or(0);
        publish.write(wire).expect("fits");
    }

    fn message() -> impl Strategy<Value = (Message, usize)> {
        let length = prop_oneof![0..=LIMIT, Just(LIMIT + 1), LIMIT + 1..40_000];
        let topic = prop_oneof!["[a-z/气]{0,12}", "[a-z/]{100,400}"];
        (topic, length, any::<Option<u16>>(), any::<(bool, bool)>()).prop_map(
            |(topic, length, packet_id, (duplicate, retained))| {
                let oversize = (length > LIMIT).then_some(length);
                let kept = if oversize.is_some() { 0 } else { length };
                let message = Message {
                    topic,
                    payload: Bytes::from(vec![7; kept]),
                    packet_id: packet_id.map(|id| id.max(1)),
                    duplicate,
                    retained,
                    oversize,
                };
                (message, length)
            },
        )
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_messages(
            messages in prop::collection::vec(message(), 0..12),
            cuts in prop::collection::vec(1_usize..5_000, 1..8),
        ) {
            let mut wire = BytesMut::new();
            for (message, length) in &messages {
                encode(message, *length, &mut wire);
            }
            let expected: Vec<Frame> = messages.into_iter().map(|(m, _)| Frame::Publish(m)).collect();
            prop_assert_eq!(&parse(&wire, &cuts), &expected);
            prop_assert_eq!(&parse(&wire, &[1]), &expected);
            prop_assert_eq!(&parse(&wire, &[usize::MAX]), &expected);
        }

        #[test]
        fn random_bytes_never_panic(
            wire in prop::collection::vec(any::<u8>(), 0..400),
            kind in prop::sample::select(vec![0x20_u8, 0x30, 0x32, 0x3a, 0x90, 0xd0, 0xff]),
            length in any::<u8>(),
        ) {
            for head in [Vec::new(), vec![kind], vec![kind, length]] {
                let mut frames = Frames::new(16);
                frames.room().extend_from_slice(&head);
                frames.room().extend_from_slice(&wire);
                while let Ok(Some(_)) = frames.next() {}
            }
        }
    }

    #[test]
    fn an_oversize_payload_takes_no_memory() {
        let mut frames = Frames::new(LIMIT);
        let length = 50_000_000;
        let mut head = BytesMut::new();
        // 50 000 000 + 5 bytes remain: topic "t" and packet identifier 9.
        head.extend_from_slice(&[0x32, 0x85, 0xe1, 0xeb, 0x17, 0, 1, b't', 0, 9]);
        frames.room().extend_from_slice(&head);
        assert_eq!(frames.next().expect("well-formed"), None);
        let mut left = length;
        let mut found = Vec::new();
        while left > 0 {
            let piece = left.min(CHUNK);
            frames.room().extend_from_slice(&vec![0; piece]);
            left -= piece;
            assert!(left == 0 || found.is_empty(), "handed on before its last byte");
            found.extend(drain(&mut frames));
            assert!(
                frames.buffer.capacity() <= 4 * CHUNK,
                "{}",
                frames.buffer.capacity()
            );
        }
        let expected = Frame::Publish(Message {
            topic: "t".to_owned(),
            payload: Bytes::new(),
            packet_id: Some(9),
            duplicate: false,
            retained: false,
            oversize: Some(length),
        });
        assert_eq!(found, [expected]);
    }

    #[test]
    fn answers_are_read() {
        let mut wire = BytesMut::new();
        let conn_ack = ConnAck::new(ConnectReturnCode::Success, true);
        let sub_ack = SubAck::new(3, vec![SubscribeReasonCode::Failure]);
        conn_ack.write(&mut wire).expect("fits");
        PingResp.write(&mut wire).expect("fits");
        sub_ack.write(&mut wire).expect("fits");
        let unsub_ack = UnsubAck::new(4);
        unsub_ack.write(&mut wire).expect("fits");
        let expected = [
            Frame::ConnAck(conn_ack),
            Frame::PingResp,
            Frame::SubAck(sub_ack),
            Frame::UnsubAck(unsub_ack),
        ];
        assert_eq!(parse(&wire, &[1]), expected);
    }

    #[test]
    fn what_a_broker_must_not_send_is_refused() {
        let cases: [(&[u8], &str); 8] = [
            (&[0x34, 6, 0, 1, b't', 0, 9, 0], "QoS 2"),
            (&[0x36, 6, 0, 1, b't', 0, 9, 0], "malformed"),
            (&[0x30, 3, 0, 1, 0xff], "UTF-8"),
            (&[0x32, 5, 0, 1, b't', 0, 0], "Packet id Zero"),
            (&[0x30, 3, 0, 9, b't'], "malformed"),
            (&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01], "more than four bytes"),
            (&[0x10, 0], "unexpected packet of type 1"),
            (&[0x90, 0xff, 0xff, 0x7f], "type 9 with 2097151 bytes"),
        ];
        for (wire, expected) in cases {
            let mut frames = Frames::new(LIMIT);
            frames.room().extend_from_slice(wire);
            let error = frames.next().expect_err(expected).to_string();
            assert!(error.contains(expected), "{error} / {expected}");
        }
    }
}

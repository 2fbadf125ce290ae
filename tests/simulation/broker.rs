//! A broker with one persistent session at QoS 1, and the network between it and the gateway. Redelivers with DUP what
//! was not acknowledged, and accepts only acknowledgements that MQTT allows.

use std::collections::VecDeque;

use bytes::Bytes;
use ninewatch::domain::time::Moment;
use ninewatch::handoff::{Envelope, Receipt};

/// What a device published.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    /// Its size, when ingest keeps none of it.
    pub(crate) oversize: Option<usize>,
    pub(crate) mark: Mark,
}

/// How a message is known again in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// By its sequence number.
    Seq(u64),
    /// By its device's time.
    At(i64),
    /// Not by itself: such messages are counted.
    Plain,
    /// As a dead letter, by its bytes.
    Letter,
    /// As a dead letter, by its size.
    Oversize(usize),
}

struct InFlight {
    packet_id: u16,
    message: Message,
    duplicate: bool,
    /// On the present connection.
    sent: bool,
}

/// The broker's side of the session.
pub(crate) struct Broker {
    queue: VecDeque<Message>,
    in_flight: VecDeque<InFlight>,
    window: usize,
    last_packet_id: u16,
    connection: u32,
    up: bool,
    /// On their way to the broker over the present connection.
    receipts: VecDeque<Receipt>,
    /// The messages that were acknowledged.
    pub(crate) acknowledged: Vec<Message>,
}

impl Broker {
    pub(crate) fn new(window: usize) -> Broker {
        Broker {
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            window,
            last_packet_id: 0,
            connection: 0,
            up: false,
            receipts: VecDeque::new(),
            acknowledged: Vec::new(),
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.up
    }

    /// Whether every message has been delivered and acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty()
    }

    pub(crate) fn publish(&mut self, message: Message) {
        self.queue.push_back(message);
    }

    /// The gateway connects to the session that it had: what it did not acknowledge comes first, in its order.
    pub(crate) fn connect(&mut self) {
        self.connection += 1;
        self.up = true;
        for flight in &mut self.in_flight {
            flight.duplicate |= flight.sent;
            flight.sent = false;
        }
    }

    /// The connection ends, with everything that is on its way.
    pub(crate) fn disconnect(&mut self) {
        self.up = false;
        self.receipts.clear();
    }

    /// The session is gone with what was kept for it.
    pub(crate) fn lose_session(&mut self) {
        self.disconnect();
        self.queue.clear();
        self.in_flight.clear();
    }

    /// The next message, when the window allows.
    pub(crate) fn deliver(&mut self, received: Moment) -> Option<Envelope> {
        if !self.up {
            return None;
        }
        if self.in_flight.iter().all(|flight| flight.sent) {
            if self.in_flight.len() >= self.window {
                return None;
            }
            let message = self.queue.pop_front()?;
            self.last_packet_id = self.last_packet_id % 1_000 + 1;
            self.in_flight.push_back(InFlight {
                packet_id: self.last_packet_id,
                message,
                duplicate: false,
                sent: false,
            });
        }
        let flight = self.in_flight.iter_mut().find(|flight| !flight.sent)?;
        flight.sent = true;
        let message = &flight.message;
        Some(Envelope {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            received,
            duplicate: flight.duplicate,
            retained: false,
            oversize: message.oversize,
            receipt: Some(Receipt {
                connection: self.connection,
                packet_id: flight.packet_id,
            }),
        })
    }

    /// The gateway sends these; those of an earlier connection are void, and stay where they are.
    pub(crate) fn send(&mut self, receipts: &mut Vec<Receipt>) {
        let (connection, up) = (self.connection, self.up);
        let valid = receipts
            .drain(..)
            .filter(|receipt| up && receipt.connection == connection);
        self.receipts.extend(valid);
    }

    /// The next acknowledgement arrives. It is for the oldest message without one on this connection (MQTT-4.6.0-2).
    pub(crate) fn acknowledge(&mut self) -> Result<bool, String> {
        let Some(receipt) = self.receipts.pop_front() else {
            return Ok(false);
        };
        match self.in_flight.pop_front() {
            Some(flight) if flight.sent && flight.packet_id == receipt.packet_id => {
                self.acknowledged.push(flight.message);
                Ok(true)
            }
            Some(flight) => Err(format!(
                "packet {} is acknowledged while {} is due",
                receipt.packet_id, flight.packet_id
            )),
            None => Err(format!(
                "packet {} is acknowledged, and none is in flight",
                receipt.packet_id
            )),
        }
    }
}

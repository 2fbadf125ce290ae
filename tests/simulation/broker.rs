//! A broker with one persistent session at QoS 1, and the network between it and the gateway. Redelivers with DUP what
//! was not acknowledged, accepts only acknowledgements that MQTT allows, and sends what it retained to whoever subscribes.

use std::collections::{BTreeMap, VecDeque};

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
    /// At QoS 0: it may be lost, and never comes twice.
    pub(crate) fleeting: bool,
    /// The broker keeps it for whoever subscribes later.
    pub(crate) retain: bool,
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
    /// A valve's answer to a command: counted likewise.
    Answer,
    /// As a dead letter, by its bytes.
    Letter,
    /// As a dead letter, by its size.
    Oversize(usize),
}

struct InFlight {
    packet_id: u16,
    message: Message,
    duplicate: bool,
    /// It is what was retained, not news.
    retained: bool,
    /// On the present connection.
    sent: bool,
}

/// The broker's side of the session.
pub(crate) struct Broker {
    /// With whether it is what was retained.
    queue: VecDeque<(Message, bool)>,
    /// By topic.
    retained: BTreeMap<String, Message>,
    in_flight: VecDeque<InFlight>,
    window: usize,
    last_packet_id: u16,
    connection: u32,
    up: bool,
    /// On their way to the broker over the present connection.
    receipts: VecDeque<Receipt>,
    /// The messages that were acknowledged.
    pub(crate) acknowledged: Vec<Message>,
    /// How many were sent because they had been retained.
    pub(crate) resent: usize,
    /// How many at QoS 0.
    pub(crate) fleeting: usize,
}

impl Broker {
    pub(crate) fn new(window: usize) -> Broker {
        Broker {
            queue: VecDeque::new(),
            retained: BTreeMap::new(),
            in_flight: VecDeque::new(),
            window,
            last_packet_id: 0,
            connection: 0,
            up: false,
            receipts: VecDeque::new(),
            acknowledged: Vec::new(),
            resent: 0,
            fleeting: 0,
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
        if message.retain {
            self.retained.insert(message.topic.clone(), message.clone());
        }
        if self.up || !message.fleeting {
            self.queue.push_back((message, false));
        }
    }

    /// The gateway connects to the session that it had: what it did not acknowledge comes first, in its order. It
    /// subscribes anew, and gets what is retained.
    pub(crate) fn connect(&mut self) {
        self.connection += 1;
        self.up = true;
        for flight in &mut self.in_flight {
            flight.duplicate |= flight.sent;
            flight.sent = false;
        }
        let retained = self.retained.values().cloned();
        self.queue.extend(retained.map(|message| (message, true)));
    }

    /// The connection ends, with everything that is on its way.
    pub(crate) fn disconnect(&mut self) {
        self.up = false;
        self.receipts.clear();
        self.queue.retain(|(message, _)| !message.fleeting);
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
            if let Some((message, retained)) = self.queue.pop_front_if(|(message, _)| message.fleeting) {
                self.fleeting += 1;
                return Some(envelope(&message, retained, received));
            }
            if self.in_flight.len() >= self.window {
                return None;
            }
            let (message, retained) = self.queue.pop_front()?;
            self.resent += usize::from(retained);
            self.last_packet_id = self.last_packet_id % 1_000 + 1;
            self.in_flight.push_back(InFlight {
                packet_id: self.last_packet_id,
                message,
                duplicate: false,
                retained,
                sent: false,
            });
        }
        let flight = self.in_flight.iter_mut().find(|flight| !flight.sent)?;
        flight.sent = true;
        Some(Envelope {
            duplicate: flight.duplicate,
            receipt: Some(Receipt {
                connection: self.connection,
                packet_id: flight.packet_id,
            }),
            ..envelope(&flight.message, flight.retained, received)
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
    pub(crate) fn acknowledge(&mut self) -> Result<Option<Mark>, String> {
        let Some(receipt) = self.receipts.pop_front() else {
            return Ok(None);
        };
        match self.in_flight.pop_front() {
            Some(flight) if flight.sent && flight.packet_id == receipt.packet_id => {
                let mark = flight.message.mark;
                self.acknowledged.push(flight.message);
                Ok(Some(mark))
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

/// As it comes at QoS 0.
fn envelope(message: &Message, retained: bool, received: Moment) -> Envelope {
    Envelope {
        topic: message.topic.clone(),
        payload: message.payload.clone(),
        received,
        duplicate: false,
        retained,
        oversize: message.oversize,
        receipt: None,
    }
}

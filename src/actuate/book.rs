//! The commands that the broker has not taken yet: at most one a device, each until its PUBACK or its expiry; one that opens
//! only as long as the connection stands. Pure: it is told the time and never sends.

use std::collections::VecDeque;

use crate::domain::time::{Moment, Ticks};
use crate::handoff::{CommandMessage, CommandSent};

/// The most bytes of a topic (MQTT 3.1.1, 1.5.3).
const LONGEST_TOPIC: usize = 65_535;

/// Commands that wait for the broker, in the order in which they go out.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: VecDeque<Entry>,
    connected: bool,
    last_packet_id: u16,
}

#[derive(Debug)]
struct Entry {
    message: CommandMessage,
    /// On gateway time, so that a jump of the wall clock neither drops nor keeps it.
    expires: Ticks,
    packet_id: Option<u16>,
}

/// What the book did with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits.
    Waits,
    /// It waits in the place of an earlier one for the same device.
    Replaces,
    /// It had expired.
    Expired,
    /// It opens, and cannot leave now: there is no connection, or it is not wanted any more.
    Refused,
    /// No broker would take its topic; many would close the connection, with all other commands on it.
    BadTopic,
}

impl Book {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A connection stands from now on.
    pub(super) const fn connected(&mut self) {
        self.connected = true;
    }

    /// Takes `message`. Of two for one device the later counts: the earlier is the same again, or its contrary.
    pub(super) fn take(&mut self, message: CommandMessage, now: Moment) -> Taken {
        if !is_topic(&message.topic) {
            return Taken::BadTopic;
        }
        let left = u64::try_from(message.expires_at.since(now.wall)).unwrap_or(0);
        if left == 0 {
            return Taken::Expired;
        }
        // By the time that a connection is back, whoever wanted it may have been told that it failed.
        if message.opening.is_some() && !self.connected || message.is_withdrawn() {
            return Taken::Refused;
        }
        let before = self.entries.len();
        self.entries
            .retain(|entry| entry.message.device != message.device);
        let replaces = self.entries.len() < before;
        self.entries.push_back(Entry {
            message,
            expires: Ticks(now.ticks.0.saturating_add(left)),
            packet_id: None,
        });
        if replaces { Taken::Replaces } else { Taken::Waits }
    }

    /// The next command that this connection has not seen, with the packet identifier that it gets.
    pub(super) fn next_unsent(&mut self) -> Option<(u16, &CommandMessage)> {
        self.entries
            .retain(|entry| entry.packet_id.is_some() || !entry.message.is_withdrawn());
        let place = self.entries.iter().position(|entry| entry.packet_id.is_none())?;
        let packet_id = self.free_packet_id();
        let entry = self.entries.get_mut(place)?;
        entry.packet_id = Some(packet_id);
        Some((packet_id, &entry.message))
    }

    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            let id = Some(self.last_packet_id);
            // Ends: there are far fewer entries than identifiers.
            if self.entries.iter().all(|entry| entry.packet_id != id) {
                return self.last_packet_id;
            }
        }
    }

    /// The broker has taken what went out under `packet_id`. `None`: it is not waited for any more.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> Option<CommandSent> {
        let sent = |entry: &Entry| entry.packet_id == Some(packet_id);
        let place = self.entries.iter().position(sent)?;
        let entry = self.entries.remove(place)?;
        Some(CommandSent {
            device: entry.message.device,
            id: entry.message.id,
        })
    }

    /// The connection is gone: what it did not acknowledge goes out anew. Says how many had gone out. The first of them
    /// goes last: should the broker close the connection because of it, the others get past. What opens is dropped.
    pub(super) fn disconnected(&mut self) -> usize {
        self.connected = false;
        self.entries.retain(|entry| entry.message.opening.is_none());
        let first = self.entries.iter().position(|entry| entry.packet_id.is_some());
        if let Some(first) = first.and_then(|place| self.entries.remove(place)) {
            self.entries.push_back(first);
        }
        let mut again = 0;
        for entry in &mut self.entries {
            again += usize::from(entry.packet_id.take().is_some());
        }
        again
    }

    /// Drops what has expired.
    pub(super) fn expire(&mut self, now: Ticks) -> Vec<CommandMessage> {
        let (expired, kept) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition::<VecDeque<Entry>, _>(|entry| entry.expires <= now);
        self.entries = kept;
        expired.into_iter().map(|entry| entry.message).collect()
    }

    /// When the next one expires.
    pub(super) fn next_expiry(&self) -> Option<Ticks> {
        self.entries.iter().map(|entry| entry.expires).min()
    }
}

/// Whether one may publish to `topic` (MQTT 3.1.1, 4.7).
fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= LONGEST_TOPIC && !topic.contains(['+', '#', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::device::DeviceIndex;
    use crate::domain::id::Id;
    use crate::domain::time::Timestamp;
    use crate::handoff::opening::Opening;

    const NOW: Moment = Moment {
        wall: Timestamp(1_767_225_600_000),
        ticks: Ticks(500),
    };

    fn command(device: u32, id: u128, within: i64) -> CommandMessage {
        CommandMessage {
            device: DeviceIndex(device),
            id: Id::from_bits(id),
            topic: format!("v/{device}/command"),
            payload: Vec::new().into(),
            expires_at: Timestamp(NOW.wall.0 + within),
            opening: None,
        }
    }

    /// Sends all that waits: the devices, with their packet identifiers.
    fn send(book: &mut Book) -> Vec<(u16, u32)> {
        let mut sent = Vec::new();
        while let Some((packet_id, message)) = book.next_unsent() {
            sent.push((packet_id, message.device.0));
        }
        sent
    }

    #[test]
    fn each_goes_out_once_a_connection_until_it_is_acknowledged() {
        let mut book = Book::default();
        for device in 1..=3 {
            assert_eq!(
                book.take(command(device, u128::from(device), 1000), NOW),
                Taken::Waits
            );
        }
        assert_eq!(send(&mut book), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(send(&mut book), []);
        assert_eq!(book.acknowledged(2).map(|sent| sent.id), Some(Id::from_bits(2)));
        assert_eq!(book.acknowledged(2), None, "twice");
        assert_eq!(book.acknowledged(9), None, "never sent");
        assert_eq!(book.disconnected(), 2);
        assert_eq!(send(&mut book), [(4, 3), (5, 1)], "the first goes last");
        assert_eq!(book.acknowledged(1), None, "of the connection before");
        assert_eq!(book.len(), 2);
    }

    #[test]
    fn one_that_the_broker_closes_for_does_not_hold_up_the_others() {
        let mut book = Book::default();
        for device in 1..=4 {
            book.take(command(device, u128::from(device), 1000), NOW);
        }
        let poison = 2;
        let mut connections = 0;
        while book.len() > 1 {
            connections += 1;
            assert!(connections < 5, "{book:?}");
            for (packet_id, device) in send(&mut book) {
                if device == poison {
                    break;
                }
                book.acknowledged(packet_id);
            }
            book.disconnected();
        }
        assert_eq!(send(&mut book).len(), 1);
    }

    /// One that opens, and its gateway's handle on it.
    fn opening(device: u32) -> (CommandMessage, Opening) {
        let opening = Opening::default();
        let message = CommandMessage {
            opening: Some(opening.clone()),
            ..command(device, 9, 1000)
        };
        (message, opening)
    }

    #[test]
    fn an_opening_waits_for_no_connection() {
        let mut book = Book::default();
        book.take(command(1, 1, 1000), NOW);
        assert_eq!(
            book.take(opening(1).0, NOW),
            Taken::Refused,
            "there never was one"
        );
        assert_eq!(send(&mut book), [(1, 1)], "what closes waits on");
        book.connected();
        assert_eq!(book.take(opening(2).0, NOW), Taken::Waits);
        assert_eq!(book.take(opening(3).0, NOW), Taken::Waits);
        assert_eq!(send(&mut book), [(2, 2), (3, 3)]);
        assert_eq!(book.acknowledged(2).map(|sent| sent.id), Some(Id::from_bits(9)));
        assert_eq!(book.take(opening(4).0, NOW), Taken::Waits, "not sent yet");
        assert_eq!(book.disconnected(), 1);
        assert_eq!(book.take(opening(5).0, NOW), Taken::Refused);
        book.connected();
        assert_eq!(send(&mut book), [(4, 1)], "what closes, and nothing else");
    }

    #[test]
    fn an_opening_that_is_withdrawn_does_not_leave() {
        let mut book = Book::default();
        book.connected();
        let (first, withdrawn) = opening(1);
        withdrawn.withdraw();
        assert_eq!(book.take(first, NOW), Taken::Refused);
        let (second, withdrawn) = opening(2);
        assert_eq!(book.take(second, NOW), Taken::Waits);
        book.take(command(3, 3, 1000), NOW);
        withdrawn.withdraw();
        assert_eq!(send(&mut book), [(1, 3)]);
        assert_eq!(book.len(), 1);
        assert!(!withdrawn.is_on_its_way());
    }

    #[test]
    fn the_later_one_for_a_device_counts() {
        let mut book = Book::default();
        book.take(command(1, 1, 1000), NOW);
        assert_eq!(send(&mut book), [(1, 1)]);
        assert_eq!(book.take(command(1, 2, 1000), NOW), Taken::Replaces);
        assert_eq!(send(&mut book), [(2, 1)]);
        assert_eq!(book.acknowledged(1), None);
        assert_eq!(book.acknowledged(2).map(|sent| sent.id), Some(Id::from_bits(2)));
        assert!(book.is_empty());
    }

    #[test]
    fn what_has_expired_is_dropped_whatever_the_wall_clock_does() {
        let mut book = Book::default();
        assert_eq!(book.take(command(1, 1, 0), NOW), Taken::Expired);
        assert_eq!(book.take(command(1, 1, -5), NOW), Taken::Expired);
        book.take(command(1, 1, 100), NOW);
        book.take(command(2, 2, 200), NOW);
        assert_eq!(book.next_expiry(), Some(Ticks(600)));
        assert!(book.expire(Ticks(599)).is_empty());
        let expired: Vec<u32> = book.expire(Ticks(600)).iter().map(|m| m.device.0).collect();
        assert_eq!(expired, [1]);
        assert_eq!(book.next_expiry(), Some(Ticks(700)));
        assert_eq!(send(&mut book), [(1, 2)]);
    }

    #[test]
    fn a_topic_that_would_cost_the_connection_is_refused() {
        for topic in ["", "a/+/b", "a/#", "a\0b", &"a".repeat(65_536)] {
            let bad = CommandMessage {
                topic: topic.to_owned(),
                ..command(1, 1, 100)
            };
            let mut book = Book::default();
            assert_eq!(book.take(bad, NOW), Taken::BadTopic);
            assert!(book.is_empty());
        }
    }

    #[test]
    fn identifiers_in_use_are_not_given_again() {
        let mut book = Book::default();
        book.take(command(0, 0, 1000), NOW);
        assert_eq!(send(&mut book), [(1, 0)]);
        for round in 0..70_000_u32 {
            book.take(command(1 + round % 3, 1, 1000), NOW);
            for (packet_id, device) in send(&mut book) {
                assert!(packet_id > 1, "round {round}: device {device}");
                book.acknowledged(packet_id);
            }
        }
    }
}

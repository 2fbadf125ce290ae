//! One simulated device: its body, what ails it, which commands it has heard. Decides whether a command is obeyed:
//! never a retained or an expired one, and the same one only once. Pure.

use std::collections::VecDeque;

use super::body::{Ails, Body, Command};
use super::voice::Voice;
use crate::config::Happening;
use crate::domain::device::DeviceKey;
use crate::domain::time::{Millis, Timestamp};

/// Ids of commands that a device remembers.
const REMEMBERED: usize = 32;

/// A command as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// What tells a repeated command from a new one, if the wire form has it.
    pub id: Option<String>,
    /// What to do; `None` for a word that no device knows.
    pub command: Option<Command>,
    /// When it is no longer to be obeyed, if the wire form says so.
    pub expires_at: Option<Timestamp>,
}

/// What becomes of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done after this long.
    Obeyed(Command, Millis),
    /// It was obeyed before: acknowledged once more, nothing else.
    Repeated,
    /// Such a device does no such thing: acknowledged as refused.
    Refused,
    /// Too old: no word.
    Expired,
    /// The device is offline or mute: no word.
    Unheard,
}

/// A device of the town.
#[derive(Debug)]
pub struct Unit {
    /// Its identity.
    pub key: DeviceKey,
    /// What it measures and moves.
    pub body: Body,
    /// How it speaks.
    pub voice: Voice,
    /// What befalls it at present; the same may be there twice.
    befallen: Vec<Happening>,
    obeyed: VecDeque<String>,
}

impl Unit {
    /// A healthy device.
    pub fn new(key: DeviceKey, body: Body, voice: Voice) -> Unit {
        Unit {
            key,
            body,
            voice,
            befallen: Vec::new(),
            obeyed: VecDeque::with_capacity(REMEMBERED),
        }
    }

    /// `happening` befalls it.
    pub fn befall(&mut self, happening: Happening) {
        self.befallen.push(happening);
    }

    /// `happening` is over. Whether it was the last of its sort.
    pub fn recover(&mut self, happening: Happening) -> bool {
        if let Some(place) = self.befallen.iter().position(|known| *known == happening) {
            self.befallen.swap_remove(place);
        }
        !self.suffers(happening)
    }

    /// Whether this befalls it now.
    pub fn suffers(&self, happening: Happening) -> bool {
        self.befallen.contains(&happening)
    }

    /// Whether it neither speaks nor hears.
    pub fn is_away(&self) -> bool {
        self.suffers(Happening::Mute) || self.suffers(Happening::Offline)
    }

    /// What is wrong with the device itself.
    pub fn ails(&self) -> Ails {
        Ails {
            faulty: self.suffers(Happening::Fault),
            stuck: self.suffers(Happening::Stuck),
            welded: self.suffers(Happening::Welded),
        }
    }

    /// Turns to an order that was not retained.
    pub fn obey(&mut self, order: &Order, now: Timestamp) -> Answer {
        if self.is_away() {
            return Answer::Unheard;
        }
        if order.expires_at.is_some_and(|end| now >= end) {
            return Answer::Expired;
        }
        if order.id.as_ref().is_some_and(|id| self.obeyed.contains(id)) {
            return Answer::Repeated;
        }
        let ails = self.ails();
        let begun = order
            .command
            .and_then(|command| Some((command, self.body.start(command, ails)?)));
        let Some((command, takes)) = begun else {
            return Answer::Refused;
        };
        if let Some(id) = &order.id {
            if self.obeyed.len() == REMEMBERED {
                self.obeyed.pop_front();
            }
            self.obeyed.push_back(id.clone());
        }
        Answer::Obeyed(command, takes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Order, Unit};
    use crate::config::Happening;
    use crate::domain::device::DeviceKey;
    use crate::domain::time::{Millis, Timestamp};
    use crate::simulate::body::{Body, Command};
    use crate::simulate::dice::Dice;
    use crate::simulate::voice::Voice;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn valve() -> Unit {
        let key = DeviceKey {
            venue: "v1".to_owned(),
            kind: "shutoff_valve".to_owned(),
            device: "valve".to_owned(),
        };
        let body = Body::of(&key.kind, &mut Dice::new(1)).unwrap();
        Unit::new(key, body, Voice::NATIVE)
    }

    fn order(id: &str, command: Option<Command>, expires_at: i64) -> Order {
        Order {
            id: Some(id.to_owned()),
            command,
            expires_at: Some(Timestamp(expires_at)),
        }
    }

    #[test]
    fn an_order_is_obeyed_once_in_time_and_by_who_can() {
        let mut unit = valve();
        let close = Some(Command::Close);
        let obeyed = Answer::Obeyed(Command::Close, Millis(1_200));
        for (order, expected) in [
            (order("a", close, NOW.0 + 1), obeyed),
            (order("a", close, NOW.0 + 1), Answer::Repeated),
            (order("b", close, NOW.0), Answer::Expired),
            (order("b", close, NOW.0 - 1), Answer::Expired),
            (order("b", close, NOW.0 + 1), obeyed),
            (order("c", Some(Command::Off), NOW.0 + 1), Answer::Refused),
            (order("c", None, NOW.0 + 1), Answer::Refused),
        ] {
            assert_eq!(unit.obey(&order, NOW), expected, "{order:?}");
        }
    }

    #[test]
    fn who_is_away_hears_nothing_and_remembers_nothing() {
        for happening in [Happening::Mute, Happening::Offline] {
            let mut unit = valve();
            unit.befall(happening);
            let order = order("a", Some(Command::Close), NOW.0 + 1);
            assert_eq!(unit.obey(&order, NOW), Answer::Unheard);
            assert!(unit.recover(happening));
            assert_eq!(
                unit.obey(&order, NOW),
                Answer::Obeyed(Command::Close, Millis(1_200))
            );
        }
    }

    #[test]
    fn of_two_of_a_sort_the_last_ends_it() {
        let mut unit = valve();
        unit.befall(Happening::Stuck);
        unit.befall(Happening::Stuck);
        assert!(!unit.recover(Happening::Stuck));
        assert!(unit.ails().stuck);
        assert!(unit.recover(Happening::Stuck));
        assert!(!unit.ails().stuck);
    }
}

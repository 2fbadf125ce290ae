//! What is sent in one message, how a target wants to be treated, and whose fault it was when it did not take one. Pure.

use sha2::{Digest, Sha256};

use crate::domain::directions::Recipient;
use crate::domain::id::Id;
use crate::domain::time::{Millis, Ticks};
use crate::handoff::outbox::Moved;
use crate::store::PendingNotice;

/// The longest silence that a target's answer may ask for.
pub const LONGEST_SILENCE: Millis = Millis(3_600_000);

/// How a target wants to be treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manners {
    /// The most attempts under way at once, at least 1.
    pub at_once: usize,
    /// How many of these are kept for what is urgent.
    pub for_urgent: usize,
    /// How many messages it takes in which time; all of them hold.
    pub limits: Vec<Limit>,
    /// How many messages of the first limit are kept for what is urgent.
    pub reserve: u32,
    /// Many notices may go in one message, and what is not urgent waits so long for company; `None`: each goes alone.
    pub gather: Option<Millis>,
    /// For how long it may take nothing before people are told through the next of their channels.
    pub fall_over: Millis,
}

impl Default for Manners {
    /// Those of a machine: several at once, each alone, as fast as it answers.
    fn default() -> Manners {
        Manners {
            at_once: 8,
            for_urgent: 0,
            limits: Vec::new(),
            reserve: 0,
            gather: None,
            fall_over: Millis(15_000),
        }
    }
}

/// At most so many messages in any window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub messages: u32,
    /// The window's length.
    pub window: Millis,
}

/// What goes out in one message: a notice, or a digest of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    first: PendingNotice,
    others: Vec<PendingNotice>,
    sent_at: Ticks,
}

impl Parcel {
    /// One notice.
    pub const fn single(notice: PendingNotice) -> Parcel {
        Parcel {
            first: notice,
            others: Vec::new(),
            sent_at: Ticks(0),
        }
    }

    /// All of these; `None` when there are none.
    pub fn of(mut notices: Vec<PendingNotice>) -> Option<Parcel> {
        let others = notices.split_off(notices.len().min(1));
        Some(Parcel {
            first: notices.pop()?,
            others,
            sent_at: Ticks(0),
        })
    }

    /// On its way since `at`.
    #[must_use]
    pub(super) const fn started(mut self, at: Ticks) -> Parcel {
        self.sent_at = at;
        self
    }

    /// Since when it has been on its way.
    pub(super) const fn sent_at(&self) -> Ticks {
        self.sent_at
    }

    /// The message's id: the notice's own, through all retries; that of a digest is made of those in it.
    pub fn id(&self) -> Id {
        if self.others.is_empty() {
            return self.first.id;
        }
        let mut hash = Sha256::new();
        for notice in self.notices() {
            hash.update(notice.id.bits().to_be_bytes());
        }
        let unique = hash
            .finalize()
            .iter()
            .take(10)
            .fold(0, |sum: u128, byte| (sum << 8) | u128::from(*byte));
        // As in every id, the upper 48 bits are the time.
        Id::from_bits((self.first.id.bits() >> 80 << 80) | unique)
    }

    /// What is left of it once those `told` have it.
    pub fn divided(self, told: &Told) -> Divided {
        let sent_at = self.sent_at;
        let some = told != Told::NOBODY;
        let (mut taken, mut left, mut shrunk) = (Vec::new(), Vec::new(), Vec::new());
        for mut notice in self.into_notices() {
            let before = notice.people.len();
            notice
                .people
                .retain(|person| !told.officers.contains(&person.officer));
            match notice.people.len() {
                // What is for nobody in particular has whoever reads the target.
                0 if before > 0 || told.rest => taken.push(notice),
                now => {
                    if some {
                        // The target takes something: it is not backed off from.
                        notice.attempts = 0;
                    }
                    if now < before {
                        shrunk.push(Moved {
                            notice: notice.row,
                            to: Vec::new(),
                            left: Some(notice.people.clone()),
                        });
                    }
                    left.push(notice);
                }
            }
        }
        let parcel = |notices| Parcel::of(notices).map(|parcel| parcel.started(sent_at));
        Divided {
            taken: parcel(taken),
            left: parcel(left),
            shrunk,
        }
    }

    /// What of it is for nobody but those whom the target refuses. Of other notices those go on through their next channel;
    /// where they have none they stay with the others.
    pub fn parted(self, refused: &Told, fault: Fault) -> Parted {
        let sent_at = self.sent_at;
        let (mut apart, mut left, mut moved) = (Vec::new(), Vec::new(), Vec::new());
        for mut notice in self.into_notices() {
            let is_refused = |person: &Recipient| refused.officers.contains(&person.officer);
            let count = notice.people.iter().filter(|person| is_refused(person)).count();
            if count == notice.people.len() && (count > 0 || refused.rest) {
                apart.push(notice);
                continue;
            }
            if count > 0 && fault == Fault::Reader {
                let (gone, others) = notice.people.into_iter().partition(is_refused);
                let (to, stay) = Recipient::onward(gone);
                notice.people = others;
                notice.people.extend(stay);
                if !to.is_empty() {
                    moved.push(Moved {
                        notice: notice.row,
                        to,
                        left: Some(notice.people.clone()),
                    });
                }
            }
            left.push(notice);
        }
        let parcel = |notices| Parcel::of(notices).map(|parcel| parcel.started(sent_at));
        Parted {
            apart: parcel(apart),
            left: parcel(left),
            moved,
        }
    }

    /// Its notices, the most important first.
    pub fn notices(&self) -> impl Iterator<Item = &PendingNotice> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Its notices.
    pub fn into_notices(self) -> impl Iterator<Item = PendingNotice> {
        std::iter::once(self.first).chain(self.others)
    }

    /// The only one, or the most important one.
    pub const fn first(&self) -> &PendingNotice {
        &self.first
    }

    /// How many notices are in it, at least one.
    pub const fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Whether there are several.
    pub const fn is_digest(&self) -> bool {
        !self.others.is_empty()
    }

    /// Whether something in it must not wait.
    pub fn is_urgent(&self) -> bool {
        self.notices().any(|notice| notice.urgent)
    }
}

/// Who has a message that others lack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Officers, by id.
    pub officers: Vec<String>,
    /// And whoever reads what is for nobody in particular.
    pub rest: bool,
}

impl Told {
    /// Nobody.
    pub const NOBODY: &'static Told = &Told {
        officers: Vec::new(),
        rest: false,
    };
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.officers.len(), self.rest) {
            (0, false) => f.write_str("none of its people"),
            (0, true) => f.write_str("those who read for all"),
            (officers, true) => write!(f, "{officers} of its people and those who read for all"),
            (officers, false) => write!(f, "{officers} of its people"),
        }
    }
}

/// A message that some of its people have.
#[derive(Debug)]
pub struct Divided {
    /// What all of its people have.
    pub taken: Option<Parcel>,
    /// What is owed still.
    pub left: Option<Parcel>,
    /// Of that, what is for fewer people now.
    pub shrunk: Vec<Moved>,
}

/// A message that the target refuses for some of its people.
#[derive(Debug)]
pub struct Parted {
    /// What is for them alone.
    pub apart: Option<Parcel>,
    /// What is for others.
    pub left: Option<Parcel>,
    /// Of that, what is for fewer people now, and whom it goes on to.
    pub moved: Vec<Moved>,
}

/// Whose fault a failed attempt was, and so what is tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The target's: it is away or unwell. Once it takes anything again, it is worth trying at once.
    Target,
    /// This message's: the target answered and did not want it.
    Notice,
    /// Its readers': the target knows no way to them. Nothing else waits for it.
    Reader,
    /// Ours: it was too much, and for so long, at most [`LONGEST_SILENCE`], nothing more is wanted.
    Throttled(Millis),
    /// The configuration's: the address, key or rights are wrong, or this machine's clock. Nothing will be taken until a
    /// person mends it.
    Configuration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::officer::{Contact, Language};
    use crate::domain::time::Timestamp;

    fn notice(row: i64, people: &[&str]) -> PendingNotice {
        let people = people.iter().map(|officer| Recipient {
            officer: (*officer).to_owned(),
            name: (*officer).to_owned(),
            language: Language::Zh,
            contact: Contact::default(),
            next: Vec::new(),
        });
        PendingNotice {
            row,
            id: Id::from_bits(1_000 + u128::from(row.unsigned_abs())),
            alarm: Id::from_bits(u128::from(row.unsigned_abs())),
            body: String::new(),
            created_at: Timestamp(0),
            attempts: 0,
            due_at: Timestamp(0),
            critical: false,
            urgent: false,
            people: people.collect(),
            refused: false,
        }
    }

    /// The rows that are taken, and those that are left.
    fn divided(officers: &[&str], rest: bool) -> (Vec<i64>, Vec<i64>) {
        let parcel = Parcel::of(vec![
            notice(1, &[]),
            notice(2, &["wang"]),
            notice(3, &["wang", "li"]),
            notice(4, &["li"]),
            notice(5, &[]),
        ]);
        let told = Told {
            officers: officers.iter().map(|officer| (*officer).to_owned()).collect(),
            rest,
        };
        let divided = parcel.unwrap().divided(&told);
        let rows = |parcel: Option<Parcel>| -> Vec<i64> {
            let notices = parcel.into_iter().flat_map(Parcel::into_notices);
            notices.map(|notice| notice.row).collect()
        };
        (rows(divided.taken), rows(divided.left))
    }

    #[test]
    fn who_is_refused_does_not_decide_for_the_others() {
        let with_next = |officer: &str| Recipient {
            next: vec!["phone".to_owned()],
            ..notice(1, &[officer]).people.remove(0)
        };
        let mixed = PendingNotice {
            people: vec![with_next("wang"), with_next("li")],
            ..notice(2, &[])
        };
        let parcel = Parcel::of(vec![
            notice(1, &["wang"]),
            mixed,
            notice(3, &["wang", "li"]),
            notice(4, &[]),
        ]);
        let refused = Told {
            officers: vec!["wang".to_owned()],
            rest: false,
        };
        let rows = |parcel: Option<Parcel>| -> Vec<(i64, Vec<String>)> {
            let notices = parcel.into_iter().flat_map(Parcel::into_notices);
            notices
                .map(|notice| {
                    let people = notice.people.into_iter().map(|person| person.officer);
                    (notice.row, people.collect())
                })
                .collect()
        };
        let people = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let parted = parcel.unwrap().parted(&refused, Fault::Reader);
        assert_eq!(rows(parted.apart), [(1, people(&["wang"]))]);
        assert_eq!(
            rows(parted.left),
            [
                (2, people(&["li"])),
                (3, people(&["li", "wang"])),
                (4, Vec::new())
            ]
        );
        let [moved] = parted.moved.as_slice() else {
            panic!("{:?}", parted.moved);
        };
        assert_eq!((moved.notice, moved.to[0].0.as_str()), (2, "phone"));
        assert_eq!(moved.to[0].1[0].officer, "wang");
    }

    #[test]
    fn only_what_somebody_lacks_is_left() {
        assert_eq!(divided(&["wang"], true), (vec![1, 2, 5], vec![3, 4]));
        assert_eq!(divided(&["wang"], false), (vec![2], vec![1, 3, 4, 5]));
        assert_eq!(divided(&[], true), (vec![1, 5], vec![2, 3, 4]));
        assert_eq!(divided(&[], false), (vec![], vec![1, 2, 3, 4, 5]));
    }
}

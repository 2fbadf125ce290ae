//! Who is told, and when: routes, chains, rosters and officers together. Pure: names an event's targets and people for
//! an instant that it is given; sends nothing and counts no time.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::almanac::Almanac;
use super::chain::{Addressee, Chain};
use super::officer::{Contact, Language, Officer};
use super::roster::Roster;
use super::route::{Mismatch, Route, Subject};
use super::rule::Priority;
use super::time::Timestamp;

/// Everything that says who is told.
#[derive(Debug, Clone, Default)]
pub struct Directions {
    /// In the order of the configuration.
    pub routes: Vec<Route>,
    /// The chains that routes may name.
    pub chains: Vec<Chain>,
    /// The rosters that chains may name.
    pub rosters: Vec<Roster>,
    /// The officers that rosters and chains may name.
    pub officers: Vec<Officer>,
    /// The names of all targets.
    pub targets: Vec<String>,
    /// Of these, those that write to each person alone: what is for certain people nobody else reads there.
    pub letters: Vec<String>,
    /// The schedules and the hours of the venues.
    pub almanac: Arc<Almanac>,
}

/// A message that a target is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The name of the target.
    pub target: String,
    /// For whom it is; nobody in particular: whoever reads the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<Recipient>,
    /// Besides `people`, it is for whoever reads the target.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,
    /// The end of quiet hours; `None`: it is due at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Why.
    pub why: Why,
}

/// Somebody for whom a message is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The officer's id.
    pub officer: String,
    /// The name for people.
    pub name: String,
    /// In which language.
    pub language: Language,
    /// How a channel names this person.
    #[serde(flatten)]
    pub contact: Contact,
    /// The targets to use instead, in order, when this one fails lastingly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

/// Why a message is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is a target of these routes.
    Routes(Vec<String>),
    /// A level of a chain has come.
    Level {
        /// The name of the chain.
        chain: String,
        /// The level, from 1.
        level: u8,
        /// Nobody stood in it: who is told instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<Instead>,
    },
}

/// Who is told where nobody stands in a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// Those of this level.
    Level(u8),
    /// The targets of the routes that lead to the chain.
    Targets,
}

impl Recipient {
    /// Splits `people` into those that another channel can reach, by its target, and those that have none left.
    pub fn onward(people: Vec<Recipient>) -> (Vec<(String, Vec<Recipient>)>, Vec<Recipient>) {
        let (mut onward, mut left): (Vec<(String, Vec<Recipient>)>, _) = (Vec::new(), Vec::new());
        for mut person in people {
            if person.next.is_empty() {
                left.push(person);
                continue;
            }
            let target = person.next.remove(0);
            match onward.iter_mut().find(|(known, _)| *known == target) {
                Some((_, people)) => people.push(person),
                None => onward.push((target, vec![person])),
            }
        }
        (onward, left)
    }
}

impl Owed {
    /// Whether it is for whoever reads the target, be it that certain people are called besides.
    pub const fn is_for_everyone(&self) -> bool {
        self.everyone || self.people.is_empty()
    }

    /// What a target is owed by routes alone, at once.
    pub fn direct(target: &str) -> Owed {
        Owed {
            target: target.to_owned(),
            people: Vec::new(),
            everyone: false,
            not_before: None,
            why: Why::Routes(Vec::new()),
        }
    }
}

impl Directions {
    /// The chain called `name`.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The roster called `name`.
    pub fn roster(&self, name: &str) -> Option<&Roster> {
        self.rosters.iter().find(|roster| roster.name() == name)
    }

    /// The officer with this id.
    pub fn officer(&self, id: &str) -> Option<&Officer> {
        self.officers.iter().find(|officer| officer.id == id)
    }

    /// Why `route` is not about `subject` at `at`; `None`: it is. A schedule of which nothing is known (the hours of a
    /// venue that has none) keeps nobody from being told.
    pub fn mismatch(&self, route: &Route, subject: &Subject<'_>, at: Timestamp) -> Option<Mismatch> {
        let out_of_hours = || {
            let schedule = route.schedule.as_deref()?;
            let in_force = self.almanac.in_force(schedule, subject.venue, at).unwrap_or(true);
            (!in_force).then_some(Mismatch::Schedule)
        };
        route.mismatch(subject).or_else(out_of_hours)
    }

    /// The routes that are about `subject` at `at`, in the order of the configuration.
    pub fn matching<'s>(
        &'s self,
        subject: &'s Subject<'_>,
        at: Timestamp,
    ) -> impl Iterator<Item = &'s Route> {
        let routes = self.routes.iter();
        routes.filter(move |route| self.mismatch(route, subject, at).is_none())
    }

    /// The names of the chains along which `subject` escalates when it is announced at `at`, each once.
    pub fn chains(&self, subject: &Subject<'_>, at: Timestamp) -> Vec<&str> {
        let mut chains: Vec<&str> = Vec::new();
        for route in self
            .routes
            .iter()
            .filter(|route| self.mismatch(route, subject, at).is_none())
        {
            if let Some(chain) = route.chain.as_deref().filter(|chain| !chains.contains(chain)) {
                chains.push(chain);
            }
        }
        chains
    }

    /// What the targets of the matching routes are owed of the event of `subject` at `at`: one message for each target.
    pub fn direct(&self, subject: &Subject<'_>, at: Timestamp) -> Vec<Owed> {
        let routes = self.matching(subject, at).filter(|route| route.tells(subject));
        self.targets_of(routes, subject, at)
            .into_iter()
            .map(|direct| Owed {
                target: direct.target.to_owned(),
                people: Vec::new(),
                everyone: false,
                not_before: direct.not_before,
                why: Why::Routes(direct.routes.into_iter().map(str::to_owned).collect()),
            })
            .collect()
    }

    /// What is owed when `level` (from 1) of the chain called `name` comes at `at`: one message for each target and instant at
    /// which it is due. Where nobody stands in the level, whoever stands in the next is told at once, else in the one before; where
    /// nobody does in any, the targets of the routes that lead to the chain. Nothing for a level that does not exist.
    pub fn level(&self, name: &str, level: u8, subject: &Subject<'_>, at: Timestamp) -> Vec<Owed> {
        let Some(chain) = self.chain(name).filter(|chain| chain.level(level).is_some()) else {
            return Vec::new();
        };
        let why = |instead| Why::Level {
            chain: name.to_owned(),
            level,
            instead,
        };
        let waits = self.chain_waits(name, subject, at);
        let last = u8::try_from(chain.levels.len()).unwrap_or(u8::MAX);
        for number in (level..=last).chain((1..level).rev()) {
            let Some(found) = chain.level(number) else {
                continue;
            };
            let instead = (number != level).then_some(Instead::Level(number));
            let owed = self.people(&found.to, &why(instead), waits, (subject, at));
            if !owed.is_empty() {
                return owed;
            }
        }
        // The hours of the routes may be over by now: better they than nobody.
        let leading = self
            .routes
            .iter()
            .filter(|route| route.chain.as_deref() == Some(name));
        let mut targets = self.targets_of(
            leading
                .clone()
                .filter(|route| self.mismatch(route, subject, at).is_none()),
            subject,
            at,
        );
        if targets.is_empty() {
            targets = self.targets_of(leading, subject, at);
        }
        let owed = targets.into_iter().map(|direct| Owed {
            target: direct.target.to_owned(),
            people: Vec::new(),
            everyone: false,
            not_before: direct.not_before,
            why: why(Some(Instead::Targets)),
        });
        owed.collect()
    }

    /// What is owed of the event of `subject` by routes, and by the first level of each of their chains.
    pub fn told(&self, subject: &Subject<'_>, at: Timestamp) -> Vec<Owed> {
        let mut owed = self.direct(subject, at);
        for chain in self.chains(subject, at) {
            owed.extend(self.level(chain, 1, subject, at));
        }
        owed
    }

    /// What those who were told before are owed of the event of `subject` at `at`: their quiet hours, channels and numbers are those
    /// of now. Officers and targets that are gone are owed nothing.
    pub fn again(&self, told: &[Owed], subject: &Subject<'_>, at: Timestamp) -> Vec<Owed> {
        let mut owed = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for before in told {
            let waits = match &before.why {
                Why::Level { chain, .. } => self.chain_waits(chain, subject, at),
                Why::Routes(_) => None,
            };
            if before.is_for_everyone() && self.targets.contains(&before.target) {
                self.put(&mut owed, message(&before.target, None, waits, &before.why));
            }
            for person in &before.people {
                let Some(officer) = self.officer(&person.officer) else {
                    continue;
                };
                if seen.contains(&officer.id.as_str()) {
                    continue;
                }
                seen.push(&officer.id);
                self.put_officer(&mut owed, officer, (waits, &before.why), (subject, at));
            }
        }
        owed
    }

    fn targets_of<'s>(
        &'s self,
        routes: impl Iterator<Item = &'s Route>,
        subject: &Subject<'_>,
        at: Timestamp,
    ) -> Vec<Direct<'s>> {
        let mut found: Vec<Direct<'s>> = Vec::new();
        for route in routes {
            let not_before = self.quiet_until(route.quiet_hours.as_deref(), subject, at);
            for target in &route.targets {
                match found.iter_mut().find(|known| known.target == target) {
                    Some(known) => {
                        known.routes.push(&route.name);
                        // `None` is the smaller: one route that does not wait is enough.
                        known.not_before = known.not_before.min(not_before);
                    }
                    None => found.push(Direct {
                        target,
                        routes: vec![&route.name],
                        not_before,
                    }),
                }
            }
        }
        found
    }

    /// What those in `to` are owed, because of `why` and not before `waits`.
    fn people(
        &self,
        to: &[Addressee],
        why: &Why,
        waits: Option<Timestamp>,
        (subject, at): (&Subject<'_>, Timestamp),
    ) -> Vec<Owed> {
        let mut owed = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for addressee in to {
            let ids = match addressee {
                Addressee::Target(target) => {
                    self.put(&mut owed, message(target, None, waits, why));
                    continue;
                }
                Addressee::Officer(id) => vec![id.as_str()],
                Addressee::Roster(name) => self
                    .roster(name)
                    .map_or_else(Vec::new, |roster| roster.on_duty(at)),
            };
            for officer in ids.into_iter().filter_map(|id| self.officer(id)) {
                if seen.contains(&officer.id.as_str()) {
                    continue;
                }
                seen.push(&officer.id);
                self.put_officer(&mut owed, officer, (waits, why), (subject, at));
            }
        }
        owed
    }

    /// `officer` is owed a message through the first of their channels, not before `waits` nor in their quiet hours.
    fn put_officer(
        &self,
        owed: &mut Vec<Owed>,
        officer: &Officer,
        (waits, why): (Option<Timestamp>, &Why),
        (subject, at): (&Subject<'_>, Timestamp),
    ) {
        let Some((first, next)) = officer.channels.split_first() else {
            return;
        };
        let own = self.quiet_until(officer.quiet_hours.as_deref(), subject, at);
        self.put(
            owed,
            message(first, Some(recipient(officer, next)), waits.max(own), why),
        );
    }

    /// One message for each target and time, for all of its people. A target that writes to each of them alone has one more for
    /// whoever else reads it.
    pub fn merged(&self, owed: Vec<Owed>) -> Vec<Owed> {
        let mut merged = Vec::with_capacity(owed.len());
        for new in owed {
            self.put(&mut merged, new);
        }
        merged
    }

    /// Takes `new` into the message that its target is owed then, or makes it another one.
    fn put(&self, owed: &mut Vec<Owed>, new: Owed) {
        let alone = self.letters.contains(&new.target);
        let fits = |known: &&mut Owed| {
            known.target == new.target
                && known.not_before == new.not_before
                && (!alone || known.people.is_empty() == new.people.is_empty())
        };
        let Some(known) = owed.iter_mut().find(fits) else {
            owed.push(new);
            return;
        };
        let everyone = known.is_for_everyone() || new.is_for_everyone();
        for person in new.people {
            if !known.people.iter().any(|other| other.officer == person.officer) {
                known.people.push(person);
            }
        }
        known.everyone = everyone && !known.people.is_empty();
    }

    /// Until when those of a chain wait: all routes that lead there and match must say so.
    fn chain_waits(&self, chain: &str, subject: &Subject<'_>, at: Timestamp) -> Option<Timestamp> {
        let leading = self.matching(subject, at);
        let leading = leading.filter(|route| route.chain.as_deref() == Some(chain));
        let waits = leading.map(|route| self.quiet_until(route.quiet_hours.as_deref(), subject, at));
        waits.min().flatten()
    }

    /// When the quiet hours called `name` are over; `None`: nothing waits. What is critical never waits, nor does anything
    /// for hours that have no end or of which nothing is known.
    fn quiet_until(&self, name: Option<&str>, subject: &Subject<'_>, at: Timestamp) -> Option<Timestamp> {
        let name = name.filter(|_| subject.priority != Priority::Critical)?;
        let quiet = self.almanac.in_force(name, subject.venue, at) == Some(true);
        quiet
            .then(|| self.almanac.changes(name, subject.venue, at))
            .flatten()
    }
}

/// A target that routes name.
struct Direct<'a> {
    target: &'a str,
    routes: Vec<&'a str>,
    not_before: Option<Timestamp>,
}

fn recipient(officer: &Officer, next: &[String]) -> Recipient {
    Recipient {
        officer: officer.id.clone(),
        name: officer.name.clone(),
        language: officer.language,
        contact: officer.contact.clone(),
        next: next.to_vec(),
    }
}

/// A message for `target`: for `person`, or for whoever reads it.
fn message(target: &str, person: Option<Recipient>, not_before: Option<Timestamp>, why: &Why) -> Owed {
    Owed {
        target: target.to_owned(),
        people: person.into_iter().collect(),
        everyone: false,
        not_before,
        why: why.clone(),
    }
}

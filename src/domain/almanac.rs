//! What the wall clock says of devices: schedules, the hours of venues, and dates of expiry. Answers for an instant
//! that it is given; never knows which instant is now.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::device::DeviceKey;
use super::roll::Roll;
use super::schedule::{Calendar, Hours, start_of_day, time_zone};
use super::time::{Millis, Timestamp};

/// The schedule of the hours at which a device's venue is open.
pub const VENUE_OPEN: &str = "venue-open";

/// The schedule of all other hours.
pub const VENUE_CLOSED: &str = "venue-closed";

/// A schedule as written in a rules file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleDef {
    /// Its name in rules.
    pub name: String,
    /// When it is in force.
    pub hours: Hours,
}

/// What rules may ask of a venue and its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueFacts {
    /// The venue's id.
    pub venue: String,
    /// The IANA name of its time zone.
    pub time_zone: String,
    /// When it is open; `None`: nobody has said.
    pub hours: Option<Hours>,
    /// The devices with a date of expiry.
    pub expiries: Vec<Expiry>,
    /// One signal alone orders nothing there.
    #[serde(default)]
    pub confirms: bool,
}

/// The date on which a device's life or inspection ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// The device's kind.
    pub kind: String,
    /// Its id.
    pub device: String,
    /// The first day on which it has expired.
    pub on: Date,
}

/// Something that the wall clock decides of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// A schedule is in force: its place among the calendars.
    Schedule(usize),
    /// Its venue is open.
    VenueOpen,
    /// Its venue is closed.
    VenueClosed,
    /// It expires within so long, or has expired.
    ExpiresWithin(Millis),
    /// Somebody has registered it. No wall clock says that, but like the rest it is known without a reading.
    Registered,
}

/// All schedules, venues and dates, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Almanac {
    /// Each different one once.
    calendars: Vec<Calendar>,
    /// The calendar of each schedule.
    schedules: Vec<(String, usize)>,
    /// The calendar of each venue whose hours are known.
    venues: HashMap<String, usize>,
    expiries: HashMap<DeviceKey, Timestamp>,
    /// The venues in which one signal alone orders nothing.
    confirms: HashSet<String>,
}

impl Almanac {
    /// The almanac of `schedules` and `venues`. What names an unknown time zone is left out; the configuration
    /// loader refuses it.
    pub fn new(schedules: &[ScheduleDef], venues: &[VenueFacts]) -> Almanac {
        let mut almanac = Almanac::default();
        for schedule in schedules {
            if let Some(place) = almanac.calendar(&schedule.hours) {
                almanac.schedules.push((schedule.name.clone(), place));
            }
        }
        for facts in venues {
            if facts.confirms {
                almanac.confirms.insert(facts.venue.clone());
            }
            let place = facts.hours.as_ref().and_then(|hours| almanac.calendar(hours));
            if let Some(place) = place {
                almanac.venues.insert(facts.venue.clone(), place);
            }
            let Some(zone) = time_zone(&facts.time_zone) else {
                continue;
            };
            for expiry in &facts.expiries {
                let key = DeviceKey {
                    venue: facts.venue.clone(),
                    kind: expiry.kind.clone(),
                    device: expiry.device.clone(),
                };
                if let Some(at) = start_of_day(&zone, expiry.on) {
                    almanac.expiries.insert(key, at);
                }
            }
        }
        almanac
    }

    /// The place of the calendar of `hours`. Most venues of a town keep the same few hours.
    fn calendar(&mut self, hours: &Hours) -> Option<usize> {
        let calendar = Calendar::new(hours.clone())?;
        let known = self
            .calendars
            .iter()
            .position(|known| known.hours() == calendar.hours());
        Some(known.unwrap_or_else(|| {
            self.calendars.push(calendar);
            self.calendars.len() - 1
        }))
    }

    /// What the schedule called `name` is of a device; `None` when there is no such schedule.
    pub fn schedule(&self, name: &str) -> Option<Fact> {
        match name {
            VENUE_OPEN => Some(Fact::VenueOpen),
            VENUE_CLOSED => Some(Fact::VenueClosed),
            _ => {
                let found = self.schedules.iter().find(|(known, _)| known == name);
                found.map(|(_, place)| Fact::Schedule(*place))
            }
        }
    }

    /// Whether one signal alone orders nothing in `venue`.
    pub fn confirms(&self, venue: &str) -> bool {
        self.confirms.contains(venue)
    }

    /// Every name that [`Almanac::schedule`] knows.
    pub fn schedule_names(&self) -> impl Iterator<Item = &str> {
        let named = self.schedules.iter().map(|(name, _)| name.as_str());
        named.chain([VENUE_OPEN, VENUE_CLOSED])
    }

    /// Whether the schedule called `name` is in force at `at`, seen from `venue`; `None` when there is no such schedule, or
    /// nobody has said when the venue is open.
    pub fn in_force(&self, name: &str, venue: &str, at: Timestamp) -> Option<bool> {
        let (calendar, inverted) = self.named(name, venue)?;
        Some(calendar.in_force(at) != inverted)
    }

    /// The first instant after `at` at which [`Almanac::in_force`] says something else; `None` when there is none.
    pub fn changes(&self, name: &str, venue: &str, at: Timestamp) -> Option<Timestamp> {
        self.named(name, venue)?.0.next_change(at)
    }

    /// The calendar behind a schedule, and whether the schedule is the rest of its hours.
    fn named(&self, name: &str, venue: &str) -> Option<(&Calendar, bool)> {
        let place = match self.schedule(name)? {
            Fact::Schedule(place) => place,
            Fact::VenueOpen | Fact::VenueClosed => *self.venues.get(venue)?,
            Fact::ExpiresWithin(_) | Fact::Registered => return None,
        };
        Some((self.calendars.get(place)?, name == VENUE_CLOSED))
    }

    /// The almanac opened at `at`, and beside it who is registered.
    pub fn open<'a>(&'a self, at: Timestamp, roll: Roll<'a>) -> Page<'a> {
        Page {
            almanac: self,
            roll,
            at,
            in_force: self.calendars.iter().map(|_| Cell::new(None)).collect(),
        }
    }

    /// The first instant after `at` at which one of `facts` changes for some device; `None` when none ever does.
    pub fn next_change(&self, facts: &[Fact], at: Timestamp) -> Option<Timestamp> {
        let mut asked = vec![false; self.calendars.len()];
        let mut ask = |place: usize| {
            if let Some(asked) = asked.get_mut(place) {
                *asked = true;
            }
        };
        let mut next: Option<Timestamp> = None;
        for fact in facts {
            match fact {
                Fact::Schedule(place) => ask(*place),
                Fact::Registered => {}
                Fact::VenueOpen | Fact::VenueClosed => self.venues.values().copied().for_each(&mut ask),
                Fact::ExpiresWithin(length) => {
                    let dates = self.expiries.values().map(|expiry| before(*expiry, *length));
                    next = next.into_iter().chain(dates.filter(|date| *date > at)).min();
                }
            }
        }
        let calendars = self.calendars.iter().zip(asked).filter(|(_, asked)| *asked);
        let changes = calendars.filter_map(|(calendar, _)| calendar.next_change(at));
        next.into_iter().chain(changes).min()
    }
}

/// The almanac at one instant. Each calendar is looked up at most once.
#[derive(Debug)]
pub struct Page<'a> {
    almanac: &'a Almanac,
    roll: Roll<'a>,
    at: Timestamp,
    in_force: Vec<Cell<Option<bool>>>,
}

impl Page<'_> {
    /// Whether `fact` is so for the device `key`; `None` when that is not known.
    pub fn says(&self, fact: Fact, key: &DeviceKey) -> Option<bool> {
        let open = || {
            let place = self.almanac.venues.get(&key.venue)?;
            self.in_force(*place)
        };
        match fact {
            Fact::Schedule(place) => self.in_force(place),
            Fact::VenueOpen => open(),
            Fact::VenueClosed => open().map(|open| !open),
            Fact::Registered => Some(self.roll.has(key)),
            Fact::ExpiresWithin(length) => {
                let expiry = self.almanac.expiries.get(key)?;
                Some(self.at >= before(*expiry, length))
            }
        }
    }

    fn in_force(&self, place: usize) -> Option<bool> {
        let (calendar, known) = (self.almanac.calendars.get(place)?, self.in_force.get(place)?);
        if known.get().is_none() {
            known.set(Some(calendar.in_force(self.at)));
        }
        known.get()
    }
}

/// So long before `at`.
fn before(at: Timestamp, length: Millis) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(length.0).unwrap_or(i64::MAX)))
}

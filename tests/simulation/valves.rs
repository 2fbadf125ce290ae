//! The shutoff valves: what they are told, what they do about it, and what they say of themselves. Somebody may turn one by
//! hand at any time.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use ninewatch::handoff::CommandMessage;

use super::broker::{Mark, Message};
use super::dice::Dice;

/// Where each is.
pub(crate) const VALVES: [(&str, &str); 3] = [("v1", "s1"), ("v1", "s2"), ("v2", "s3")];

/// Those that may be opened from afar.
pub(crate) const REMOTE: [&str; 2] = ["s1", "s3"];

/// The sequence numbers of their messages begin beyond those of all others.
const FIRST_SEQ: u64 = 1_000_000;

/// What becomes of a command that a valve gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Obeys,
    /// It says yes, and stays as it is.
    Stuck,
    Declines,
    Mute,
}

/// A command as a valve has it.
struct Told {
    id: String,
    closes: bool,
    expires_at: i64,
}

struct Valve {
    closed: bool,
    mood: Mood,
    told: VecDeque<Told>,
    /// It has not said yet where it stands since it moved.
    owes: bool,
}

/// All valves.
pub(crate) struct Valves {
    all: Vec<Valve>,
    said: u64,
    /// How many commands were obeyed.
    pub(crate) obeyed: usize,
}

impl Valves {
    pub(crate) fn new(dice: &mut Dice) -> Valves {
        let valves = VALVES.map(|_| Valve {
            closed: dice.chance(30),
            mood: Mood::Obeys,
            told: VecDeque::new(),
            owes: false,
        });
        Valves {
            all: valves.into(),
            said: 0,
            obeyed: 0,
        }
    }

    /// Which really are closed.
    pub(crate) fn closed(&self) -> HashSet<&'static str> {
        let valves = VALVES.iter().zip(&self.all).filter(|(_, valve)| valve.closed);
        valves.map(|((_, device), _)| *device).collect()
    }

    /// Whether nothing is left to do or say.
    pub(crate) fn is_idle(&self) -> bool {
        self.all.iter().all(|valve| valve.told.is_empty() && !valve.owes)
    }

    /// The broker brings a command. What a valve cannot read it would not obey.
    pub(crate) fn tell(&mut self, message: &CommandMessage) -> Result<(), String> {
        let unreadable = || format!("a command that no valve understands: {message:?}");
        let body: serde_json::Value = serde_json::from_slice(&message.payload).map_err(|_| unreadable())?;
        let place = VALVES
            .iter()
            .position(|(venue, device)| message.topic == topic(venue, device, "command"));
        let word = |name: &str| body[name].as_str().map(str::to_owned);
        let told = word("id").zip(word("command")).zip(body["expires_at"].as_i64());
        let (place, ((id, command), expires_at)) = place.zip(told).ok_or_else(unreadable)?;
        self.all[place].told.push_back(Told {
            id,
            closes: command == "close",
            expires_at,
        });
        Ok(())
    }

    /// One valve does what is next; what it says.
    pub(crate) fn step(&mut self, dice: &mut Dice, wall: i64) -> Vec<Message> {
        let place = dice.index(VALVES.len());
        let valve = &mut self.all[place];
        if valve.owes {
            valve.owes = false;
            return vec![self.position(place, dice.chance(30), dice.chance(40))];
        }
        let Some(told) = valve.told.pop_front() else {
            return Vec::new();
        };
        if told.expires_at <= wall || valve.mood == Mood::Mute {
            return Vec::new();
        }
        let agrees = valve.mood != Mood::Declines;
        if valve.mood == Mood::Obeys {
            valve.closed = told.closes;
            valve.owes = true;
            self.obeyed += 1;
        }
        if agrees && dice.chance(40) {
            return Vec::new();
        }
        let (venue, device) = VALVES[place];
        vec![Message {
            topic: topic(venue, device, "ack"),
            payload: Bytes::from(format!("{{\"id\":\"{}\",\"ok\":{agrees}}}", told.id)),
            oversize: None,
            mark: Mark::Answer,
            fleeting: false,
            retain: false,
        }]
    }

    /// Somebody turns a valve by hand, or one only says where it stands.
    pub(crate) fn turn(&mut self, dice: &mut Dice) -> Message {
        let place = dice.index(VALVES.len());
        if dice.chance(60) {
            self.all[place].closed = dice.chance(30);
        }
        self.all[place].owes = false;
        self.position(place, dice.chance(30), dice.chance(40))
    }

    /// A valve breaks, or is mended.
    pub(crate) fn change(&mut self, dice: &mut Dice) {
        let place = dice.index(VALVES.len());
        self.all[place].mood =
            dice.pick(&[Mood::Obeys, Mood::Obeys, Mood::Stuck, Mood::Declines, Mood::Mute]);
    }

    /// Each valve's position, said once more.
    pub(crate) fn last_words(&mut self) -> Vec<Message> {
        (0..VALVES.len())
            .map(|place| self.position(place, false, false))
            .collect()
    }

    fn position(&mut self, place: usize, fleeting: bool, retain: bool) -> Message {
        self.said += 1;
        let seq = FIRST_SEQ + self.said;
        let (venue, device) = VALVES[place];
        let position = if self.all[place].closed { "closed" } else { "open" };
        Message {
            topic: topic(venue, device, "telemetry"),
            payload: Bytes::from(format!("{{\"position\":\"{position}\",\"seq\":{seq}}}")),
            oversize: None,
            mark: Mark::Seq(seq),
            fleeting,
            retain: retain && !fleeting,
        }
    }
}

fn topic(venue: &str, device: &str, last: &str) -> String {
    format!("ninewatch/{venue}/shutoff_valve/{device}/{last}")
}

//! The kinds and rules in force, as one immutable value. A change of definitions is an input like any other:
//! it is journalled, and a replay evaluates old readings under the rules of their time.

mod actions;
mod compile;
mod retired;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::actions::{ActionField, ActionProblem};
use super::almanac::{Almanac, Fact, Page, ScheduleDef, VenueFacts};
use super::device::DeviceKey;
use super::kind::{Kind, SlotSet};
use super::roll::{Enrolled, Roll};
use super::rule::{Derived, ExpressionError, Feed, Grid, Program, Rule, RuleDef, RuleField};
use super::time::{Millis, Timestamp};

/// Kinds and rules as written: what is stored beside the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DefinitionSource {
    /// Device kinds.
    pub kinds: Vec<Kind>,
    /// Rules, in file order.
    pub rules: Vec<RuleDef>,
    /// The schedules that rules may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleDef>,
    /// The venues of which rules may ask something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub venues: Vec<VenueFacts>,
    /// The registered devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Enrolled>,
}

impl DefinitionSource {
    /// The stored form (JSON) and the hash that names it.
    ///
    /// # Errors
    /// When a number in it is not finite: JSON has no word for that.
    pub fn stored(&self) -> Result<(String, DefinitionsHash), serde_json::Error> {
        let source = serde_json::to_string(self)?;
        let hash = Sha256::digest(source.as_bytes()).into();
        Ok((source, hash))
    }

    /// Reads the stored form back.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn from_stored(source: &str) -> Result<DefinitionSource, serde_json::Error> {
        serde_json::from_str(source)
    }

    /// Only the kinds of the stored form: those of a version whose rules looked otherwise can be read too.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn kinds_from_stored(source: &str) -> Result<Vec<Kind>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kinds {
            kinds: Vec<Kind>,
        }
        serde_json::from_str(source).map(|Kinds { kinds }| kinds)
    }
}

/// SHA-256 of a [`DefinitionSource`] in its stored form: names it in the journal.
pub type DefinitionsHash = [u8; 32];

/// A kind's number in [`Definitions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KindIndex(pub u16);

/// A kind with the rules that watch it.
#[derive(Debug, Clone, Default)]
pub struct KindRules {
    /// The kind.
    pub kind: Kind,
    /// Its rules, the most urgent first, else in file order: of several that one reading raises, the most
    /// urgent is announced first.
    pub rules: Vec<Rule>,
    /// What they derive from its points over time, inner values first.
    pub derived: Vec<Derived>,
    /// What its devices tell their venue.
    pub feeds: Vec<Feed>,
    /// Where the answers of its rules and feeds can change.
    pub grid: Grid,
    /// The slots of which each word counts, also an unchanged one: how long a condition has held is made from them.
    pub observed: SlotSet,
    /// The slots of its points that grow stale, each with the time that it takes.
    pub stale: Vec<(u8, Millis)>,
    /// The kind's `faulty`, compiled.
    pub faulty: Option<Program>,
}

impl KindRules {
    /// How many slots a device of the kind has.
    pub fn slots(&self) -> usize {
        let derived = self.derived.iter();
        self.kind.points.len()
            + derived
                .map(|derived| usize::from(derived.quantity.width()))
                .sum::<usize>()
    }
}

/// Kinds and rules, checked and compiled.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    source: DefinitionSource,
    kinds: Vec<KindRules>,
    /// How many of them are not of devices out of use.
    in_use: usize,
    /// By parent, the devices that speak through it.
    children: HashMap<DeviceKey, Vec<DeviceKey>>,
    /// Who is out of use.
    out_of_use: HashSet<DeviceKey>,
    venue: KindRules,
    nothing: KindRules,
    /// The places of the rules on venues that rules on devices are suppressed by.
    explaining: Vec<u16>,
    almanac: Arc<Almanac>,
    /// What the rules ask of the almanac.
    facts: Vec<Fact>,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// The rule's place in [`DefinitionSource::rules`]; of [`RuleProblem::Faulty`] the kind's in
    /// [`DefinitionSource::kinds`].
    pub rule: usize,
    /// What is wrong.
    pub problem: RuleProblem,
}

/// The ways in which a rule can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleProblem {
    /// `on` names a kind that does not exist.
    UnknownKind,
    /// Another rule has the same id.
    DuplicateId,
    /// A condition does not parse or does not fit the kind.
    Expression(RuleField, ExpressionError),
    /// An action cannot be carried out.
    Action(ActionProblem),
    /// `schedule` names no schedule.
    UnknownSchedule {
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// The condition `faulty` of a kind does not parse or does not fit it.
    Faulty(ExpressionError),
    /// `suppressed_by` names what cannot suppress this rule.
    Suppressor {
        /// Its place in the list.
        place: usize,
        /// What is wrong with it.
        problem: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
}

impl Definitions {
    /// As written.
    pub const fn source(&self) -> &DefinitionSource {
        &self.source
    }

    /// The rules on venues; a venue has no points, only what is counted of its devices.
    pub const fn venue(&self) -> &KindRules {
        &self.venue
    }

    /// The rules on the venue with this id. Where the gateway itself stands, which has no id, is no venue.
    pub const fn on_venue(&self, id: &str) -> &KindRules {
        if id.is_empty() { &self.nothing } else { &self.venue }
    }

    /// The places of the rules on venues that rules on devices are suppressed by.
    pub fn explaining(&self) -> &[u16] {
        &self.explaining
    }

    /// The schedules, venues and dates that rules may ask of.
    pub const fn almanac(&self) -> &Arc<Almanac> {
        &self.almanac
    }

    /// Who is registered.
    pub fn roll(&self) -> Roll<'_> {
        Roll::of(&self.source.devices)
    }

    /// The devices that speak through `key`.
    pub fn children_of(&self, key: &DeviceKey) -> &[DeviceKey] {
        self.children.get(key).map_or(&[], Vec::as_slice)
    }

    /// All devices through which others speak, in no particular order.
    pub fn parents(&self) -> impl Iterator<Item = &DeviceKey> {
        self.children.keys()
    }

    /// What is known at `at` without any reading.
    pub fn page(&self, at: Timestamp) -> Page<'_> {
        self.almanac.open(at, self.roll())
    }

    /// What the rules ask of [`Definitions::almanac`]; nothing: the wall clock decides nothing.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The kind with this number and its rules.
    pub fn kind(&self, index: KindIndex) -> Option<&KindRules> {
        self.kinds.get(usize::from(index.0))
    }

    /// The number of the kind called `id`.
    pub fn kind_index(&self, id: &str) -> Option<KindIndex> {
        (0_u16..)
            .zip(&self.kinds)
            .find(|(_, kind)| kind.kind.id == id)
            .map(|(index, _)| KindIndex(index))
    }

    /// What watches the device `key`: the rules of its kind, or those that are left for one that is out of use.
    pub fn kind_of(&self, key: &DeviceKey) -> Option<KindIndex> {
        let kind = self.kind_index(&key.kind)?;
        if !self.out_of_use.contains(key) {
            return Some(kind);
        }
        let place = usize::from(kind.0) + self.in_use;
        let place = Some(place).filter(|place| *place < self.kinds.len());
        place.map_or(Some(kind), |place| u16::try_from(place).ok().map(KindIndex))
    }

    /// Whether this number is of devices out of use.
    pub fn is_out_of_use(&self, kind: KindIndex) -> bool {
        usize::from(kind.0) >= self.in_use
    }

    /// All kinds, in number order: those of the source, and the gateway's.
    pub fn kinds(&self) -> impl Iterator<Item = &KindRules> {
        self.kinds.iter().take(self.in_use)
    }

    /// All kinds, and behind them each as it is for devices out of use, if there are any.
    pub fn all_kinds(&self) -> impl Iterator<Item = &KindRules> {
        self.kinds.iter()
    }
}

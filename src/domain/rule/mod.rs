//! Rules: what is written (`RuleDef`), what is checked and compiled (`Rule`), and how conditions are decided.

#[cfg(test)]
mod bounds_tests;
mod check;
mod compile;
mod condition;
mod derived;
mod duration;
mod emit;
mod error;
mod functions;
mod grid;
mod parse;
mod program;
#[cfg(test)]
mod property_tests;
mod scan;
#[cfg(test)]
mod tests;
mod venue;
#[cfg(test)]
mod venue_tests;

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use self::check::{Context, Scope};
pub(super) use self::compile::compile_faulty;
use self::compile::{Gate, compile_into};
pub use self::compile::{compile, compile_proof};
pub use self::derived::{Derivations, Derived, Quantity};
pub use self::error::ExpressionError;
pub(super) use self::error::nearest;
pub use self::grid::{Grid, News};
pub use self::program::{Program, Truth};
pub use self::scan::MAX_SOURCE_BYTES;
pub use self::venue::{Feed, Members};

use super::almanac::Fact;
use super::interlock::{Action, ActionDef};
use super::kind::{EVERY_KIND, GATEWAY_KIND, Kind, SlotSet, VENUE};
use super::text::Text;
use super::time::Millis;

/// The names of all functions, and of all macros over a venue's devices.
pub const WORDS: [&[&str]; 2] = [&functions::FUNCTIONS, &venue::METHODS];

/// How long evidence counts for a rule that does not say (`max_gap`).
pub const DEFAULT_MAX_GAP: Millis = Millis(300_000);

/// When an alarm counts as chattering for a rule that does not say: raised five times in ten minutes.
pub const DEFAULT_CHATTER: Repeat = Repeat {
    count: 5,
    within: Millis(600_000),
};

/// The most times a [`Repeat`] may ask for: each is remembered.
pub const MAX_REPEAT: u8 = 16;

/// The most announcements that a rule's `limit` may allow: each is remembered.
pub const MAX_LIMIT: u8 = 100;

/// What sort of event an alarm is (`domain/terms` of the field: 报警, 预警, 故障, 隐患).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// 报警: the hazard is present.
    Alarm,
    /// 预警: moving towards the set point, or a lesser level.
    Warning,
    /// 故障: a device or line cannot do its job.
    Fault,
    /// 隐患: raises risk without an event.
    Hazard,
}

impl Class {
    /// Every class, in order of urgency.
    pub const ALL: [Class; 4] = [Class::Alarm, Class::Warning, Class::Fault, Class::Hazard];

    /// The word used in configuration, messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Alarm => "alarm",
            Class::Warning => "warning",
            Class::Fault => "fault",
            Class::Hazard => "hazard",
        }
    }
}

/// How fast someone has to act (ISA-18.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// At once.
    Critical,
    /// Within minutes.
    High,
    /// Within the shift.
    Medium,
    /// When convenient.
    Low,
}

impl Priority {
    /// Every priority, most urgent first.
    pub const ALL: [Priority; 4] = [
        Priority::Critical,
        Priority::High,
        Priority::Medium,
        Priority::Low,
    ];

    /// The word used in configuration, messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Critical => "critical",
            Priority::High => "high",
            Priority::Medium => "medium",
            Priority::Low => "low",
        }
    }
}

/// So many times within so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// How many times: 2 to [`MAX_REPEAT`]; for a limit 1 to [`MAX_LIMIT`].
    pub count: u8,
    /// Within how long.
    pub within: Millis,
}

/// A rule as written in a rules file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleDef {
    /// Its name; a rule is the same rule by this through every edit.
    pub id: String,
    /// The device kinds it watches, or [`EVERY_KIND`].
    #[serde(deserialize_with = "one_or_more")]
    pub on: Vec<String>,
    /// CEL: the condition.
    pub when: String,
    /// CEL: when the condition counts as over; without it, when `when` is false.
    pub clear: Option<String>,
    /// On-delay: the condition must hold this long.
    #[serde(rename = "for")]
    pub hold: Millis,
    /// Off-delay: `clear` must hold this long.
    pub keep_for: Millis,
    /// How old the last confirming reading may be when a delay ends; older evidence neither raises nor clears.
    pub max_gap: Millis,
    /// How often readings must find the condition holding before it raises, instead of an on-delay.
    #[serde(default)]
    pub after: Option<Repeat>,
    /// Raised so often, an alarm counts as chattering: it is held, and told of once.
    #[serde(default = "default_chatter")]
    pub chatter: Repeat,
    /// The rules whose active alarm on the same device, or on its venue, explains this one's: while it stands, this one is not
    /// told of.
    #[serde(default)]
    pub suppressed_by: Vec<String>,
    /// The schedule in which it counts; without it, always. When the schedule ends, so does the alarm.
    #[serde(default)]
    pub schedule: Option<String>,
    /// How often its alarms are told of in one venue; further ones wait until there is room. None for class `alarm`.
    #[serde(default)]
    pub limit: Option<Repeat>,
    /// Sort of event.
    pub class: Class,
    /// Urgency.
    pub priority: Priority,
    /// Whether the alarm stays after recovery until someone resets it.
    pub latch: bool,
    /// What it is called in messages.
    pub title: Text,
    /// Why it exists: the standard or the fact that it rests on.
    #[serde(default)]
    pub reason: Option<Text>,
    /// The only route that may tell of it; without it, every route that matches.
    pub notify: Option<String>,
    /// What its alarms order.
    #[serde(default)]
    pub then: Vec<ActionDef>,
}

const fn default_chatter() -> Repeat {
    DEFAULT_CHATTER
}

/// A list of names; one alone may stand without the list, as it once always did.
fn one_or_more<'de, D: Deserializer<'de>>(names: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        More(Vec<String>),
    }
    // Bytes that do not describe themselves have always held a list.
    if !names.is_human_readable() {
        return Vec::deserialize(names);
    }
    Ok(match Names::deserialize(names)? {
        Names::One(name) => vec![name],
        Names::More(names) => names,
    })
}

impl RuleDef {
    /// Whether it watches the devices of `kind`.
    pub fn watches(&self, kind: &str) -> bool {
        let every = kind != GATEWAY_KIND && kind != VENUE;
        self.on.iter().any(|on| on == kind || (every && on == EVERY_KIND))
    }

    /// A rule on `kind` that raises an alarm of high priority as soon as `when` holds and ends it as soon as it does not.
    pub fn new(id: &str, kind: &str, when: &str) -> RuleDef {
        RuleDef {
            id: id.to_owned(),
            on: vec![kind.to_owned()],
            when: when.to_owned(),
            clear: None,
            hold: Millis::ZERO,
            keep_for: Millis::ZERO,
            max_gap: DEFAULT_MAX_GAP,
            after: None,
            chatter: DEFAULT_CHATTER,
            suppressed_by: Vec::new(),
            schedule: None,
            limit: None,
            class: Class::Alarm,
            priority: Priority::High,
            latch: false,
            title: Text {
                zh: id.to_owned(),
                en: id.to_owned(),
            },
            reason: None,
            notify: None,
            then: Vec::new(),
        }
    }
}

/// A rule checked against its kind and compiled.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As written.
    pub def: Arc<RuleDef>,
    /// `when`, compiled.
    pub when: Program,
    /// `clear`, compiled; `None` means `!when`.
    pub clear: Option<Program>,
    /// The slots that either reads, and what those are derived from: whatever speaks of one of them is evidence.
    pub depends: SlotSet,
    /// Whether it reads only what is known at every instant: its delays need no reading to confirm them.
    pub evident: bool,
    /// The places, among the rules of the kind, of those that suppress it.
    pub suppressors: Box<[u16]>,
    /// What its alarms order.
    pub actions: Box<[Action]>,
}

/// Which part of a rule an [`ExpressionError`] speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleField {
    /// The `when` condition.
    When,
    /// The `clear` condition.
    Clear,
}

impl Rule {
    /// Its conditions.
    pub fn conditions(&self) -> impl Iterator<Item = &Program> {
        std::iter::once(&self.when).chain(&self.clear)
    }

    /// Checks and compiles `def` against `kind`; every error of both conditions at once. What it derives from
    /// points over time joins `derived`. `gate` is its schedule.
    pub fn compile(
        def: &RuleDef,
        kind: &Kind,
        derived: &mut Derivations,
        gate: Option<Fact>,
    ) -> Result<Rule, Vec<(RuleField, ExpressionError)>> {
        Rule::compile_in(def, kind, derived, (gate, Scope::Device))
    }

    /// Checks and compiles `def`, which is on a venue. What it asks of the devices joins `members`. `gate` is its
    /// schedule.
    pub fn compile_on_venue(
        def: &RuleDef,
        venue: &Kind,
        derived: &mut Derivations,
        members: Members<'_>,
        gate: Option<Fact>,
    ) -> Result<Rule, Vec<(RuleField, ExpressionError)>> {
        Rule::compile_in(def, venue, derived, (gate, Scope::Venue(members)))
    }

    fn compile_in(
        def: &RuleDef,
        kind: &Kind,
        derived: &mut Derivations,
        (gate, scope): (Option<Fact>, Scope<'_>),
    ) -> Result<Rule, Vec<(RuleField, ExpressionError)>> {
        let name = def.schedule.as_deref().unwrap_or_default();
        let gate = gate.map(|fact| derived.schedule(name, fact)).transpose();
        let slot = gate.map_err(|_| {
            let message = format!(
                "the rules of the kind `{}` use too many different schedules and functions over time",
                kind.id
            );
            let error = ExpressionError::new(0..def.when.len(), message);
            vec![(RuleField::When, error)]
        })?;
        let (during, outside) = (slot.map(Gate::During), slot.map(Gate::OrOutside));
        let mut context = Context {
            kind,
            derived,
            max_gap: def.max_gap,
            scope,
        };
        let when = compile_into(&def.when, &mut context, during);
        let clear = def
            .clear
            .as_deref()
            .map(|source| compile_into(source, &mut context, outside))
            .transpose();
        match (when, clear) {
            (Ok(when), Ok(clear)) => {
                let depends = clear
                    .as_ref()
                    .map_or(SlotSet::EMPTY, Program::depends)
                    .union(when.depends());
                Ok(Rule {
                    def: Arc::new(def.clone()),
                    when,
                    clear,
                    depends,
                    evident: context.derived.evident(depends),
                    suppressors: Box::default(),
                    actions: Box::default(),
                })
            }
            (when, clear) => {
                let when = when.err().map(|error| (RuleField::When, error));
                let clear = clear.err().map(|error| (RuleField::Clear, error));
                Err(when.into_iter().chain(clear).collect())
            }
        }
    }
}

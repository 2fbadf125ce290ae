//! The kinds and rules in force, as one immutable value. A change of definitions is an input like any other:
//! it is journalled, and a replay evaluates old readings under the rules of their time.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::almanac::{Almanac, Fact, ScheduleDef, VenueFacts};
use super::kind::Kind;
use super::rule::{
    Derivations, Derived, ExpressionError, Feed, Grid, Members, Program, Quantity, Rule, RuleDef, RuleField,
    compile_faulty, nearest,
};
use super::text::Text;

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
    /// The kind's `faulty`, compiled.
    pub faulty: Option<Program>,
}

impl KindRules {
    fn new(kind: Kind) -> KindRules {
        KindRules {
            kind,
            rules: Vec::new(),
            derived: Vec::new(),
            feeds: Vec::new(),
            grid: Grid::default(),
            faulty: None,
        }
    }

    /// Puts the parts together once every rule is compiled. `above`: the rules on venues, which may suppress those on
    /// devices.
    fn finish(
        &mut self,
        derived: Derivations,
        (written, above): (&[RuleDef], &[Rule]),
        errors: &mut Vec<RuleError>,
    ) {
        self.derived = derived.into_list();
        self.rules.sort_by_key(|rule| rule.def.priority);
        resolve_suppressors(self, (written, above), errors);
        let feeds: Vec<&Program> = self.feeds.iter().map(|feed| &feed.condition).collect();
        self.grid = Grid::of(&self.rules, &feeds, self.slots());
    }

    /// How many slots a device of the kind has.
    pub fn slots(&self) -> usize {
        let derived = self.derived.iter();
        self.kind.points.len()
            + derived
                .map(|derived| usize::from(derived.quantity.width()))
                .sum::<usize>()
    }
}

/// What `on` says for a rule on venues.
pub const VENUE: &str = "venue";

/// A venue as the rules see it.
fn venue_kind() -> Kind {
    Kind {
        id: VENUE.to_owned(),
        title: Text::default(),
        points: Vec::new(),
        faulty: None,
    }
}

/// Kinds and rules, checked and compiled.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    source: DefinitionSource,
    kinds: Vec<KindRules>,
    venue: KindRules,
    /// The places of the rules on venues that rules on devices are suppressed by.
    explaining: Vec<u16>,
    almanac: Almanac,
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

/// Finds the rules that `suppressed_by` names among those of the kind. A rule may be suppressed only by one that is
/// not itself, directly or by others, suppressed by it: else both would be silent. One on a device may name a rule on
/// venues too, those `above`.
fn resolve_suppressors(
    target: &mut KindRules,
    (written, above): (&[RuleDef], &[Rule]),
    errors: &mut Vec<RuleError>,
) {
    let places: BTreeMap<String, u16> = (0_u16..)
        .zip(&target.rules)
        .map(|(place, rule)| (rule.def.id.clone(), place))
        .collect();
    let defs: Vec<Arc<RuleDef>> = target.rules.iter().map(|rule| Arc::clone(&rule.def)).collect();
    for rule in &mut target.rules {
        let mut suppressors = Vec::new();
        for (place, name) in rule.def.suppressed_by.iter().enumerate() {
            let mut suggestion = None;
            let mut on_venues = above.iter().map(|rule| rule.def.id.as_str());
            let problem = match places.get(name) {
                None if on_venues.any(|id| id == name) => continue,
                None => {
                    let others = places.keys().map(String::as_str).chain(on_venues);
                    let others = others.filter(|id| *id != rule.def.id);
                    suggestion = nearest(name, others).map(str::to_owned);
                    format!("no rule of the kind `{}` is called `{name}`", rule.def.on)
                }
                Some(_) if leads_back(name, &rule.def.id, &defs) => {
                    format!(
                        "`{name}` is suppressed by `{}` in turn: both would be silent",
                        rule.def.id
                    )
                }
                Some(found) => {
                    suppressors.push(*found);
                    continue;
                }
            };
            let rule = written.iter().position(|def| def.id == rule.def.id).unwrap_or(0);
            let problem = RuleProblem::Suppressor {
                place,
                problem,
                suggestion,
            };
            errors.push(RuleError { rule, problem });
        }
        rule.suppressors = suppressors.into();
    }
}

/// Whether `from` is `to`, or is suppressed by it, directly or by others.
fn leads_back(from: &str, to: &str, defs: &[Arc<RuleDef>]) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    let mut next = vec![from];
    while let Some(name) = next.pop() {
        if name == to {
            return true;
        }
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        if let Some(def) = defs.iter().find(|def| def.id == name) {
            next.extend(def.suppressed_by.iter().map(String::as_str));
        }
    }
    false
}

/// The places of the rules on venues that rules on devices are suppressed by.
fn explaining(venue: &KindRules, kinds: &[KindRules]) -> Vec<u16> {
    let named = |id: &String| {
        let mut rules = kinds.iter().flat_map(|kind| &kind.rules);
        rules.any(|rule| rule.def.suppressed_by.contains(id))
    };
    let places = (0_u16..).zip(&venue.rules);
    places
        .filter(|(_, rule)| named(&rule.def.id))
        .map(|(place, _)| place)
        .collect()
}

/// The schedule of a rule.
fn schedule(def: &RuleDef, almanac: &Almanac) -> Result<Option<Fact>, RuleProblem> {
    let Some(name) = &def.schedule else {
        return Ok(None);
    };
    let found = almanac.schedule(name);
    found.map(Some).ok_or_else(|| RuleProblem::UnknownSchedule {
        suggestion: nearest(name, almanac.schedule_names()).map(str::to_owned),
    })
}

/// What the rules of all kinds ask of the almanac.
fn facts<'a>(kinds: impl Iterator<Item = &'a KindRules>) -> Vec<Fact> {
    let derived = kinds.flat_map(|kind| &kind.derived);
    derived
        .filter_map(|derived| match derived.quantity {
            Quantity::Fact(fact) => Some(fact),
            Quantity::Window { .. } | Quantity::Held { .. } | Quantity::Silent { .. } | Quantity::Count => {
                None
            }
        })
        .collect()
}

impl Definitions {
    /// Checks and compiles `source`; every error at once.
    pub fn compile(source: DefinitionSource) -> Result<Definitions, Vec<RuleError>> {
        let mut kinds: Vec<KindRules> = source.kinds.iter().cloned().map(KindRules::new).collect();
        let mut derived: Vec<Derivations> = source.kinds.iter().map(Derivations::new).collect();
        let mut feeds: Vec<Vec<Feed>> = vec![Vec::new(); kinds.len()];
        let mut venue = KindRules::new(venue_kind());
        let mut counts = Derivations::new(&venue.kind);
        let almanac = Almanac::new(&source.schedules, &source.venues);
        let mut errors = Vec::new();
        for ((place, target), derived) in kinds.iter_mut().enumerate().zip(&mut derived) {
            match compile_faulty(&target.kind, derived).transpose() {
                Ok(faulty) => target.faulty = faulty,
                Err(error) => errors.push(RuleError {
                    rule: place,
                    problem: RuleProblem::Faulty(error),
                }),
            }
        }
        for (place, def) in source.rules.iter().enumerate() {
            let mut report = |problem| errors.push(RuleError { rule: place, problem });
            let earlier = source.rules.iter().take(place);
            if earlier.into_iter().any(|earlier| earlier.id == def.id) {
                report(RuleProblem::DuplicateId);
            }
            let gate = match schedule(def, &almanac) {
                Ok(gate) => gate,
                Err(problem) => {
                    report(problem);
                    continue;
                }
            };
            let compiled = if def.on == VENUE {
                let members = Members {
                    kinds: &source.kinds,
                    derived: &mut derived,
                    feeds: &mut feeds,
                };
                Rule::compile_on_venue(def, &venue.kind, &mut counts, members, gate)
                    .map(|rule| venue.rules.push(rule))
            } else {
                let mut targets = kinds.iter_mut().zip(&mut derived);
                let Some((target, derived)) = targets.find(|(target, _)| target.kind.id == def.on) else {
                    report(RuleProblem::UnknownKind);
                    continue;
                };
                Rule::compile(def, &target.kind, derived, gate).map(|rule| target.rules.push(rule))
            };
            for (field, error) in compiled.err().into_iter().flatten() {
                report(RuleProblem::Expression(field, error));
            }
        }
        venue.finish(counts, (&source.rules, &[]), &mut errors);
        for ((target, derived), feeds) in kinds.iter_mut().zip(derived).zip(feeds) {
            target.feeds = feeds;
            target.finish(derived, (&source.rules, &venue.rules), &mut errors);
        }
        if errors.is_empty() {
            let facts = facts(kinds.iter().chain([&venue]));
            Ok(Definitions {
                explaining: explaining(&venue, &kinds),
                source,
                kinds,
                venue,
                almanac,
                facts,
            })
        } else {
            Err(errors)
        }
    }

    /// As written.
    pub const fn source(&self) -> &DefinitionSource {
        &self.source
    }

    /// The rules on venues; a venue has no points, only what is counted of its devices.
    pub const fn venue(&self) -> &KindRules {
        &self.venue
    }

    /// The places of the rules on venues that rules on devices are suppressed by.
    pub fn explaining(&self) -> &[u16] {
        &self.explaining
    }

    /// The schedules, venues and dates that rules may ask of.
    pub const fn almanac(&self) -> &Almanac {
        &self.almanac
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

    /// All kinds, in number order.
    pub fn kinds(&self) -> impl Iterator<Item = &KindRules> {
        self.kinds.iter()
    }
}

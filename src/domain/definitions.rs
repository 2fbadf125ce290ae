//! The kinds and rules in force, as one immutable value. A change of definitions is an input like any other:
//! it is journalled, and a replay evaluates old readings under the rules of their time.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::kind::{EVERY_KIND, GATEWAY_KIND, Kind};
use super::rule::{Derivations, Derived, ExpressionError, Grid, Rule, RuleDef, RuleField, nearest};
use super::time::Millis;

/// Kinds and rules as written: what is stored beside the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DefinitionSource {
    /// Device kinds.
    pub kinds: Vec<Kind>,
    /// Rules, in file order.
    pub rules: Vec<RuleDef>,
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
#[derive(Debug, Clone)]
pub struct KindRules {
    /// The kind.
    pub kind: Kind,
    /// Its rules, the most urgent first, else in file order: of several that one reading raises, the most
    /// urgent is announced first.
    pub rules: Vec<Rule>,
    /// What the rules derive from its points over time, inner values first.
    pub derived: Vec<Derived>,
    /// Where the answers of its rules can change.
    pub grid: Grid,
    /// The slots of its points that grow stale, each with the time that it takes.
    pub stale: Vec<(u8, Millis)>,
}

impl KindRules {
    /// The kind, with no rules yet.
    fn new(kind: Kind) -> KindRules {
        KindRules {
            rules: Vec::new(),
            derived: Vec::new(),
            grid: Grid::default(),
            stale: stale_points(&kind),
            kind,
        }
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

/// Kinds and rules, checked and compiled.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    source: DefinitionSource,
    kinds: Vec<KindRules>,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// The rule's place in [`DefinitionSource::rules`].
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

fn stale_points(kind: &Kind) -> Vec<(u8, Millis)> {
    let points = kind.points();
    points
        .filter_map(|(index, point)| Some((index.0, point.stale_after?)))
        .collect()
}

/// Finds the rules that `suppressed_by` names among those of the kind. A rule may be suppressed only by one that is
/// not itself, directly or by others, suppressed by it: else both would be silent.
fn resolve_suppressors(target: &mut KindRules, source: &DefinitionSource, errors: &mut Vec<RuleError>) {
    let written = &source.rules;
    let places: BTreeMap<String, u16> = (0_u16..)
        .zip(&target.rules)
        .map(|(place, rule)| (rule.def.id.clone(), place))
        .collect();
    let defs: Vec<Arc<RuleDef>> = target.rules.iter().map(|rule| Arc::clone(&rule.def)).collect();
    for rule in &mut target.rules {
        let mut suppressors = Vec::new();
        for (place, name) in rule.def.suppressed_by.iter().enumerate() {
            let mut suggestion = None;
            let problem = match places.get(name) {
                None => {
                    let meeting = |other: &&RuleDef| meet(&rule.def, other, &source.kinds);
                    let others = written.iter().filter(meeting).map(|other| other.id.as_str());
                    if others.clone().any(|id| id == name) {
                        // It watches another of the rule's kinds, or is wrong itself.
                        continue;
                    }
                    suggestion = nearest(name, others.filter(|id| *id != rule.def.id)).map(str::to_owned);
                    match rule.def.on.as_slice() {
                        [kind] if *kind == target.kind.id => {
                            format!("no rule of the kind `{kind}` is called `{name}`")
                        }
                        _ => format!("no rule of any of its kinds is called `{name}`"),
                    }
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
            let error = RuleError { rule, problem };
            // A rule on several kinds is told once.
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        rule.suppressors = suppressors.into();
    }
}

/// Whether some kind is watched by both.
fn meet(one: &RuleDef, other: &RuleDef, kinds: &[Kind]) -> bool {
    let ids = kinds.iter().map(|kind| kind.id.as_str());
    ids.chain([GATEWAY_KIND])
        .any(|kind| one.watches(kind) && other.watches(kind))
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

/// Compiles `def` for each kind that it watches; what is wrong with it.
fn compile_rule<'a>(
    def: &RuleDef,
    kinds: impl Iterator<Item = (&'a mut KindRules, &'a mut Derivations)>,
) -> Vec<RuleProblem> {
    let mut watched = 0;
    let mut wrong: Vec<(String, RuleField, ExpressionError)> = Vec::new();
    for (target, derived) in kinds.filter(|(target, _)| def.watches(&target.kind.id)) {
        watched += 1;
        match Rule::compile(def, &target.kind, derived) {
            Ok(rule) => target.rules.push(rule),
            Err(problems) => {
                let problems = problems.into_iter();
                wrong.extend(problems.map(|(field, error)| (target.kind.id.clone(), field, error)));
            }
        }
    }
    let mut told = Vec::new();
    for (kind, field, error) in &wrong {
        let alike = wrong
            .iter()
            .filter(|(_, other, same)| (other, same) == (field, error));
        let mut error = error.clone();
        // What is wrong on every kind is said once; else it is said of which kind.
        let named = format!("the kind `{kind}`");
        if alike.count() < watched && !error.message.contains(&named) {
            error.message = format!("on {named}: {}", error.message);
        }
        let problem = RuleProblem::Expression(*field, error);
        if !told.contains(&problem) {
            told.push(problem);
        }
    }
    told
}

impl Definitions {
    /// Checks and compiles `source`; every error at once.
    pub fn compile(source: DefinitionSource) -> Result<Definitions, Vec<RuleError>> {
        let mut kinds: Vec<KindRules> = source
            .kinds
            .iter()
            .cloned()
            .chain([Kind::gateway()])
            .map(KindRules::new)
            .collect();
        let mut derived: Vec<Derivations> = kinds
            .iter()
            .map(|target| Derivations::new(&target.kind))
            .collect();
        let mut errors = Vec::new();
        for (place, def) in source.rules.iter().enumerate() {
            let mut report = |problem| errors.push(RuleError { rule: place, problem });
            if source
                .rules
                .iter()
                .take(place)
                .any(|earlier| earlier.id == def.id)
            {
                report(RuleProblem::DuplicateId);
            }
            let known = |on: &String| on == EVERY_KIND || kinds.iter().any(|known| known.kind.id == *on);
            if def.on.is_empty() || !def.on.iter().all(known) {
                report(RuleProblem::UnknownKind);
                continue;
            }
            compile_rule(def, kinds.iter_mut().zip(&mut derived))
                .into_iter()
                .for_each(report);
        }
        for (target, derived) in kinds.iter_mut().zip(derived) {
            target.derived = derived.into_list();
            target.rules.sort_by_key(|rule| rule.def.priority);
            resolve_suppressors(target, &source, &mut errors);
            target.grid = Grid::of(&target.rules, target.slots());
        }
        if errors.is_empty() {
            Ok(Definitions { source, kinds })
        } else {
            Err(errors)
        }
    }

    /// As written.
    pub const fn source(&self) -> &DefinitionSource {
        &self.source
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

    /// All kinds, in number order: those of the source, and the gateway's.
    pub fn kinds(&self) -> impl Iterator<Item = &KindRules> {
        self.kinds.iter()
    }
}

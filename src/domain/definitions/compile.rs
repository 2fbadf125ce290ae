//! Definitions as written → compiled: every rule against the kinds that it watches, and what they refer to among each
//! other. Every error at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::almanac::{Almanac, Fact};
use super::super::device::DeviceKey;
use super::super::kind::{EVERY_KIND, GATEWAY_KIND, Kind, SlotSet, VENUE};
use super::super::roll::{self, Enrolled, Roll};
use super::super::rule::{
    Derivations, ExpressionError, Feed, Grid, Members, Program, Quantity, Rule, RuleDef, RuleField,
    compile_faulty, nearest,
};
use super::super::text::Text;
use super::super::time::Millis;
use super::actions::resolve;
use super::{DefinitionSource, Definitions, KindRules, RuleError, RuleProblem};

impl Definitions {
    /// Checks and compiles `source`; every error at once.
    pub fn compile(mut source: DefinitionSource) -> Result<Definitions, Vec<RuleError>> {
        roll::sort(&mut source.devices);
        let mut draft = Draft::new(&source);
        let mut errors = draft.compile_faulty();
        for (place, def) in source.rules.iter().enumerate() {
            let mut report = |problem| errors.push(RuleError { rule: place, problem });
            let mut earlier = source.rules.iter().take(place);
            if earlier.any(|earlier| earlier.id == def.id) {
                report(RuleProblem::DuplicateId);
            }
            draft.add(def).into_iter().for_each(report);
        }
        let definitions = draft.finish(source, &mut errors);
        if errors.is_empty() {
            Ok(definitions)
        } else {
            Err(errors)
        }
    }
}

/// Definitions while their rules are compiled.
struct Draft {
    /// The source's kinds: those that venues have devices of.
    members: Vec<Kind>,
    /// Those and the gateway's.
    kinds: Vec<KindRules>,
    derived: Vec<Derivations>,
    feeds: Vec<Vec<Feed>>,
    venue: KindRules,
    counts: Derivations,
    almanac: Almanac,
}

impl Draft {
    fn new(source: &DefinitionSource) -> Draft {
        let members = source.kinds.clone();
        let kinds: Vec<KindRules> = members
            .iter()
            .cloned()
            .chain([Kind::gateway()])
            .map(KindRules::new)
            .collect();
        let derived = kinds
            .iter()
            .map(|target| Derivations::new(&target.kind))
            .collect();
        let venue = KindRules::new(Kind {
            id: VENUE.to_owned(),
            title: Text::default(),
            points: Vec::new(),
            faulty: None,
            commands: Vec::new(),
        });
        Draft {
            members,
            feeds: vec![Vec::new(); kinds.len()],
            kinds,
            derived,
            counts: Derivations::new(&venue.kind),
            venue,
            almanac: Almanac::new(&source.schedules, &source.venues),
        }
    }

    /// Compiles when devices of each kind are broken; what is wrong with that.
    fn compile_faulty(&mut self) -> Vec<RuleError> {
        let mut errors = Vec::new();
        for ((place, target), derived) in self.kinds.iter_mut().enumerate().zip(&mut self.derived) {
            match compile_faulty(&target.kind, derived).transpose() {
                Ok(faulty) => target.faulty = faulty,
                Err(error) => errors.push(RuleError {
                    rule: place,
                    problem: RuleProblem::Faulty(error),
                }),
            }
        }
        errors
    }

    /// Compiles a rule; what is wrong with it.
    fn add(&mut self, def: &RuleDef) -> Vec<RuleProblem> {
        let gate = match schedule(def, &self.almanac) {
            Ok(gate) => gate,
            Err(problem) => return vec![problem],
        };
        if def.on == [VENUE] {
            let members = Members {
                kinds: &self.members,
                derived: &mut self.derived,
                feeds: &mut self.feeds,
            };
            let compiled = Rule::compile_on_venue(def, &self.venue.kind, &mut self.counts, members, gate);
            return match compiled {
                Ok(mut rule) => match resolve(def, None, &self.members) {
                    Ok(actions) => {
                        rule.actions = actions;
                        self.venue.rules.push(rule);
                        Vec::new()
                    }
                    Err(problems) => problems,
                },
                Err(problems) => problems
                    .into_iter()
                    .map(|(field, error)| RuleProblem::Expression(field, error))
                    .collect(),
            };
        }
        let known = |on: &String| on == EVERY_KIND || self.kinds.iter().any(|known| known.kind.id == *on);
        if def.on.is_empty() || !def.on.iter().all(known) {
            return vec![RuleProblem::UnknownKind];
        }
        self.add_on_devices(def, gate)
    }

    /// Compiles `def` for each kind that it watches; what is wrong with it.
    fn add_on_devices(&mut self, def: &RuleDef, gate: Option<Fact>) -> Vec<RuleProblem> {
        let mut told: Vec<RuleProblem> = Vec::new();
        let mut watched = 0;
        let mut wrong: Vec<(String, RuleField, ExpressionError)> = Vec::new();
        let kinds = self.kinds.iter_mut().zip(&mut self.derived);
        for (target, derived) in kinds.filter(|(target, _)| def.watches(&target.kind.id)) {
            watched += 1;
            match Rule::compile(def, &target.kind, derived, gate) {
                Ok(mut rule) => {
                    match resolve(def, Some(&target.kind), &self.members) {
                        Ok(actions) => rule.actions = actions,
                        Err(problems) => {
                            for problem in problems {
                                if !told.contains(&problem) {
                                    told.push(problem);
                                }
                            }
                        }
                    }
                    target.rules.push(rule);
                }
                Err(problems) => {
                    let problems = problems.into_iter();
                    wrong.extend(problems.map(|(field, error)| (target.kind.id.clone(), field, error)));
                }
            }
        }
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

    /// Puts the parts together once every rule is compiled.
    fn finish(self, source: DefinitionSource, errors: &mut Vec<RuleError>) -> Definitions {
        let Draft {
            mut kinds,
            mut venue,
            almanac,
            ..
        } = self;
        venue.finish(self.counts, &source, &[], errors);
        for ((target, derived), feeds) in kinds.iter_mut().zip(self.derived).zip(self.feeds) {
            target.feeds = feeds;
            target.finish(derived, &source, &venue.rules, errors);
        }
        let facts = facts(kinds.iter().chain([&venue]));
        let in_use = kinds.len();
        let out_of_use: HashSet<DeviceKey> = Roll::of(&source.devices).out_of_use().cloned().collect();
        if !out_of_use.is_empty() {
            let left: Vec<KindRules> = kinds.iter().map(KindRules::out_of_use).collect();
            kinds.extend(left);
        }
        Definitions {
            explaining: explaining(&venue, &kinds),
            kinds,
            in_use,
            children: children(&source.devices),
            out_of_use,
            venue,
            nothing: KindRules::default(),
            almanac: Arc::new(almanac),
            facts,
            source,
        }
    }
}

impl KindRules {
    /// The kind, with no rules yet.
    fn new(kind: Kind) -> KindRules {
        KindRules {
            stale: stale_points(&kind),
            kind,
            ..KindRules::default()
        }
    }

    /// Puts the parts together. `above`: the rules on venues, which may suppress those on devices.
    fn finish(
        &mut self,
        derived: Derivations,
        source: &DefinitionSource,
        above: &[Rule],
        errors: &mut Vec<RuleError>,
    ) {
        self.derived = derived.into_list();
        let held = self.derived.iter().filter_map(|derived| match derived.quantity {
            Quantity::Held { .. } => Some(derived.reads),
            Quantity::Window { .. }
            | Quantity::Silent { .. }
            | Quantity::Count { .. }
            | Quantity::Fact(_)
            | Quantity::CommandFailed
            | Quantity::ClockSkew => None,
        });
        self.observed = held.fold(SlotSet::EMPTY, SlotSet::union);
        self.rules.sort_by_key(|rule| rule.def.priority);
        resolve_suppressors(self, source, above, errors);
        let feeds: Vec<&Program> = self.feeds.iter().map(|feed| &feed.condition).collect();
        self.grid = Grid::of(&self.rules, &feeds, self.slots());
    }
}

fn stale_points(kind: &Kind) -> Vec<(u8, Millis)> {
    let points = kind.points();
    points
        .filter_map(|(index, point)| Some((index.0, point.stale_after?)))
        .collect()
}

/// Finds the rules that `suppressed_by` names among those of the kind. A rule may be suppressed only by one that is
/// not itself, directly or by others, suppressed by it: else both would be silent. One on a device may name a rule on
/// venues too, those `above`.
fn resolve_suppressors(
    target: &mut KindRules,
    source: &DefinitionSource,
    above: &[Rule],
    errors: &mut Vec<RuleError>,
) {
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
                    let beside = written.iter().filter(meeting).map(|other| other.id.as_str());
                    let on_venues = above.iter().map(|rule| rule.def.id.as_str());
                    // On a device that another speaks through it may be, of whatever kind that is.
                    let on_parents = written
                        .iter()
                        .filter(|other| target.kind.id != VENUE && on_devices(other));
                    let on_parents = on_parents.map(|other| other.id.as_str());
                    let others = beside.chain(on_venues).chain(on_parents);
                    if others.clone().any(|id| id == name) {
                        // It watches another of the rule's kinds, or venues, or is wrong itself.
                        continue;
                    }
                    suggestion = nearest(name, others.filter(|id| *id != rule.def.id)).map(str::to_owned);
                    match rule.def.on.as_slice() {
                        [kind] if kind == VENUE => format!("no rule on venues is called `{name}`"),
                        [kind] if *kind == target.kind.id => {
                            format!("no rule of the kind `{kind}`, and none on venues, is called `{name}`")
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
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        rule.suppressors = suppressors.into();
    }
}

/// Whether the rule watches devices that others may speak through.
fn on_devices(def: &RuleDef) -> bool {
    !def.watches(VENUE) && !def.watches(GATEWAY_KIND)
}

/// Whether some kind is watched by both.
fn meet(one: &RuleDef, other: &RuleDef, kinds: &[Kind]) -> bool {
    let ids = kinds.iter().map(|kind| kind.id.as_str());
    ids.chain([GATEWAY_KIND, VENUE])
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

/// By parent, the devices that speak through it.
fn children(devices: &[Enrolled]) -> HashMap<DeviceKey, Vec<DeviceKey>> {
    let mut children: HashMap<DeviceKey, Vec<DeviceKey>> = HashMap::new();
    for device in devices {
        if let Some(parent) = &device.parent {
            children
                .entry(parent.clone())
                .or_default()
                .push(device.key.clone());
        }
    }
    children
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
            Quantity::Window { .. }
            | Quantity::Held { .. }
            | Quantity::Silent { .. }
            | Quantity::Count { .. }
            | Quantity::CommandFailed
            | Quantity::ClockSkew => None,
        })
        .collect()
}

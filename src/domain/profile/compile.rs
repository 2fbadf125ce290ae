//! Profiles as written → routes and programs, every error at once. Reads no message.

use std::collections::HashMap;

use super::json::{Node, Target};
use super::topic::{Template, check_filter, filter_covers};
use super::value::Field;
use super::{MessageDef, PayloadDef, PointMap, ProfileDef};
use crate::domain::kind::{Kind, ONLINE};
use crate::domain::registry::Registry;
use crate::domain::time::ClockBounds;

/// The least likeness (Jaro-Winkler) of a name that is suggested.
const LIKENESS: f64 = 0.8;

/// What is wrong with a profile and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ProfileError {
    /// The profile's name.
    pub profile: String,
    /// Which of its messages, counted from 0; `None`: the profile as a whole.
    pub message: Option<usize>,
    /// The point spoken of.
    pub point: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl std::fmt::Display for ProfileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "profile {:?}", self.profile)?;
        if let Some(message) = self.message {
            write!(f, ", message {}", message + 1)?;
        }
        if let Some(point) = &self.point {
            write!(f, ", point {point:?}")?;
        }
        write!(f, ": {}", self.problem)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean {suggestion:?}?")?;
        }
        Ok(())
    }
}

/// How a payload is read, for one message and one kind.
#[derive(Debug)]
pub(super) enum Program {
    /// A JSON object.
    Json {
        /// What is where.
        root: Node,
        /// Whether it maps nothing but `online`.
        only_online: bool,
        /// How far the device's clock may be off.
        clock: ClockBounds,
    },
    /// One text value.
    Text(Field),
}

/// Where a route's venue comes from.
#[derive(Debug)]
pub(super) enum VenueSource {
    /// The topic.
    Topic,
    /// The profile.
    Fixed(String),
    /// The registry, by kind and device.
    Registry,
}

/// One message of a profile, ready to match topics.
#[derive(Debug)]
pub(super) struct Route {
    /// The topics.
    pub(super) template: Template,
    /// Where the venue comes from.
    pub(super) venue: VenueSource,
    /// The kind, when the topic does not name it.
    pub(super) kind: Option<usize>,
    /// By kind: the place of its program.
    pub(super) programs: Vec<Option<usize>>,
}

/// One profile, ready to match topics.
#[derive(Debug)]
pub(super) struct CompiledProfile {
    /// Filters of topics that are not for us.
    pub(super) ignore: Vec<String>,
    /// Its messages, tried in order.
    pub(super) routes: Vec<Route>,
}

/// Everything that is compiled from the profiles.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// The profiles, tried in order.
    pub(super) profiles: Vec<CompiledProfile>,
    /// How payloads are read.
    pub(super) programs: Vec<Program>,
    /// MQTT filters, none covered by another.
    pub(super) subscriptions: Vec<String>,
}

/// Compiles all `profiles` against `kinds`.
pub(super) fn compile(profiles: &[ProfileDef], kinds: &[Kind]) -> Result<Compiled, Vec<ProfileError>> {
    let mut compiler = Compiler {
        kinds,
        profile: String::new(),
        clock: ClockBounds::default(),
        message: None,
        out: Compiled::default(),
        errors: Vec::new(),
    };
    for profile in profiles {
        compiler.profile(profile);
    }
    if compiler.errors.is_empty() {
        Ok(compiler.out)
    } else {
        Err(compiler.errors)
    }
}

/// By kind, the venue of each registered device: for the kinds whose topics name no venue.
pub(super) fn venues_by_device(
    compiled: &Compiled,
    kinds: &[Kind],
    registry: &Registry,
) -> Vec<HashMap<String, String>> {
    let mut venues: Vec<HashMap<String, String>> = kinds.iter().map(|_| HashMap::new()).collect();
    let routes = || compiled.profiles.iter().flat_map(|profile| &profile.routes);
    let asks = |at: usize| {
        routes().any(|route| {
            matches!(route.venue, VenueSource::Registry) && route.kind.is_none_or(|kind| kind == at)
        })
    };
    for (at, (kind, venues)) in kinds.iter().zip(&mut venues).enumerate() {
        if !asks(at) {
            continue;
        }
        let devices = registry.devices().filter(|device| device.key.kind == kind.id);
        for device in devices {
            // Of two devices with one id the registry says which counts.
            if let Some(key) = registry.find(&kind.id, &device.key.device) {
                venues.insert(key.device.clone(), key.venue.clone());
            }
        }
    }
    venues
}

struct Compiler<'k> {
    kinds: &'k [Kind],
    profile: String,
    clock: ClockBounds,
    message: Option<usize>,
    out: Compiled,
    errors: Vec<ProfileError>,
}

impl Compiler<'_> {
    fn error(&mut self, point: Option<&str>, problem: String, suggestion: Option<String>) {
        let error = ProfileError {
            profile: self.profile.clone(),
            message: self.message,
            point: point.map(str::to_owned),
            problem,
            suggestion,
        };
        // A captured kind compiles a message once a kind: what is wrong with it is said once.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn profile(&mut self, def: &ProfileDef) {
        self.profile.clone_from(&def.name);
        self.clock = def.clock;
        self.message = None;
        for filter in def.subscribe.iter().chain(&def.ignore) {
            if let Err(problem) = check_filter(filter) {
                self.error(None, problem, None);
            }
        }
        if def.messages.is_empty() {
            self.error(None, "it has no [[message]]".to_owned(), None);
        }
        let mut routes = Vec::new();
        for (at, message) in def.messages.iter().enumerate() {
            self.message = Some(at);
            routes.extend(self.route(message));
        }
        let mut filters = def.subscribe.clone();
        if filters.is_empty() {
            filters = routes.iter().map(|route| route.template.filter()).collect();
        }
        for (at, message) in def.messages.iter().enumerate() {
            self.message = Some(at);
            self.check_reach(&filters, def, &message.topic);
        }
        self.subscribe(filters);
        self.out.profiles.push(CompiledProfile {
            ignore: def.ignore.clone(),
            routes,
        });
    }

    /// A message that no filter brings, or that is ignored, would be silence taken for safety.
    fn check_reach(&mut self, filters: &[String], def: &ProfileDef, topic: &str) {
        let Ok(template) = Template::parse(topic) else {
            return;
        };
        let own = template.filter();
        if !filters.iter().any(|filter| filter_covers(filter, &own)) {
            self.error(None, format!("no filter of `subscribe` covers {topic:?}"), None);
        }
        if let Some(filter) = def.ignore.iter().find(|filter| filter_covers(filter, &own)) {
            self.error(
                None,
                format!("`ignore` has {filter:?}, which hides {topic:?}"),
                None,
            );
        }
    }

    fn subscribe(&mut self, filters: Vec<String>) {
        let kept = &mut self.out.subscriptions;
        for filter in filters {
            if !kept.iter().any(|wide| filter_covers(wide, &filter)) {
                kept.retain(|narrow| !filter_covers(&filter, narrow));
                kept.push(filter);
            }
        }
    }

    fn route(&mut self, message: &MessageDef) -> Option<Route> {
        let template = Template::parse(&message.topic)
            .map_err(|problem| self.error(None, problem, None))
            .ok()?;
        let venue = match (&message.venue, template.captures_venue()) {
            (Some(_), true) => {
                self.error(
                    None,
                    "the venue is given and captured by {venue} too".to_owned(),
                    None,
                );
                return None;
            }
            (Some(venue), false) => VenueSource::Fixed(venue.clone()),
            (None, true) => VenueSource::Topic,
            (None, false) => VenueSource::Registry,
        };
        let kind = match (&message.kind, template.captures_kind()) {
            (Some(_), true) => {
                self.error(
                    None,
                    "the kind is given and captured by {kind} too".to_owned(),
                    None,
                );
                return None;
            }
            (None, false) => {
                self.error(None, "no kind: give `kind` or capture {kind}".to_owned(), None);
                return None;
            }
            (Some(id), false) => Some(self.kind(id)?),
            (None, true) => None,
        };
        let programs = self.programs(message, kind);
        Some(Route {
            template,
            venue,
            kind,
            programs,
        })
    }

    fn kind(&mut self, id: &str) -> Option<usize> {
        let at = self.kinds.iter().position(|kind| kind.id == id);
        if at.is_none() {
            let near = nearest(id, self.kinds.iter().map(|kind| kind.id.as_str()));
            self.error(None, format!("kind {id:?} is not configured"), near);
        }
        at
    }

    /// One program a kind that the message can carry; those of other kinds stay empty.
    fn programs(&mut self, message: &MessageDef, fixed: Option<usize>) -> Vec<Option<usize>> {
        let kinds = self.kinds;
        let chosen = |at: usize| fixed.is_none_or(|fixed| fixed == at);
        let candidates: Vec<&Kind> = (0..)
            .zip(kinds)
            .filter(|(at, _)| chosen(*at))
            .map(|(_, kind)| kind)
            .collect();
        self.check_points(&message.payload, &candidates);
        let mut places = Vec::new();
        for (at, kind) in kinds.iter().enumerate() {
            let program = if chosen(at) {
                self.program(&message.payload, kind)
            } else {
                None
            };
            places.push(program.map(|program| {
                self.out.programs.push(program);
                self.out.programs.len() - 1
            }));
        }
        places
    }

    fn check_points(&mut self, payload: &PayloadDef, candidates: &[&Kind]) {
        let maps: Vec<&PointMap> = match payload {
            PayloadDef::Json { points, .. } => points.iter().collect(),
            PayloadDef::Text { point } => vec![point],
        };
        for (at, map) in maps.iter().enumerate() {
            if maps.iter().take(at).any(|other| other.point == map.point) {
                self.error(Some(&map.point), "it is mapped twice".to_owned(), None);
            }
            if !candidates.iter().any(|kind| kind.point(&map.point).is_some()) {
                let names = candidates.iter().flat_map(|kind| &kind.points);
                let near = nearest(&map.point, names.map(|point| point.id.as_str()));
                let kinds: Vec<&str> = candidates.iter().map(|kind| kind.id.as_str()).collect();
                let problem = format!("no such point in kind {}", kinds.join(", "));
                self.error(Some(&map.point), problem, near);
            }
        }
    }

    fn program(&mut self, payload: &PayloadDef, kind: &Kind) -> Option<Program> {
        match payload {
            PayloadDef::Text { point } => Some(Program::Text(self.field(point, kind)?)),
            PayloadDef::Json {
                time,
                test,
                history,
                seq,
                by_name,
                points,
            } => {
                let mut root = Node::default();
                let time = time.as_ref().map(|time| (&time.at, Target::Time(time.unit)));
                let marks = [
                    time,
                    test.as_ref().map(|at| (at, Target::Test)),
                    history.as_ref().map(|at| (at, Target::History)),
                    seq.as_ref().map(|at| (at, Target::Seq)),
                ];
                for (at, target) in marks.into_iter().flatten() {
                    self.insert(&mut root, None, at, target);
                }
                for map in points {
                    if let Some(field) = self.field(map, kind) {
                        self.insert(&mut root, Some(&map.point), &map.at, Target::Point(field));
                    }
                }
                // `online` is ours: it comes from a mapped message, never from a member of that name.
                let free = kind
                    .points()
                    .filter(|(index, def)| *index != ONLINE && !points.iter().any(|map| map.point == def.id));
                for (index, def) in free.filter(|_| *by_name) {
                    root.insert_member(&def.id, Target::Point(Field::plain(index, def)));
                }
                Some(Program::Json {
                    only_online: root.only_online(),
                    clock: self.clock,
                    root,
                })
            }
        }
    }

    fn insert(&mut self, root: &mut Node, point: Option<&str>, pointer: &str, target: Target) {
        if let Err(problem) = root.insert(pointer, target) {
            self.error(point, problem, None);
        }
    }

    /// `None`: the kind has no such point (said elsewhere when no kind has it), or the mapping is wrong.
    fn field(&mut self, map: &PointMap, kind: &Kind) -> Option<Field> {
        let (index, def) = kind.point(&map.point)?;
        match Field::mapped(index, def, map) {
            Ok(field) => Some(field),
            Err(problems) => {
                for problem in problems {
                    self.error(Some(&map.point), problem, None);
                }
                None
            }
        }
    }
}

fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.to_owned())
}

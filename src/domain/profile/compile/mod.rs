//! Profiles as written → routes and programs, every error at once. Reads no message.

mod builder;
pub(super) mod program;

use std::collections::HashMap;

use self::builder::device;
use self::program::{Draft, Plans, Program, Shared};
use super::command;
use super::def::{CommandDef, MessageDef, ProfileDef};
use super::sparkplug::Sparkplug;
use super::text::TextTemplate;
use super::topic::{Template, check_filter, filter_covers};
use crate::domain::kind::Kind;
use crate::domain::registry::Registry;

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

/// The messages of one topic template, ready to match topics.
#[derive(Debug)]
pub(super) struct Route {
    /// The topics.
    pub(super) template: Template,
    /// What they mean: each of these.
    pub(super) messages: Vec<Meaning>,
}

/// One message of a profile.
#[derive(Debug)]
pub(super) struct Meaning {
    /// Filters of topics that are not meant.
    pub(super) except: Vec<String>,
    /// Where the venue comes from.
    pub(super) venue: VenueSource,
    /// The kind, when the topic does not name it.
    pub(super) kind: Option<usize>,
    /// The device's id.
    pub(super) device: TextTemplate,
    /// By kind: the place of its program.
    pub(super) programs: Vec<Option<usize>>,
}

/// One profile, ready to match topics.
#[derive(Debug)]
pub(super) struct CompiledProfile {
    /// Its name.
    pub(super) name: String,
    /// Filters of topics that are not for us.
    pub(super) ignore: Vec<String>,
    /// Its topics, tried in order.
    pub(super) routes: Vec<Route>,
    /// Whether a codec reads its messages.
    pub(super) has_codec: bool,
}

/// Everything that is compiled from the profiles.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// The profiles, tried in order.
    pub(super) profiles: Vec<CompiledProfile>,
    /// How payloads are read.
    pub(super) programs: Vec<Program>,
    /// What general programs read of payloads, by their numbers.
    pub(super) plans: Vec<Shared>,
    /// MQTT filters, none covered by another.
    pub(super) subscriptions: Vec<String>,
}

/// Compiles all `profiles` against `kinds`.
pub(super) fn compile(profiles: &[ProfileDef], kinds: &[Kind]) -> Result<Compiled, Vec<ProfileError>> {
    let mut compiler = Compiler {
        kinds,
        profile: String::new(),
        message: None,
        out: Compiled::default(),
        sharing: Vec::new(),
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
    let messages = || routes().flat_map(|route| &route.messages);
    // A parent's kind may be any, so one message without a venue asks for all of them.
    let asks = messages().any(|message| matches!(message.venue, VenueSource::Registry))
        || compiled.profiles.iter().any(|profile| profile.has_codec);
    if !asks {
        return venues;
    }
    for (kind, venues) in kinds.iter().zip(&mut venues) {
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
    message: Option<usize>,
    out: Compiled,
    /// By topic of the profile, and by kind when the topic names it: the plans of its messages.
    sharing: Vec<(Template, Option<usize>, Vec<usize>)>,
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
        self.message = None;
        self.sharing.clear();
        for filter in def.subscribe.iter().chain(&def.ignore) {
            if let Err(problem) = check_filter(filter) {
                self.error(None, problem, None);
            }
        }
        let codec_filters = self.codec(def);
        if def.messages.is_empty() && def.sparkplug.is_none() {
            self.error(None, "it has no [[message]]".to_owned(), None);
        }
        let mut routes: Vec<Route> = Vec::new();
        for (at, message) in def.messages.iter().enumerate() {
            self.message = Some(at);
            let Some((template, meaning)) = self.message(def, message) else {
                continue;
            };
            match routes.iter_mut().find(|route| route.template == template) {
                Some(route) => route.messages.push(meaning),
                None => routes.push(Route {
                    template,
                    messages: vec![meaning],
                }),
            }
        }
        self.message = None;
        for command in &def.commands {
            self.command(def, command);
        }
        let mut filters = def.subscribe.clone();
        if filters.is_empty() {
            // Also of messages with errors of their own: that nothing brings them is not one more.
            let templates = def
                .messages
                .iter()
                .flat_map(|message| Template::parse(&message.topic));
            filters = templates.map(|template| template.filter()).collect();
            filters.extend(codec_filters);
        }
        for (at, message) in def.messages.iter().enumerate() {
            self.message = Some(at);
            self.check_reach(&filters, def, &message.topic);
        }
        self.subscribe(filters);
        let mut ignore = def.ignore.clone();
        // What we say ourselves comes back to us where the subscription is wide.
        for command in &def.commands {
            let own = command_filter(&command.topic);
            let heard = routes
                .iter()
                .any(|route| filter_covers(&own, &route.template.filter()));
            if !heard && check_filter(&own).is_ok() {
                ignore.push(own);
            }
        }
        self.out.profiles.push(CompiledProfile {
            name: def.name.clone(),
            ignore,
            routes,
            has_codec: def.sparkplug.is_some(),
        });
    }

    /// Checks the profile's codec, if it has one; the filters that bring its messages.
    fn codec(&mut self, def: &ProfileDef) -> Vec<String> {
        let Some(sparkplug) = &def.sparkplug else {
            return Vec::new();
        };
        if let Err(problems) = Sparkplug::new(sparkplug, self.kinds) {
            for (at, problem) in problems {
                self.message = Some(at);
                self.error(None, problem, None);
            }
            self.message = None;
        }
        Sparkplug::filters()
    }

    fn command(&mut self, def: &ProfileDef, command: &CommandDef) {
        if let Some(kind) = &command.kind {
            self.kind(kind);
        }
        let fits = |kind: &Option<String>| command.kind.is_none() || kind.is_none() || *kind == command.kind;
        // A name that one message of the kind does not give would be missing when that one came first.
        let mut names: Option<Vec<String>> = None;
        for message in def.messages.iter().filter(|message| fits(&message.kind)) {
            let Ok(template) = Template::parse(&message.topic) else {
                continue;
            };
            let captures = message.capture.iter().map(|(name, _)| name);
            let own: Vec<String> = template.names().iter().chain(captures).cloned().collect();
            match &mut names {
                None => names = Some(own),
                Some(names) => names.retain(|name| own.contains(name)),
            }
        }
        if let Err(problem) = command::check(command, &names.unwrap_or_default()) {
            self.error(None, format!("[[command]]: {problem}"), None);
        }
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

    fn message(&mut self, def: &ProfileDef, message: &MessageDef) -> Option<(Template, Meaning)> {
        let template = Template::parse(&message.topic)
            .map_err(|problem| self.error(None, problem, None))
            .ok()?;
        let venue = match (&message.venue, template.place("venue").is_some()) {
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
        let kind = match (&message.kind, template.place("kind").is_some()) {
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
        for filter in &message.except {
            if let Err(problem) = check_filter(filter) {
                self.error(None, problem, None);
            }
        }
        let device = device(message, &template)
            .map_err(|problem| self.error(None, problem, None))
            .ok()?;
        let programs = self.programs(def, message, &template, kind);
        let meaning = Meaning {
            except: message.except.clone(),
            venue,
            kind,
            device,
            programs,
        };
        Some((template, meaning))
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
    fn programs(
        &mut self,
        profile: &ProfileDef,
        message: &MessageDef,
        template: &Template,
        fixed: Option<usize>,
    ) -> Vec<Option<usize>> {
        let kinds = self.kinds;
        let chosen = |at: usize| fixed.is_none_or(|fixed| fixed == at);
        let candidates: Vec<&Kind> = (0..)
            .zip(kinds)
            .filter(|(at, _)| chosen(*at))
            .map(|(_, kind)| kind)
            .collect();
        self.check_points(message, &candidates);
        let mut places = Vec::new();
        for (at, kind) in kinds.iter().enumerate() {
            if !chosen(at) {
                places.push(None);
                continue;
            }
            let draft = Draft {
                profile,
                message,
                template,
                kinds,
                kind,
            };
            let kind = fixed.is_none().then_some(at);
            let found = self
                .sharing
                .iter()
                .position(|(own, of, _)| own == template && *of == kind);
            let shared = found.unwrap_or_else(|| {
                self.sharing.push((template.clone(), kind, Vec::new()));
                self.sharing.len() - 1
            });
            let Some((_, _, own)) = self.sharing.get_mut(shared) else {
                continue;
            };
            let mut plans = Plans {
                all: &mut self.out.plans,
                own,
            };
            places.push(match draft.compile(&mut plans) {
                Ok(program) => {
                    self.out.programs.push(program);
                    Some(self.out.programs.len() - 1)
                }
                Err(problems) => {
                    for (point, problem, near) in problems {
                        self.error(point.as_deref(), problem, near);
                    }
                    None
                }
            });
        }
        places
    }

    fn check_points(&mut self, message: &MessageDef, candidates: &[&Kind]) {
        for map in &message.points {
            if !candidates.iter().any(|kind| kind.point(&map.point).is_some()) {
                let names = candidates.iter().flat_map(|kind| &kind.points);
                let near = nearest(&map.point, names.map(|point| point.id.as_str()));
                let kinds: Vec<&str> = candidates.iter().map(|kind| kind.id.as_str()).collect();
                let problem = format!("no such point in kind {}", kinds.join(", "));
                self.error(Some(&map.point), problem, near);
            }
        }
    }
}

/// The filter of all topics that a command is published on.
fn command_filter(topic: &str) -> String {
    let levels = topic.split('/');
    let levels: Vec<&str> = levels
        .map(|level| if level.contains('{') { "+" } else { level })
        .collect();
    levels.join("/")
}

fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.to_owned())
}

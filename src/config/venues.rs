//! Venues files: `[[venue]]` and its `[[venue.device]]`, or CSV with a device a line (`venues_csv.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::document::Table;
use super::doubts::Described;
use super::finding::{Nature, did_you_mean};
use super::kinds::Kinds;
use super::names::{Names, topic_level};
use super::schedules::{read_date, read_venue_hours};
use super::source::{Form, Place, Report, Scope, Source};
use super::value::Value;
use super::{register, venues_csv};
use crate::domain::almanac::{Expiry, VenueFacts};
use crate::domain::device::DeviceKey;
use crate::domain::kind::Kind;
use crate::domain::profile::def::ProfileDef;
use crate::domain::registry::{RegisteredDevice, Registry, UNREGISTERED, Venue};
use crate::domain::roll::Enrolled;
use crate::domain::schedule::Hours;
use crate::domain::time::Millis;

/// The nine kinds of small venue (九小场所), and the rest.
pub(super) const VENUE_KINDS: [(&str, &str); 10] = [
    ("school", "school"),
    ("clinic", "clinic"),
    ("shop", "shop"),
    ("restaurant", "restaurant"),
    ("hotel", "hotel"),
    ("entertainment", "entertainment"),
    ("internet_cafe", "internet_cafe"),
    ("beauty_bath", "beauty_bath"),
    ("workshop", "workshop"),
    ("other", "other"),
];

/// Less is what a device does between two messages; more is a device that nobody would miss.
const EXERCISE: RangeInclusive<Duration> = Duration::from_hours(24)..=Duration::from_hours(366 * 24);

const SILENT_AFTER: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(90 * 24);

/// What the venues files say.
#[derive(Debug)]
pub(super) struct Venues {
    pub(super) registry: Registry,
    /// Of those of which rules may ask something.
    pub(super) facts: Vec<VenueFacts>,
    /// What of the devices decides anything.
    pub(super) enrolled: Vec<Enrolled>,
    /// Where each stands.
    pub(super) described: Described,
    /// Those of them that the venues files describe.
    pub(super) in_files: Described,
}

/// What has been read of them so far.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    kinds: &'a Kinds,
    /// `None`: they are not read here.
    profiles: Option<&'a [ProfileDef]>,
    pub(super) venue_names: Names,
    device_names: Names,
    described: Described,
    venues: Vec<VenueDraft>,
    devices: Vec<DeviceDraft>,
}

#[derive(Debug)]
struct VenueDraft {
    venue: Venue,
    time_zone: String,
    hours: Option<Hours>,
}

#[derive(Debug)]
struct DeviceDraft {
    device: RegisteredDevice,
    expires: Option<Date>,
    /// As written: an id of the same venue.
    parent: Option<(String, Place)>,
    exercise: Option<Place>,
    aliases: Vec<(DeviceKey, Place)>,
}

/// What the keys of a venue and a device are called, where TOML and CSV differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    pub(super) venue: &'static str,
    pub(super) venue_name: &'static str,
    pub(super) venue_kind: &'static str,
    pub(super) device: &'static str,
}

pub(super) const IN_TOML: Keys = Keys {
    venue: "id",
    venue_name: "name",
    venue_kind: "kind",
    device: "id",
};

/// Reads every venues file, and behind them what was registered over the API.
pub(super) fn read(
    (sources, registered): (&[Arc<Source>], Option<&Arc<Source>>),
    kinds: &Kinds,
    profiles: Option<&[ProfileDef]>,
    report: &Report,
) -> Venues {
    let mut draft = Draft {
        kinds,
        profiles,
        venue_names: Names::new("venue"),
        device_names: Names::new("device"),
        described: Described::default(),
        venues: Vec::new(),
        devices: Vec::new(),
    };
    let mut lists = Vec::new();
    for source in sources {
        let scope = Scope {
            source: Arc::clone(source),
            report,
        };
        match source.form() {
            Form::Toml => {
                let tree = source.tree();
                let mut root = Table::root(&scope, tree.get_ref());
                for table in root.tables("venue", "[[venue]]") {
                    read_toml(table, &mut draft);
                }
            }
            Form::Csv => lists.push((venues_csv::read(&scope, &mut draft), scope)),
        }
    }
    let described = draft.described.clone();
    if let Some(source) = registered {
        let scope = Scope {
            source: Arc::clone(source),
            report,
        };
        lists.push((register::read(&scope, &mut draft), scope));
    }
    // A line may be about a venue that another file describes.
    for (named, scope) in lists {
        for (venue, span) in named {
            draft.venue_names.check(&venue, &scope.place(span), report);
        }
    }
    Venues {
        in_files: described,
        ..draft.finish(report)
    }
}

fn read_toml(mut table: Table<'_>, draft: &mut Draft<'_>) {
    let devices = table.tables("device", "[[venue.device]]");
    let id = draft.read_venue(table, IN_TOML);
    for device in devices {
        draft.read_device(device, &id, IN_TOML);
    }
}

impl Draft<'_> {
    /// Where what was read so far stands.
    pub(super) const fn described(&self) -> &Described {
        &self.described
    }

    /// Reads what `table` says of a venue; its id, empty when it has none.
    pub(super) fn read_venue(&mut self, mut table: Table<'_>, keys: Keys) -> String {
        let id_value = table.required(keys.venue);
        let id = id_value.as_ref().and_then(topic_level).unwrap_or_default();
        if let Some(value) = id_value.filter(|_| !id.is_empty()) {
            self.venue_names.add(&id, &value, table.report());
            self.described.venues.insert(id.clone(), value.place());
            if id == UNREGISTERED {
                value.wrong(format!(
                    "no venue can be called `{UNREGISTERED}`: that is where devices belong that nobody registered"
                ));
            }
        }
        let name = table
            .required(keys.venue_name)
            .and_then(|name| name.filled_text());
        let kind = table
            .required(keys.venue_kind)
            .and_then(|kind| kind.word("kind of venue", &VENUE_KINDS));
        let address = table.optional("address").and_then(|address| address.text());
        let district = table.optional("district");
        let district = district.and_then(|district| district.filled_text());
        let confirm = table.optional("confirm_linkage");
        let (time_zone, hours) = read_venue_hours(&mut table);
        let venue = Venue {
            id: id.clone(),
            name: name.unwrap_or_default().into_owned(),
            kind: kind.unwrap_or_default().to_owned(),
            address: address.unwrap_or_default().into_owned(),
            district: district.map(String::from),
            confirm_linkage: confirm.and_then(|confirm| confirm.boolean()).unwrap_or(false),
        };
        self.venues.push(VenueDraft {
            venue,
            time_zone,
            hours,
        });
        id
    }

    /// Reads what `table` says of a device of `venue`.
    pub(super) fn read_device(&mut self, mut table: Table<'_>, venue: &str, keys: Keys) {
        let report = table.report();
        let id_value = table.required(keys.device);
        let kind_value = table.required("kind");
        let name = table.optional("name").and_then(|name| name.filled_text());
        let profile = table
            .optional("profile")
            .and_then(|name| self.profile(&name, report));
        let parent = table
            .optional("parent")
            .and_then(|parent| Some((parent.filled_text()?.into_owned(), parent.place())));
        let flag = |value: Option<Value<'_>>| value.and_then(|flag| flag.boolean()).unwrap_or(false);
        let remote_open = flag(table.optional("remote_open"));
        let retired = flag(table.optional("retired"));
        let silent_after = table.optional("silent_after");
        let silent_after = silent_after
            .and_then(|length| length.duration(SILENT_AFTER))
            .and_then(|length| u64::try_from(length.as_millis()).ok());
        let exercise = table.optional("exercise");
        let every = exercise.as_ref().and_then(|every| every.duration(EXERCISE));
        let every = every.and_then(|every| u64::try_from(every.as_millis()).ok());
        let installed = table.optional("installed").and_then(|date| read_date(&date));
        let expires = table.optional("expires").and_then(|date| read_date(&date));
        let aliases = table.optional("aliases");
        let id = id_value.as_ref().and_then(topic_level);
        let kind = kind_value.as_ref().and_then(Value::filled_text);
        if let (Some(kind), Some(value)) = (&kind, &kind_value) {
            self.kinds.names.check(kind, &value.place(), report);
        }
        let (Some(id), Some(kind), Some(value)) = (id, kind, id_value) else {
            return;
        };
        // The same id may stand for devices of two kinds.
        self.device_names
            .add(&format!("{venue}/{kind}/{id}"), &value, report);
        let key = DeviceKey {
            venue: venue.to_owned(),
            kind: kind.into_owned(),
            device: id,
        };
        self.described.devices.insert(key.clone(), value.place());
        let life = self.kinds.service_life_years(&key.kind);
        let end_of_life = || installed?.checked_add(life?.years()).ok();
        self.devices.push(DeviceDraft {
            expires: expires.or_else(end_of_life),
            parent,
            exercise: exercise.map(|exercise| exercise.place()),
            aliases: aliases.map_or_else(Vec::new, |aliases| read_aliases(&aliases, &key)),
            device: RegisteredDevice {
                name: name.map_or_else(|| key.device.clone(), String::from),
                profile,
                parent: None,
                remote_open,
                silent_after: silent_after.map(Millis),
                exercise: every.map(Millis),
                installed,
                retired,
                aliases: Vec::new(),
                key,
            },
        });
    }

    fn profile(&self, value: &Value<'_>, report: &Report) -> Option<String> {
        let name = value.filled_text()?;
        let names = self
            .profiles
            .into_iter()
            .flatten()
            .map(|profile| profile.name.as_str());
        let is_known = self.profiles.is_none() || names.clone().any(|known| known == name);
        if !is_known && report.is_complete() {
            let help = did_you_mean(&name, names);
            let problem = value.place().problem(format!("there is no profile `{name}`"));
            report.add(problem.nature(Nature::Missing).help(help));
        }
        Some(name.into_owned())
    }

    /// What is tried out by itself has to have something to obey, and hours in which that is in nobody's way.
    fn check_exercises(&self, report: &Report) {
        for draft in &self.devices {
            let Some(place) = &draft.exercise else { continue };
            let key = &draft.device.key;
            let closes = |kind: &Kind| kind.commands.iter().any(|command| !command.opens);
            if self.kinds.whole(&key.kind).is_some_and(|kind| !closes(kind)) {
                let message = format!(
                    "devices of the kind `{}` obey no command that could be tried out",
                    key.kind
                );
                report.add(place.problem(message));
            }
            let hours = self
                .venues
                .iter()
                .any(|venue| venue.venue.id == key.venue && venue.hours.is_some());
            if !hours {
                let message =
                    "it is tried out while the venue is closed: the venue's `hours` have to be known";
                report.add(place.problem(message));
            }
        }
    }

    fn finish(mut self, report: &Report) -> Venues {
        self.find_parents(report);
        self.check_aliases(report);
        self.check_exercises(report);
        let mut expiries: BTreeMap<String, Vec<Expiry>> = BTreeMap::new();
        for draft in &self.devices {
            let key = &draft.device.key;
            if let Some(on) = draft.expires.filter(|_| !draft.device.retired) {
                expiries.entry(key.venue.clone()).or_default().push(Expiry {
                    kind: key.kind.clone(),
                    device: key.device.clone(),
                    on,
                });
            }
        }
        let (mut venues, mut facts) = (Vec::new(), Vec::new());
        for draft in self.venues {
            let expiries = expiries.remove(&draft.venue.id).unwrap_or_default();
            let confirms = draft.venue.confirm_linkage;
            if draft.hours.is_some() || !expiries.is_empty() || confirms {
                facts.push(VenueFacts {
                    venue: draft.venue.id.clone(),
                    time_zone: draft.time_zone,
                    hours: draft.hours,
                    expiries,
                    confirms,
                });
            }
            venues.push(draft.venue);
        }
        let devices: Vec<RegisteredDevice> = self.devices.into_iter().map(|draft| draft.device).collect();
        Venues {
            enrolled: devices.iter().map(RegisteredDevice::enrolled).collect(),
            registry: Registry::new(venues, devices),
            facts,
            described: self.described,
            in_files: Described::default(),
        }
    }

    /// A parent is a device of the same venue: `id`, or `kind/id` where two kinds have that id.
    fn find_parents(&mut self, report: &Report) {
        if self.devices.iter().all(|draft| draft.parent.is_none()) {
            return;
        }
        let mut ids: HashMap<String, Vec<DeviceKey>> = HashMap::new();
        for DeviceDraft { device, .. } in &self.devices {
            let key = &device.key;
            for id in [
                format!("{}/{}", key.venue, key.device),
                format!("{}/{}/{}", key.venue, key.kind, key.device),
            ] {
                ids.entry(id).or_default().push(key.clone());
            }
        }
        for draft in &mut self.devices {
            let Some((text, place)) = &draft.parent else {
                continue;
            };
            let venue = &draft.device.key.venue;
            let found = ids.get(&format!("{venue}/{text}")).map(Vec::as_slice);
            match found {
                Some([parent]) => draft.device.parent = Some(parent.clone()),
                Some(several) => {
                    let kinds: Vec<&str> = several.iter().map(|key| key.kind.as_str()).collect();
                    let message = format!("`{text}` may be a {}", kinds.join(" or a "));
                    let help = "write the kind too: kind/id".to_owned();
                    report.add(place.problem(message).help(help));
                }
                None => {
                    let own = format!("{venue}/");
                    let known = ids.keys().filter_map(|id| id.strip_prefix(&own));
                    let mut known: Vec<&str> = known.collect();
                    known.sort_unstable();
                    let message = format!("there is no device `{text}` in the venue `{venue}`");
                    let problem = place.problem(message).nature(Nature::Missing);
                    report.add(problem.help(did_you_mean(text, known)));
                }
            }
        }
        self.check_circles(report);
    }

    /// Nobody stands above themselves.
    fn check_circles(&self, report: &Report) {
        let parents: HashMap<&DeviceKey, &DeviceKey> = self
            .devices
            .iter()
            .filter_map(|draft| Some((&draft.device.key, draft.device.parent.as_ref()?)))
            .collect();
        for draft in &self.devices {
            let mut above = parents.get(&draft.device.key);
            let mut steps = 0;
            while let Some(parent) = above.filter(|_| steps < parents.len()) {
                if **parent == draft.device.key
                    && let Some((_, place)) = &draft.parent
                {
                    let message = format!("`{}` stands above itself", draft.device.key.device);
                    report.add(
                        place
                            .problem(message)
                            .help("follow `parent` from here".to_owned()),
                    );
                    break;
                }
                above = parents.get(*parent);
                steps += 1;
            }
        }
    }

    /// Who somebody was cannot be who somebody else is or was.
    fn check_aliases(&mut self, report: &Report) {
        if self.devices.iter().all(|draft| draft.aliases.is_empty()) {
            return;
        }
        let present: HashSet<DeviceKey> = self
            .devices
            .iter()
            .map(|draft| draft.device.key.clone())
            .collect();
        let mut former: HashSet<DeviceKey> = HashSet::new();
        for draft in &mut self.devices {
            for (alias, place) in std::mem::take(&mut draft.aliases) {
                let shown = format!("{}/{}/{}", alias.venue, alias.kind, alias.device);
                if present.contains(&alias) {
                    let message = format!("`{shown}` is registered itself: nobody else was that");
                    report.add(place.problem(message));
                } else if former.insert(alias.clone()) {
                    draft.device.aliases.push(alias);
                } else {
                    report.add(place.problem(format!("two devices cannot both have been `{shown}`")));
                }
            }
        }
    }
}

/// Former ids: `id` in the same venue, `venue/id` in another; the kind stays.
fn read_aliases(value: &Value<'_>, key: &DeviceKey) -> Vec<(DeviceKey, Place)> {
    let mut aliases = Vec::new();
    for item in value.list().unwrap_or_default() {
        let Some(text) = item.filled_text() else {
            continue;
        };
        let (venue, device) = text.split_once('/').unwrap_or((&key.venue, &text));
        if venue.is_empty() || device.is_empty() || device.contains('/') {
            let help = "write a former id, or venue/id".to_owned();
            item.wrong_with(format!("{text:?} is not a former id"), help);
            continue;
        }
        let alias = DeviceKey {
            venue: venue.to_owned(),
            kind: key.kind.clone(),
            device: device.to_owned(),
        };
        aliases.push((alias, item.place()));
    }
    aliases
}

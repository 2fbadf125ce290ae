//! What was registered over the API: a file of our own beside the store, read behind the venues files with the same keys and
//! checks. What those describe it does not change.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use toml::de::{DeTable, DeValue};

use super::document::Table;
use super::doubts::Described;
use super::finding::{Finding, Findings};
use super::settings::counted;
use super::source::{Report, Scope, Source};
use super::value::Value;
use super::venues::{Draft, IN_TOML};
use crate::domain::alarm::Operator;
use crate::domain::device::DeviceKey;
use crate::domain::journal::RegisteredInput;

/// The file's name in the data folder.
const NAME: &str = "registry.toml";

const HEAD: &str = "# Written by ninewatch: what was registered over the API (docs/operations.md). Change it over the API, or move entries into\n\
    # a venues file: that counts before this one.\n";

/// What the API may change.
#[derive(Debug, Clone, PartialEq)]
pub enum Registering {
    /// Describes a venue, in the place of what was said of it.
    Venue {
        /// Its id.
        id: String,
        /// The keys of a venues file.
        says: Map<String, Json>,
    },
    /// Describes a device, in the place of what was said of it.
    Device {
        /// Who it is.
        key: DeviceKey,
        /// The keys of a venues file.
        says: Map<String, Json>,
    },
    /// A device goes out of use for good.
    Retire(DeviceKey),
}

/// A change, by whom, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// What changes.
    pub what: Registering,
    /// Who wants it.
    pub operator: Operator,
    /// When, in RFC 3339.
    pub at: String,
}

impl Registration {
    /// What of it goes on record; a venue is no device.
    pub fn input(&self) -> Option<RegisteredInput> {
        let (device, retired) = match &self.what {
            Registering::Venue { .. } => return None,
            Registering::Device { key, says } => (key, says.get("retired") == Some(&Json::Bool(true))),
            Registering::Retire(key) => (key, true),
        };
        Some(RegisteredInput {
            device: device.clone(),
            retired,
            operator: self.operator.clone(),
        })
    }
}

/// The register as it is to be, until somebody keeps it.
#[derive(Debug)]
pub struct Register {
    path: PathBuf,
    text: String,
}

/// Why the register could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The configuration would be wrong.
    #[error("nothing was changed: {}", counted(.0.len(), "finding"))]
    Findings(Findings),
    /// A venues file describes it.
    #[error("{what} is described in {file}:{line}: change it there")]
    Described {
        /// What.
        what: String,
        /// The file.
        file: String,
        /// The line.
        line: usize,
    },
    /// Nobody has registered it.
    #[error("{0} is not registered")]
    Unknown(String),
    /// The file cannot be read or written.
    #[error("cannot keep {path}: {source}; look at the disk and the rights of the folder")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else has written into it.
    #[error("{path} is not as ninewatch wrote it ({reason}): mend it, or take it away")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Registering {
    /// Refuses to change what the venues files describe.
    pub(super) fn check(&self, in_files: &Described) -> Result<(), RegisterError> {
        let place = match self {
            Registering::Venue { id, .. } => in_files.venues.get(id),
            Registering::Device { key, .. } | Registering::Retire(key) => in_files.devices.get(key),
        };
        let Some(place) = place else { return Ok(()) };
        let (file, line) = place.spot();
        let what = self.named();
        Err(RegisterError::Described { what, file, line })
    }

    /// What is changed, for messages.
    pub fn named(&self) -> String {
        match self {
            Registering::Venue { id, .. } => format!("the venue `{id}`"),
            Registering::Device { key, .. } | Registering::Retire(key) => {
                format!("the {} `{}` of the venue `{}`", key.kind, key.device, key.venue)
            }
        }
    }
}

/// Where the register of the gateway with this data folder is.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// The text of the register; empty when there is none.
pub(super) fn text(path: &Path) -> Result<String, RegisterError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(file(path, source)),
    }
}

impl Register {
    pub(super) const fn new(path: PathBuf, text: String) -> Register {
        Register { path, text }
    }

    /// Puts it in the place of the one on the disk: a crash leaves the old or the new one.
    ///
    /// # Errors
    /// When the disk or the folder does not let us. The old one stands then.
    pub fn keep(&self) -> Result<(), RegisterError> {
        let path = &self.path;
        let fresh = path.with_extension("toml.new");
        let write = || {
            let mut written = File::create(&fresh)?;
            written.write_all(self.text.as_bytes())?;
            written.sync_all()?;
            fs::rename(&fresh, path)?;
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|source| file(path, source))
    }
}

/// Opens the register in `data_dir`, or the one with this `text`; `None`: nothing was registered.
pub(super) fn open(wanted: Option<&str>, data_dir: &Path, report: &Report) -> Option<Arc<Source>> {
    let at = path(data_dir);
    let present = match wanted {
        Some(text) => Ok(text.to_owned()),
        None => text(&at),
    };
    match present {
        Ok(text) if text.is_empty() => None,
        Ok(text) => Some(report.open(at.display().to_string(), data_dir.to_owned(), text)),
        Err(error) => {
            report.add(Finding::of_file(&at.display().to_string(), error.to_string()));
            report.mark_incomplete();
            None
        }
    }
}

fn file(path: &Path, source: io::Error) -> RegisterError {
    RegisterError::File {
        path: path.display().to_string(),
        source,
    }
}

/// Reads the register into `draft`; each venue that a device of it names, and where. What `draft` has already counts.
pub(super) fn read(scope: &Scope<'_>, draft: &mut Draft<'_>) -> Vec<(String, Range<usize>)> {
    let tree = scope.source.tree();
    let mut root = Table::root(scope, tree.get_ref());
    let (venues, devices) = (items(&mut root, "venue"), items(&mut root, "device"));
    drop(root);
    for venue in venues {
        let id = member(&venue, "id").unwrap_or_default();
        if let Some(place) = draft.described().venues.get(id) {
            let (file, line) = place.spot();
            let message = format!("`{id}` is described in {file}:{line} too, and that counts");
            scope.report.warn(venue.place().problem(message));
        } else if let Some(table) = of_ours(&venue, "[[venue]]") {
            draft.read_venue(table, IN_TOML);
        }
    }
    let mut named = Vec::new();
    for device in devices {
        let part = |name| member(&device, name).unwrap_or_default().to_owned();
        let key = DeviceKey {
            venue: part("venue"),
            kind: part("kind"),
            device: part("id"),
        };
        if let Some(place) = draft.described().devices.get(&key) {
            let (file, line) = place.spot();
            let message = format!(
                "`{}` is described in {file}:{line} too, and that counts",
                key.device
            );
            scope.report.warn(device.place().problem(message));
        } else if let Some(mut table) = of_ours(&device, "[[device]]") {
            table.required("venue");
            draft.read_device(table, &key.venue, IN_TOML);
            named.push((key.venue, device.span));
        }
    }
    named
}

fn items<'d>(root: &mut Table<'d>, key: &'static str) -> Vec<Value<'d>> {
    let value = root.optional(key);
    value.and_then(|value| value.list()).unwrap_or_default()
}

fn member<'d>(value: &Value<'d>, name: &str) -> Option<&'d str> {
    let DeValue::Table(entries) = value.tree else {
        return None;
    };
    entries.get(name)?.get_ref().as_str()
}

/// The table, with what only this file says of it: who changed it, when and why.
fn of_ours<'d>(value: &Value<'d>, title: &str) -> Option<Table<'d>> {
    let mut table = value.table(title)?;
    for key in ["by", "at", "note"] {
        table.optional(key);
    }
    Some(table)
}

/// The register's text after `registration`, when it is `text` before.
pub(super) fn changed(path: &Path, text: &str, registration: &Registration) -> Result<String, RegisterError> {
    let damaged = |reason: String| RegisterError::Damaged {
        path: path.display().to_string(),
        reason,
    };
    let tree = DeTable::parse(text).map_err(|error| damaged(error.message().to_owned()))?;
    let list = |name: &str| match tree.get_ref().get(name).map(|value| json(value.get_ref())) {
        None => Ok(Vec::new()),
        Some(Json::Array(items)) => Ok(items),
        Some(_) => Err(damaged(format!("`{name}` is no list"))),
    };
    let (mut venues, mut devices) = (list("venue")?, list("device")?);
    let operator = &registration.operator;
    let mut signed = Map::new();
    signed.insert("by".to_owned(), Json::from(operator.by.as_str()));
    signed.insert("at".to_owned(), Json::from(registration.at.as_str()));
    if let Some(note) = &operator.note {
        signed.insert("note".to_owned(), Json::from(note.as_str()));
    }
    match &registration.what {
        Registering::Venue { id, says } => {
            venues.retain(|venue| venue["id"] != id.as_str());
            venues.push(entry(&[("id", id)], says, signed));
        }
        Registering::Device { key, says } => {
            devices.retain(|device| !is(device, key));
            let who = [("id", &key.device), ("venue", &key.venue), ("kind", &key.kind)];
            devices.push(entry(&who, says, signed));
        }
        Registering::Retire(key) => {
            let known = devices.iter_mut().find(|device| is(device, key));
            let Some(Json::Object(known)) = known else {
                return Err(RegisterError::Unknown(registration.what.named()));
            };
            known.remove("note");
            known.extend(signed);
            known.insert("retired".to_owned(), Json::Bool(true));
        }
    }
    let place =
        |item: &Json| ["venue", "kind", "id"].map(|name| item[name].as_str().unwrap_or_default().to_owned());
    venues.sort_by_key(place);
    devices.sort_by_key(place);
    let mut written = HEAD.to_owned();
    for (title, items) in [("venue", &venues), ("device", &devices)] {
        for item in items.iter().filter_map(Json::as_object) {
            written.extend(["\n[[", title, "]]\n"]);
            for (key, value) in item {
                written.extend([quoted(key).as_str(), " = ", toml(value).as_str(), "\n"]);
            }
        }
    }
    Ok(written)
}

fn is(device: &Json, key: &DeviceKey) -> bool {
    device["venue"] == key.venue.as_str()
        && device["kind"] == key.kind.as_str()
        && device["id"] == key.device.as_str()
}

fn entry(who: &[(&str, &String)], says: &Map<String, Json>, signed: Map<String, Json>) -> Json {
    let mut entry = says.clone();
    // What is `null` is not said.
    entry.retain(|_, value| !value.is_null());
    entry.extend(
        who.iter()
            .map(|(name, value)| ((*name).to_owned(), Json::from(value.as_str()))),
    );
    entry.extend(signed);
    Json::Object(entry)
}

fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(number) => number.to_string().parse::<i64>().map_or(Json::Null, Json::from),
        DeValue::Float(number) => number.to_string().parse::<f64>().map_or(Json::Null, Json::from),
        DeValue::Boolean(flag) => Json::from(*flag),
        DeValue::Datetime(at) => Json::from(at.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())));
            Json::Object(entries.collect())
        }
    }
}

/// As TOML in one line.
fn toml(value: &Json) -> String {
    match value {
        // Left out before; in a list it is wrong, and said to be.
        Json::Null => "\"\"".to_owned(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => quoted(text),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(entries) => {
            let entries = entries.iter();
            let entries: Vec<String> = entries
                .map(|(key, value)| format!("{} = {}", quoted(key), toml(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn escaped(c: char) -> String {
    format!("\\u{:04X}", u32::from(c))
}

/// A basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push_str(&escaped(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn registration(what: Registering) -> Registration {
        Registration {
            what,
            operator: Operator {
                by: "Wang".to_owned(),
                note: Some("a \"new\" line\nof \u{7f} text \\ 新".to_owned()),
            },
            at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    fn says(value: &Json) -> Map<String, Json> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn key(device: &str) -> DeviceKey {
        DeviceKey {
            venue: "v9".to_owned(),
            kind: "gas_detector".to_owned(),
            device: device.to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_written_the_same() {
        let path = Path::new("registry.toml");
        let venue = registration(Registering::Venue {
            id: "v9".to_owned(),
            says: says(&json!({ "name": "店", "kind": "shop", "address": null,
                "hours": [{ "days": "mon-sun", "from": "09:00", "to": "22:00" }] })),
        });
        let device = |id: &str| {
            registration(Registering::Device {
                key: key(id),
                says: says(&json!({ "name": "后厨", "remote_open": true, "aliases": ["old"] })),
            })
        };
        let mut text = String::new();
        for change in [&device("g2"), &venue, &device("g1"), &device("g2")] {
            text = changed(path, &text, change).unwrap();
        }
        let tree = DeTable::parse(&text).unwrap();
        let devices = json(tree.get_ref().get("device").unwrap().get_ref());
        let ids: Vec<&str> = devices
            .as_array()
            .unwrap()
            .iter()
            .map(|device| device["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["g1", "g2"], "{text}");
        assert_eq!(devices[0]["note"], venue.operator.note.clone().unwrap());
        let venues = json(tree.get_ref().get("venue").unwrap().get_ref());
        assert_eq!(venues[0]["hours"][0]["to"], "22:00");
        assert!(venues[0].get("address").is_none());
        assert_eq!(changed(path, &text, &venue).unwrap(), text);

        let text = changed(path, &text, &registration(Registering::Retire(key("g1")))).unwrap();
        assert_eq!(text.matches("\"retired\" = true").count(), 1, "{text}");
        let unknown = changed(path, &text, &registration(Registering::Retire(key("g3")))).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "the gas_detector `g3` of the venue `v9` is not registered"
        );
        assert!(matches!(
            changed(path, "[[venue", &venue),
            Err(RegisterError::Damaged { .. })
        ));
    }
}

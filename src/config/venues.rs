//! Venues files: `[[venue]]` and its `[[venue.device]]`.

use std::sync::Arc;

use super::document::Table;
use super::kinds::Kinds;
use super::names::{Names, topic_level};
use super::source::{Report, Scope, Source};
use super::value::Value;
use crate::domain::device::DeviceKey;
use crate::domain::registry::{RegisteredDevice, Registry, Venue};

/// The nine kinds of small venue (九小场所), and the rest.
const VENUE_KINDS: [(&str, &str); 10] = [
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

/// Reads every venues file.
pub(super) fn read(sources: &[Arc<Source>], kinds: &Kinds, report: &Report) -> Registry {
    let mut names = Names::new("venue");
    let mut venues = Vec::new();
    let mut devices = Vec::new();
    for source in sources {
        let scope = Scope {
            source: Arc::clone(source),
            report,
        };
        let tree = source.tree();
        let mut root = Table::root(&scope, tree.get_ref());
        for table in root.tables("venue", "[[venue]]") {
            venues.push(read_venue(table, &mut names, kinds, &mut devices));
        }
    }
    Registry::new(venues, devices)
}

fn read_venue(
    mut table: Table<'_>,
    names: &mut Names,
    kinds: &Kinds,
    devices: &mut Vec<RegisteredDevice>,
) -> Venue {
    let id_value = table.required("id");
    let id = id_value.as_ref().and_then(topic_level).unwrap_or_default();
    if let Some(value) = id_value.filter(|_| !id.is_empty()) {
        names.add(&id, &value, table.report());
    }
    let name = table.required("name").and_then(|name| name.filled_text());
    let kind = table
        .required("kind")
        .and_then(|kind| kind.word("kind of venue", &VENUE_KINDS));
    let address = table.optional("address").and_then(|address| address.text());
    let mut device_names = Names::new("device");
    for device in table.tables("device", "[[venue.device]]") {
        devices.extend(read_device(device, &id, kinds, &mut device_names));
    }
    Venue {
        id,
        name: name.unwrap_or_default().into_owned(),
        kind: kind.unwrap_or_default().to_owned(),
        address: address.unwrap_or_default().into_owned(),
    }
}

fn read_device(
    mut table: Table<'_>,
    venue: &str,
    kinds: &Kinds,
    names: &mut Names,
) -> Option<RegisteredDevice> {
    let report = table.report();
    let id_value = table.required("id");
    let kind_value = table.required("kind");
    let name = table.optional("name").and_then(|name| name.filled_text());
    let id = id_value.as_ref().and_then(topic_level);
    let kind = kind_value.as_ref().and_then(Value::filled_text);
    if let (Some(kind), Some(value)) = (&kind, &kind_value) {
        kinds.names.check(kind, &value.place(), report);
    }
    let (id, kind, value) = (id?, kind?, id_value?);
    // The same id may stand for devices of two kinds.
    names.add(&format!("{kind}/{id}"), &value, report);
    Some(RegisteredDevice {
        name: name.map_or_else(|| id.clone(), String::from),
        key: DeviceKey {
            venue: venue.to_owned(),
            kind: kind.into_owned(),
            device: id,
        },
    })
}

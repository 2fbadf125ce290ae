//! Venues files: `[[venue]]` and its `[[venue.device]]`.

use std::sync::Arc;

use jiff::civil::Date;

use super::document::Table;
use super::kinds::Kinds;
use super::names::{Names, topic_level};
use super::schedules::{read_date, read_venue_hours};
use super::source::{Report, Scope, Source};
use super::value::Value;
use crate::domain::almanac::{Expiry, VenueFacts};
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

/// What the venues files say.
#[derive(Debug)]
pub(super) struct Venues {
    pub(super) registry: Registry,
    /// Of those of which rules may ask something.
    pub(super) facts: Vec<VenueFacts>,
}

/// What has been read of them so far.
struct Draft<'a> {
    kinds: &'a Kinds,
    names: Names,
    devices: Vec<RegisteredDevice>,
    facts: Vec<VenueFacts>,
}

/// Reads every venues file.
pub(super) fn read(sources: &[Arc<Source>], kinds: &Kinds, report: &Report) -> Venues {
    let mut draft = Draft {
        kinds,
        names: Names::new("venue"),
        devices: Vec::new(),
        facts: Vec::new(),
    };
    let mut venues = Vec::new();
    for source in sources {
        let scope = Scope {
            source: Arc::clone(source),
            report,
        };
        let tree = source.tree();
        let mut root = Table::root(&scope, tree.get_ref());
        for table in root.tables("venue", "[[venue]]") {
            venues.push(read_venue(table, &mut draft));
        }
    }
    Venues {
        registry: Registry::new(venues, draft.devices),
        facts: draft.facts,
    }
}

fn read_venue(mut table: Table<'_>, draft: &mut Draft<'_>) -> Venue {
    let id_value = table.required("id");
    let id = id_value.as_ref().and_then(topic_level).unwrap_or_default();
    if let Some(value) = id_value.filter(|_| !id.is_empty()) {
        draft.names.add(&id, &value, table.report());
    }
    let name = table.required("name").and_then(|name| name.filled_text());
    let kind = table
        .required("kind")
        .and_then(|kind| kind.word("kind of venue", &VENUE_KINDS));
    let address = table.optional("address").and_then(|address| address.text());
    let (time_zone, hours) = read_venue_hours(&mut table);
    let mut device_names = Names::new("device");
    let mut expiries = Vec::new();
    for device in table.tables("device", "[[venue.device]]") {
        let Some((device, until)) = read_device(device, &id, draft.kinds, &mut device_names) else {
            continue;
        };
        expiries.extend(until.map(|on| Expiry {
            kind: device.key.kind.clone(),
            device: device.key.device.clone(),
            on,
        }));
        draft.devices.push(device);
    }
    if hours.is_some() || !expiries.is_empty() {
        draft.facts.push(VenueFacts {
            venue: id.clone(),
            time_zone,
            hours,
            expiries,
        });
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
) -> Option<(RegisteredDevice, Option<Date>)> {
    let report = table.report();
    let id_value = table.required("id");
    let kind_value = table.required("kind");
    let name = table.optional("name").and_then(|name| name.filled_text());
    let expires = table.optional("expires").and_then(|date| read_date(&date));
    let id = id_value.as_ref().and_then(topic_level);
    let kind = kind_value.as_ref().and_then(Value::filled_text);
    if let (Some(kind), Some(value)) = (&kind, &kind_value) {
        kinds.names.check(kind, &value.place(), report);
    }
    let (id, kind, value) = (id?, kind?, id_value?);
    // The same id may stand for devices of two kinds.
    names.add(&format!("{kind}/{id}"), &value, report);
    let device = RegisteredDevice {
        name: name.map_or_else(|| id.clone(), String::from),
        key: DeviceKey {
            venue: venue.to_owned(),
            kind: kind.into_owned(),
            device: id,
        },
    };
    Some((device, expires))
}

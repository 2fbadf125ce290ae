//! What every device says at present, for those who show it: a copy, taken in parts, so that no message waits for the whole.
//! Changes nothing.

use std::sync::Arc;

use super::super::definitions::{Definitions, KindIndex, KindRules};
use super::super::device::DeviceKey;
use super::super::rule::Quantity;
use super::Engine;

/// A copy of what the devices say, as far as it has come.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    definitions: Arc<Definitions>,
    devices: Vec<Row>,
    values: Vec<f64>,
}

#[derive(Debug, Clone)]
struct Row {
    key: Arc<DeviceKey>,
    kind: Option<KindIndex>,
    up: bool,
    /// Where its values end.
    end: usize,
}

/// What a device says.
#[derive(Debug, Clone, Copy)]
pub struct Surveyed<'a> {
    /// Who it is.
    pub key: &'a Arc<DeviceKey>,
    /// Its kind in [`Survey::definitions`].
    pub kind: Option<KindIndex>,
    /// It is there: it has spoken, was not reported offline since, and not silent for the longest time that a rule of its kind
    /// asks about.
    pub up: bool,
    /// The values of its points; NaN: unknown.
    pub values: &'a [f64],
}

impl Survey {
    /// The definitions that its kinds are of.
    pub const fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    /// The devices, in the order of their numbers.
    pub fn devices(&self) -> impl Iterator<Item = Surveyed<'_>> {
        let mut from = 0;
        self.devices.iter().map(move |row| Surveyed {
            key: &row.key,
            kind: row.kind,
            up: row.up,
            values: self
                .values
                .get(std::mem::replace(&mut from, row.end)..row.end)
                .unwrap_or_default(),
        })
    }
}

impl Engine {
    /// Goes on with `survey` by at most so many devices; whether it is whole now. One that was begun under other definitions
    /// begins anew.
    pub fn survey(&self, survey: &mut Survey, most: usize) -> bool {
        if !Arc::ptr_eq(&survey.definitions, &self.definitions) {
            *survey = Survey {
                definitions: Arc::clone(&self.definitions),
                ..Survey::default()
            };
        }
        let longest = |kind: &KindRules| {
            let lengths = kind.derived.iter().filter_map(|derived| match derived.quantity {
                Quantity::Silent { length } => Some((length, derived.slot)),
                Quantity::Window { .. }
                | Quantity::Held { .. }
                | Quantity::Count { .. }
                | Quantity::Fact(_)
                | Quantity::ClockSkew
                | Quantity::CommandFailed => None,
            });
            lengths.max().map(|(_, slot)| slot)
        };
        let silence: Vec<Option<u8>> = self.definitions.all_kinds().map(longest).collect();
        for device in self.devices.iter().skip(survey.devices.len()).take(most) {
            let kind = device.kind.map(|kind| usize::from(kind.0));
            let slot = kind.and_then(|kind| silence.get(kind).copied().flatten());
            let silent = slot.and_then(|slot| device.slots.get(usize::from(slot)));
            let rules = device.kind.and_then(|kind| self.definitions.kind(kind));
            let points = rules.map_or(0, |rules| rules.kind.points.len());
            survey.values.extend(device.slots.iter().take(points));
            survey.devices.push(Row {
                key: Arc::clone(&device.key),
                kind: device.kind,
                up: device.online() == Some(true)
                    && silent.is_none_or(|silent| silent.is_nan() || *silent < 1.0),
                end: survey.values.len(),
            });
        }
        survey.devices.len() >= self.devices.len()
    }
}

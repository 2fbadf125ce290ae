//! `[watchdog]`: who is told at an interval that the gateway works.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::names::Names;
use super::settings::{TargetKind, TargetSettings, WatchdogSettings};
use super::value::Value;

const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);

/// Reads the section; `None` when it is not in the file.
pub(super) fn read(
    mut table: Table<'_>,
    targets: &[TargetSettings],
    names: &Names,
) -> Option<WatchdogSettings> {
    if !table.is_present() {
        return None;
    }
    let listed = table.required("targets").and_then(|list| {
        let values = list.list()?;
        if values.is_empty() {
            list.wrong("name at least one target");
        }
        Some(values)
    });
    let listed = listed.unwrap_or_default();
    let told = listed.iter().filter_map(|value| target(value, targets, names));
    let told = told.collect();
    let interval = table
        .optional("interval")
        .and_then(|time| time.duration(INTERVAL));
    Some(WatchdogSettings {
        targets: told,
        interval: interval.unwrap_or(DEFAULT_INTERVAL),
    })
}

/// The name of a target that is for machines: nobody would read on in a group that says every minute that all is well.
fn target(value: &Value<'_>, targets: &[TargetSettings], names: &Names) -> Option<String> {
    let name = value.filled_text()?.into_owned();
    names.check(&name, &value.place(), value.scope.report);
    let known = targets.iter().find(|target| target.name == name)?;
    match known.kind {
        TargetKind::Webhook | TargetKind::Alertmanager(_) | TargetKind::AlertmanagerWebhook(_) => Some(name),
        TargetKind::Robot(_) | TargetKind::Mail(_) => {
            value.wrong_with(
                format!("`{name}` is read by people: heartbeats would fill it, and nobody notices that one is missing"),
                "name a target of kind `webhook` or `alertmanager`, which tells people when beats stay away".to_owned(),
            );
            None
        }
    }
}

//! Steps of rule tests: messages of devices, acts of operators, what comes back of an order. Reads them, runs nothing.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::finding::did_you_mean;
use super::operator_act::{self, OperatorAct, Order};
use super::own_act;
use super::rule_tests::{Cast, Clock, INSTANT, millis};
use super::sample::read_points;
use super::value::{Value, parse_duration};
use crate::domain::device::DeviceKey;
use crate::domain::interlock::Report;
use crate::domain::kind::{GATEWAY_KIND, Kind, VENUE};
use crate::domain::reading::ReadingKind;
use crate::domain::rehearsal::{Act, GATEWAY, Sample, Step, USUAL_VENUE};
use crate::domain::time::Ticks;

const EVERY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(366 * 24);
/// The most messages that one step with `every` may stand for.
const MOST_MESSAGES: u64 = 100_000;
/// What may come back of an order.
const REPORTS: [(&str, Report); 4] = [
    ("sent", Report::Sent),
    ("acknowledged", Report::Acknowledged),
    ("declined", Report::Declined),
    ("unwritable", Report::Unwritable),
];

impl Cast<'_> {
    pub(super) fn step(&self, mut table: Table<'_>, clock: &mut Clock) -> Vec<Step> {
        let at = clock.instant(&mut table).map_or(Ticks(0), |(at, _)| at);
        if let Some(acts) = own_act::read(&mut table) {
            let device = DeviceKey::gateway(GATEWAY);
            let step = |act| Step {
                at,
                device: device.clone(),
                act,
            };
            return acts.into_iter().map(step).collect();
        }
        let device_value = table.required("device");
        let acts = table.has("operator");
        let device = device_value.as_ref().and_then(|device| self.device(device, acts));
        if let Some(operator) = table.optional("operator") {
            let act = self.operation(&operator, &mut table, device.as_ref());
            let step = device.zip(act).map(|(device, act)| Step { at, device, act });
            return step.into_iter().collect();
        }
        if let (Some(DeviceKey { kind, .. }), Some(value)) = (&device, &device_value)
            && kind == GATEWAY_KIND
        {
            let help = "write `broker = false` or `gateway = { disk_low = true }` in a step without a device";
            value.wrong_with("the gateway sends no messages", help.to_owned());
        }
        if let Some(report) = table.optional("report") {
            let report = report.word("report", &REPORTS);
            let step = device.zip(report).map(|(device, report)| Step {
                at,
                device,
                act: Act::Report(report),
            });
            return step.into_iter().collect();
        }
        let kind = device.as_ref().and_then(|device| self.kinds.whole(&device.kind));
        let points = table
            .required("points")
            .and_then(|points| read_points(&points, kind));
        let sent_ms = table.optional("sent").and_then(|sent| signed_ms(&sent));
        let seq = table.optional("seq").and_then(|seq| seq.integer(0..=i64::MAX));
        let kind = reading_kind(&mut table);
        let retained = table.optional("retained").and_then(|value| value.boolean());
        let instants = repeated(&mut table, at);
        let Some((device, points)) = device.zip(points) else {
            return Vec::new();
        };
        let sample = Sample {
            points,
            sent_ms,
            seq: seq.map(i64::cast_unsigned),
            kind,
            retained: retained.unwrap_or(false),
        };
        instants
            .into_iter()
            .map(|at| Step {
                at,
                device: device.clone(),
                act: Act::Read(sample.clone()),
            })
            .collect()
    }

    /// What an operator does in a step: to an alarm, which its rule names, or to the device.
    fn operation(
        &self,
        operator: &Value<'_>,
        table: &mut Table<'_>,
        device: Option<&DeviceKey>,
    ) -> Option<Act> {
        let act = operator_act::read(operator, table);
        let refused = table.optional("refused").and_then(|value| value.boolean());
        let refused = refused.unwrap_or(false);
        match act {
            OperatorAct::Device(action) => action.map(|action| Act::Serve { action, refused }),
            OperatorAct::Command(order) => {
                let order = order?;
                if let Some(kind) = device.and_then(|device| self.kinds.whole(&device.kind)) {
                    check_order(&order, kind);
                }
                Some(Act::Command {
                    command: order.command,
                    remote_open: order.remote_open,
                    refused,
                })
            }
            OperatorAct::Alarm(action) => {
                let rule = table.required("rule");
                let rule = rule.and_then(|rule| self.watching(&rule, device))?;
                action.map(|action| Act::Operate {
                    rule,
                    action,
                    refused,
                })
            }
        }
    }

    /// The device of a step; where somebody `acts`, it may be a venue, written `venue/v1`.
    fn device(&self, value: &Value<'_>, acts: bool) -> Option<DeviceKey> {
        let text = value.filled_text()?;
        if text == GATEWAY {
            return Some(DeviceKey::gateway(GATEWAY));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let (venue, kind, device) = match parts.as_slice() {
            [VENUE, id] if acts => (*id, VENUE, *id),
            [kind, device] => (USUAL_VENUE, *kind, *device),
            [venue, kind, device] => (*venue, *kind, *device),
            _ => ("", "", ""),
        };
        let odd = |part: &str| part.is_empty() || part.contains(char::is_whitespace);
        if [venue, kind, device].into_iter().any(odd) {
            value.wrong_with(
                format!("{text:?} is not a device"),
                "write `kind/device` or `venue/kind/device`, without spaces".to_owned(),
            );
            return None;
        }
        let from = text.len() - device.len() - 1 - kind.len();
        let place = value.place().inside(&text, &(from..from + kind.len()));
        let also = acts.then_some(VENUE);
        self.kinds.names.check_or(kind, also, &place, value.scope.report);
        Some(DeviceKey {
            venue: venue.to_owned(),
            kind: kind.to_owned(),
            device: device.to_owned(),
        })
    }

    /// The rule that an operator's act names, which must watch the device's kind.
    fn watching(&self, value: &Value<'_>, device: Option<&DeviceKey>) -> Option<String> {
        let id = value.filled_text()?;
        if let Some(rule) = self.rule(&id, value)
            && let Some(device) = device.filter(|device| !rule.watches(&device.kind))
        {
            let (id, on, kind) = (&rule.id, rule.on.join("`, `"), &device.kind);
            value.wrong(format!("the rule `{id}` watches `{on}`, not `{kind}`"));
        }
        Some(id.into_owned())
    }
}

/// Reports an order that devices of `kind` do not know.
fn check_order(order: &Order<'_>, kind: &Kind) {
    if kind.command(&order.command).is_none() {
        let known = kind.commands.iter().map(|command| command.id.as_str());
        let help = did_you_mean(&order.command, known);
        let message = format!(
            "devices of the kind `{}` know no command `{}`",
            kind.id, order.command
        );
        order.report.add(order.place.problem(message).help(help));
    }
}

/// A length of time with a sign, in milliseconds.
fn signed_ms(value: &Value<'_>) -> Option<i64> {
    let text = value.text()?;
    let (sign, length) = match text.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let read = parse_duration(length).and_then(|length| i64::try_from(length.as_millis()).ok());
    if read.is_none() {
        value.wrong_with(
            format!("`{}` is not a length of time: {text:?}", value.key),
            "write how far the device's time is from the instant: \"-90s\", \"0s\", \"5m\"".to_owned(),
        );
    }
    read.map(|read| sign * read)
}

fn reading_kind(table: &mut Table<'_>) -> ReadingKind {
    match table.either("test", "history") {
        Some(value) if value.boolean() == Some(true) && value.key == "test" => ReadingKind::Test,
        Some(value) if value.boolean() == Some(true) => ReadingKind::History,
        Some(_) | None => ReadingKind::Live,
    }
}

/// The instants of a step: its own, and those of `every` and `until`.
fn repeated(table: &mut Table<'_>, first: Ticks) -> Vec<Ticks> {
    let (every, until) = (table.optional("every"), table.optional("until"));
    if every.is_some() != until.is_some() {
        table.missing(if every.is_some() { "`until`" } else { "`every`" });
    }
    let Some((every, until)) = every.zip(until) else {
        return vec![first];
    };
    let step = every.duration(EVERY).map(millis);
    let Some((step, last)) = step.zip(until.duration(INSTANT).map(millis)) else {
        return vec![first];
    };
    if last < first.0 {
        until.wrong("`until` is before `at`");
        return vec![first];
    }
    let more = (last - first.0) / step;
    if more >= MOST_MESSAGES {
        every.wrong(format!("that would be more than {MOST_MESSAGES} messages"));
        return vec![first];
    }
    (0..=more).map(|nth| Ticks(first.0 + nth * step)).collect()
}

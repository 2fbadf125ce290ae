//! One notice's body → what is to be said of it, cleaned and in words. A member that is missing or of another type
//! says nothing; no body makes it fail but one that is no JSON.

use serde_json::Value;

use super::NAME;
use super::clean::clean;
use super::say;
use super::told::{Manner, Matter, Told};
use crate::domain::officer::Language;
use crate::domain::time::Timestamp;

const ADDRESS: usize = 120;
const NOTE: usize = 200;
const VALUE: usize = 40;
const VALUES: usize = 6;

/// How much later than it happened a message may come without saying so, in milliseconds.
const SOON_MS: i64 = 120_000;

/// A body, to be asked for members by their paths.
#[derive(Clone, Copy)]
struct Body<'a>(&'a Value);

impl<'a> Body<'a> {
    fn raw(self, path: &str) -> &'a str {
        self.0.pointer(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn text(self, path: &str, most: usize) -> String {
        clean(self.raw(path), most)
    }

    /// The first of these that says anything.
    fn first(self, paths: &[&str], most: usize) -> String {
        let mut texts = paths.iter().map(|path| self.text(path, most));
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn time(self, path: &str) -> Option<i64> {
        let at: jiff::Timestamp = self.raw(path).parse().ok()?;
        Some(at.as_millisecond())
    }

    fn number(self, path: &str) -> Option<u64> {
        self.0.pointer(path).and_then(Value::as_u64)
    }

    fn is(self, path: &str) -> bool {
        self.0.pointer(path).and_then(Value::as_bool).unwrap_or(false)
    }
}

impl Told {
    /// What `body` says. `None`: it is no JSON object.
    pub(super) fn new(body: &str, manner: Manner<'_>) -> Option<Told> {
        let value: Value = serde_json::from_str(body).ok()?;
        value.is_object().then(|| {
            Teller {
                body: Body(&value),
                manner,
            }
            .tell()
        })
    }
}

struct Teller<'a> {
    body: Body<'a>,
    manner: Manner<'a>,
}

impl Teller<'_> {
    fn tell(&self) -> Told {
        let (body, language) = (self.body, self.manner.language);
        let event = body.raw("/type");
        let ordered = event.starts_with("command.");
        let alarm = event.starts_with("alarm.");
        let place = if ordered { "/command" } else { "/alarm" };
        let at = |member: &str| format!("{place}/{member}");
        let state = body.raw("/alarm/state");
        let over = is_over(event, state);
        let urgency = self.urgency(event, over);
        let class = body.raw("/alarm/class");
        let happened = self.happened(event);
        let name = language.as_str();
        Told {
            r#type: clean(event, NAME),
            urgency,
            sign: sign(urgency),
            tag: self.tag(event),
            class: clean(class, NAME),
            class_name: say::class(language, class).to_owned(),
            state: match (ordered, alarm) {
                (true, _) => self.order_state(event),
                (false, true) => clean(say::state(language, state), NAME),
                (false, false) => String::new(),
            },
            over,
            open: alarm && state.ends_with("_unacknowledged"),
            title: self.title(ordered, name),
            venue: body.first(&[&at("venue/name"), &at("venue/id"), "/gateway"], NAME),
            address: body.text(&at("venue/address"), ADDRESS),
            district: body.text(&at("venue/district"), NAME),
            device: body.first(&[&at("device/name"), &at("device/id")], NAME),
            values: if ordered { String::new() } else { self.values() },
            when: say::when(language, Timestamp(happened), self.manner.now, self.manner.zone),
            at: Timestamp(happened).to_rfc3339(),
            remarks: self.remarks(event, happened),
            level: body.number("/level").unwrap_or(1).max(1),
            by: body.text("/by", NAME),
            note: body.text("/note", NOTE),
            matter: match (ordered, alarm) {
                (true, _) => Matter::Command(body.raw("/command/id").to_owned()),
                (false, true) => Matter::Alarm(body.raw("/alarm/id").to_owned()),
                (false, false) => Matter::Other,
            },
            happened,
            order: (body.time("/at").unwrap_or_default(), body.raw("/id").to_owned()),
        }
    }

    fn urgency(&self, event: &str, over: bool) -> &'static str {
        if over {
            return "calm";
        }
        match (event, self.body.raw("/alarm/priority")) {
            (_, "critical") => "critical",
            // An order of a person, or of a proof test: no alarm stands behind it.
            (_, "high") | ("command.failed", _) => "high",
            (_, "medium") => "medium",
            (_, "low") => "low",
            _ => "calm",
        }
    }

    /// When it happened: an alarm's raising by what its readings say, anything else by the event.
    fn happened(&self, event: &str) -> i64 {
        let raised = self.body.time("/alarm/raised_at");
        let told = self.body.time("/at");
        let happened = match event {
            "alarm.raised" | "alarm.escalated" => raised.or(told),
            _ => told.or(raised),
        };
        happened.unwrap_or(self.manner.now.0)
    }

    fn command_name(&self, name: &str) -> String {
        let (kind, command) = (
            self.body.raw("/command/device/kind"),
            self.body.raw("/command/command"),
        );
        let known = self.manner.vocabulary.command(kind, command);
        let known = known.map(|text| {
            if name == "zh" {
                text.zh.as_str()
            } else {
                text.en.as_str()
            }
        });
        clean(known.filter(|title| !title.is_empty()).unwrap_or(command), NAME)
    }

    fn title(&self, ordered: bool, name: &str) -> String {
        if ordered {
            return self
                .body
                .first(&["/command/device/name", "/command/device/id"], NAME);
        }
        let title = format!("/alarm/title/{name}");
        self.body.first(
            &[&title, "/alarm/title/zh", "/alarm/title/en", "/alarm/rule"],
            NAME,
        )
    }

    fn tag(&self, event: &str) -> String {
        let (body, language) = (self.body, self.manner.language);
        if let Some(step) = event.strip_prefix("command.") {
            let command = self.command_name(language.as_str());
            return match (language, step) {
                (Language::Zh, "failed") => format!("{command}失败"),
                (Language::Zh, "verified") => format!("{command}成功"),
                (Language::Zh, other) => format!("{command} {}", clean(other, NAME)),
                (Language::En, "failed") => format!("{} FAILED", command.to_uppercase()),
                (Language::En, "verified") => format!("{} DONE", command.to_uppercase()),
                (Language::En, other) => format!("{} {}", command.to_uppercase(), clean(other, NAME)),
            };
        }
        if let Some(step) = say::step(language, event) {
            return step.to_owned();
        }
        let (priority, class) = (body.raw("/alarm/priority"), body.raw("/alarm/class"));
        let urgency = say::urgency(language, priority, class);
        match (event, body.number("/level").unwrap_or(1), language) {
            ("alarm.chattering", _, Language::Zh) => format!("{urgency}，反复"),
            ("alarm.chattering", _, Language::En) => format!("{urgency}, AGAIN AND AGAIN"),
            ("alarm.escalated", level, Language::Zh) => format!("{urgency}，升级到第 {level} 级"),
            ("alarm.escalated", level, Language::En) => format!("{urgency}, ESCALATED TO LEVEL {level}"),
            _ => urgency,
        }
    }

    fn order_state(&self, event: &str) -> String {
        let language = self.manner.language;
        match event {
            "command.verified" => language.of("已证实", "proven").to_owned(),
            "command.failed" => language.of("未执行", "not obeyed").to_owned(),
            _ => self.body.text("/command/state", NAME),
        }
    }

    fn values(&self) -> String {
        let Some(values) = self.body.0.pointer("/alarm/values").and_then(Value::as_object) else {
            return String::new();
        };
        let language = self.manner.language;
        let kind = self.body.raw("/alarm/device/kind");
        let mut told: Vec<String> = values
            .iter()
            .take(VALUES)
            .map(|(point, value)| {
                let known = self.manner.vocabulary.point(kind, point);
                let title = known.map(|point| language.of(&point.title.zh, &point.title.en));
                let title = clean(title.filter(|title| !title.is_empty()).unwrap_or(point), NAME);
                let unit = known.map_or("", |point| point.unit.as_str());
                let value = self.value(value);
                format!("{title} {value} {}", clean(unit, NAME))
                    .trim_end()
                    .to_owned()
            })
            .collect();
        if values.len() > VALUES {
            told.push("…".to_owned());
        }
        told.join(say::comma(language))
    }

    fn value(&self, value: &Value) -> String {
        let language = self.manner.language;
        match value {
            Value::Bool(true) => language.of("是", "yes").to_owned(),
            Value::Bool(false) => language.of("否", "no").to_owned(),
            Value::Null => language.of("未知", "unknown").to_owned(),
            Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), rounded),
            Value::String(word) => clean(say::word(language, word), VALUE),
            Value::Array(_) | Value::Object(_) => clean(&value.to_string(), VALUE),
        }
    }

    fn remarks(&self, event: &str, happened: i64) -> Vec<String> {
        let language = self.manner.language;
        let mut remarks = if event.starts_with("alarm.") {
            self.alarm_remarks(event)
        } else if event == "command.failed" {
            self.failure_remarks()
        } else {
            Vec::new()
        };
        let ago = self.manner.now.0.saturating_sub(happened);
        if ago > SOON_MS && event != "alarm.escalated" {
            let ago = say::duration(language, ago.unsigned_abs());
            remarks.push(match language {
                Language::Zh => format!("{ago}前发生"),
                Language::En => format!("{ago} ago"),
            });
        }
        remarks.retain(|remark| !remark.is_empty());
        remarks
    }

    fn alarm_remarks(&self, event: &str) -> Vec<String> {
        let (body, language) = (self.body, self.manner.language);
        let mut remarks = match event {
            "alarm.raised" | "alarm.escalated" | "alarm.chattering" => self.evidence(),
            _ => Vec::new(),
        };
        if event == "alarm.escalated" && body.raw("/alarm/state").ends_with("_unacknowledged") {
            remarks.insert(
                0,
                language.of("还没有人确认", "nobody has acknowledged").to_owned(),
            );
        }
        let ended = matches!(event, "alarm.recovered" | "alarm.cleared");
        if let Some(lasted) = self.lasted().filter(|_| ended) {
            remarks.push(match language {
                Language::Zh => format!("历时 {lasted}"),
                Language::En => format!("it lasted {lasted}"),
            });
        }
        let why = match event {
            "alarm.cleared" => body.raw("/alarm/cleared_reason"),
            "alarm.verified" => body.raw("/alarm/handling/verdict"),
            _ => "",
        };
        remarks.push(say::reason(language, why).to_owned());
        remarks
    }

    /// How good what it was raised by is.
    fn evidence(&self) -> Vec<String> {
        let (body, language) = (self.body, self.manner.language);
        let mut remarks = Vec::new();
        if body.is("/alarm/first_out") {
            remarks.push(language.of("本场所首个报警", "first of its venue").to_owned());
        }
        if let Some(late) = body.number("/alarm/late_by_ms") {
            let late = say::duration(language, late);
            remarks.push(match language {
                Language::Zh => format!("迟报，数据晚到 {late}"),
                Language::En => format!("late: its reading came {late} after it was taken"),
            });
        }
        if let Some(count) = body.number("/alarm/raised_count") {
            remarks.push(match language {
                Language::Zh => format!("已报 {count} 次"),
                Language::En => format!("raised {count} times"),
            });
        }
        remarks.push(say::quality(language, body.raw("/alarm/quality")).to_owned());
        remarks
    }

    fn lasted(&self) -> Option<String> {
        let (from, to) = ("/alarm/raised_at", "/alarm/recovered_at");
        let lasted = self.body.time(to)?.checked_sub(self.body.time(from)?)?;
        Some(say::duration(self.manner.language, u64::try_from(lasted).ok()?))
    }

    fn failure_remarks(&self) -> Vec<String> {
        let (body, language) = (self.body, self.manner.language);
        let mut remarks = vec![say::reason(language, body.raw("/command/reason")).to_owned()];
        if let Some(attempts) = body.number("/command/attempts") {
            remarks.push(match language {
                Language::Zh => format!("已试 {attempts} 次"),
                Language::En if attempts == 1 => "tried once".to_owned(),
                Language::En => format!("tried {attempts} times"),
            });
        }
        let title = format!("/alarm/title/{}", language.as_str());
        let cause = body.first(&[&title, "/alarm/rule"], NAME);
        if !cause.is_empty() {
            remarks.push(match language {
                Language::Zh => format!("起因是{cause}"),
                Language::En => format!("because of: {cause}"),
            });
        }
        remarks
    }
}

fn is_over(event: &str, state: &str) -> bool {
    match event {
        "command.failed" => false,
        event if event.starts_with("alarm.") => state.starts_with("recovered") || state == "cleared",
        _ => true,
    }
}

const fn sign(urgency: &str) -> &'static str {
    match urgency.as_bytes() {
        b"critical" => "🔴",
        b"high" => "🟠",
        b"medium" => "🟡",
        b"low" => "🔵",
        _ => "🟢",
    }
}

/// At most two decimals, three significant ones below a tenth.
fn rounded(number: f64) -> String {
    let decimals = if number != 0.0 && number.abs() < 0.1 { 4 } else { 2 };
    let text = format!("{number:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

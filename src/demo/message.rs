//! A webhook body as a duty officer reads it: what, where, how much, in Chinese and English. Pure.

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::domain::definitions::Definitions;
use crate::domain::kind::{ONLINE, ValueType};
use crate::domain::text::Text;
use crate::simulate::town::LANGUAGES;

/// Columns of the coloured field in front of each line.
const BADGE: usize = 16;
/// Columns of the time of day and the space behind it.
const MARGIN: usize = 10;

/// The parts of CONTRACT's webhook body that a message shows.
#[derive(Debug, Clone, Deserialize)]
pub struct Notice {
    /// `alarm.raised` and so on.
    #[serde(rename = "type")]
    pub event: String,
    /// When, RFC 3339.
    #[serde(deserialize_with = "instant")]
    pub at: jiff::Timestamp,
    /// The alarm after the event.
    pub alarm: Alarm,
    /// Who acted, if a person did.
    pub by: Option<String>,
    /// Where to acknowledge.
    pub ack_url: String,
    /// Which level of its chain is told.
    #[serde(default)]
    pub level: u8,
    /// How often that level was told before.
    #[serde(default)]
    pub repeat: u32,
    /// Whom it is for; empty: whoever reads it.
    #[serde(default)]
    pub to: Vec<Person>,
}

/// An officer in a [`Notice`].
#[derive(Debug, Clone, Deserialize)]
pub struct Person {
    /// Their name.
    pub name: String,
}

impl Notice {
    /// An alarm that is over and needs nobody: said already by its recovery a moment before.
    pub fn is_echo(&self) -> bool {
        self.event == "alarm.cleared" && self.by.is_none()
    }

    /// For whom it is, in words; empty: for nobody in particular.
    pub fn addressed(&self) -> String {
        let names: Vec<&str> = self.to.iter().map(|person| person.name.as_str()).collect();
        match names.as_slice() {
            [] => String::new(),
            names => format!(" to {}", names.join(", ")),
        }
    }
}

/// The alarm in a [`Notice`].
#[derive(Debug, Clone, Deserialize)]
pub struct Alarm {
    /// Its id.
    pub id: String,
    /// Its rule.
    pub rule: String,
    /// `alarm`, `warning`, `fault` or `hazard`.
    pub class: String,
    /// `critical`, `high`, `medium` or `low`.
    pub priority: String,
    /// What it is called.
    pub title: Text,
    /// Where.
    pub venue: Place,
    /// Which device; `None`: the whole venue.
    pub device: Option<Source>,
    /// The device's points.
    pub values: Map<String, Value>,
    /// Whether it is the first of its venue's standing alarms.
    pub first_out: bool,
    /// Whether it waits for a reset after its condition has ended.
    pub latched: bool,
}

/// The venue in an [`Alarm`].
#[derive(Debug, Clone, Deserialize)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
}

/// The device in an [`Alarm`].
#[derive(Debug, Clone, Deserialize)]
pub struct Source {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Paints, or leaves text plain (`NO_COLOR`, no terminal).
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    /// `text` in the colours of this SGR code.
    pub fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// `text` in bold.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// `text` in the background.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }
}

/// Turns notices into lines.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Kinds and rules: which values a rule speaks of, and their units.
    pub definitions: Definitions,
    /// The officer's own time zone.
    pub zone: TimeZone,
    /// Colours or none.
    pub paint: Paint,
}

impl Reader {
    /// `notice` as lines: the Chinese one, the English one, and for a new alarm where exactly, with `delivered`
    /// behind it.
    pub fn lines(&self, notice: &Notice, delivered: &str) -> Vec<String> {
        let alarm = &notice.alarm;
        let badge = Badge::of(notice);
        let (venue_zh, venue_en) = languages(&alarm.venue.name);
        let (outcome_zh, outcome_en) = outcome(notice, badge.new);
        let values = if notice.by.is_some() {
            String::new()
        } else {
            self.values(alarm)
        };
        let time = notice
            .at
            .to_zoned_datetime(self.zone.clone())
            .strftime("%H:%M:%S")
            .to_string();
        let chinese = Said {
            badge: &badge.zh,
            title: &alarm.title.zh,
            venue: venue_zh,
            outcome: &outcome_zh,
        };
        let english = Said {
            badge: &badge.en,
            title: &alarm.title.en,
            venue: venue_en,
            outcome: &outcome_en,
        };
        let mut lines = vec![
            self.line(&time, &badge, &values, &chinese),
            self.line("", &badge, &values, &english),
        ];
        if badge.new {
            let (address_zh, address_en) = languages(&alarm.venue.address);
            let names = alarm.device.as_ref().map(|device| languages(&device.name));
            let (device_zh, device_en) =
                names.map_or_else(Default::default, |(zh, en)| (format!(" {zh}"), format!(", {en}")));
            lines.push(format!(
                "{}{address_zh}{device_zh}{LANGUAGES}{address_en}{device_en}{}",
                " ".repeat(MARGIN + 1),
                self.paint.dim(delivered)
            ));
        }
        lines
    }

    fn line(&self, time: &str, badge: &Badge, values: &str, said: &Said<'_>) -> String {
        let values = match values {
            "" => String::new(),
            values => format!(" {}", self.paint.with(badge.value_colour, values)),
        };
        let venue = if badge.new {
            self.paint.bold(said.venue)
        } else {
            said.venue.to_owned()
        };
        format!(
            "{}{} {}{values}  {venue}{}",
            padded(time, MARGIN),
            self.paint
                .with(badge.colour, &padded(&format!(" {}", said.badge), BADGE)),
            self.paint.bold(said.title),
            said.outcome,
        )
    }

    /// A line under a message: what can be done about it.
    pub fn remark(&self, text: &str) -> String {
        format!("{}{}", " ".repeat(MARGIN + 1), self.paint.with("36", text))
    }

    /// The numbers that the alarm's rule speaks of, with their units; words and flags if there is no number.
    fn values(&self, alarm: &Alarm) -> String {
        let definitions = &self.definitions;
        let device = alarm.device.as_ref();
        let Some(kind) = device
            .and_then(|device| definitions.kind_index(&device.kind))
            .and_then(|index| definitions.kind(index))
        else {
            return String::new();
        };
        let rule = kind.rules.iter().find(|rule| rule.def.id == alarm.rule);
        let mut numbers = Vec::new();
        let mut words = Vec::new();
        // What is so or not so is in the title.
        let mut titled = false;
        for (index, point) in kind.kind.points() {
            let concerns = rule.is_some_and(|rule| rule.depends.contains(index));
            let Some(value) = alarm
                .values
                .get(&point.id)
                .filter(|_| concerns && index != ONLINE)
            else {
                continue;
            };
            match (&point.value, value.as_f64()) {
                (ValueType::Number { unit, .. }, Some(value)) => {
                    numbers.push(format!("{value:.1} {unit}").trim_end().to_owned());
                }
                (ValueType::Number { .. }, None) => {}
                (ValueType::Bool, _) => titled = true,
                (ValueType::Enum { .. }, _) => {
                    words.push(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                }
            }
        }
        match (numbers.is_empty(), titled) {
            (false, _) => numbers.join(" "),
            (true, false) => words.join(" "),
            (true, true) => String::new(),
        }
    }
}

/// What one line says, in one language.
struct Said<'a> {
    badge: &'a str,
    title: &'a str,
    venue: &'a str,
    outcome: &'a str,
}

/// Who acted, what is still to be done, or that it is the first alarm there: in Chinese and English.
fn outcome(notice: &Notice, new: bool) -> (String, String) {
    match &notice.by {
        Some(by) => {
            let (zh, en) = languages(by);
            (format!("  由{zh}"), format!("  by {en}"))
        }
        None if notice.event == "alarm.escalated" && notice.repeat > 0 => (
            "  无人确认，再次通知".to_owned(),
            "  nobody has acknowledged it".to_owned(),
        ),
        None if notice.event == "alarm.escalated" => (
            format!("  无人确认，升级到第 {} 级", notice.level),
            format!("  nobody has acknowledged it: level {}", notice.level),
        ),
        None if notice.event == "alarm.recovered" && notice.alarm.latched => {
            ("  待现场复位".to_owned(), "  awaits its reset".to_owned())
        }
        None if new && notice.alarm.first_out && notice.alarm.class == "alarm" => {
            ("  首报".to_owned(), "  first alarm here".to_owned())
        }
        None => (String::new(), String::new()),
    }
}

/// The coloured field: what sort of news it is.
struct Badge {
    zh: String,
    en: String,
    colour: &'static str,
    value_colour: &'static str,
    /// An alarm that was raised: shown at full length.
    new: bool,
}

impl Badge {
    fn of(notice: &Notice) -> Badge {
        let plain = |zh: &str, en: &str, colour| Badge {
            zh: zh.to_owned(),
            en: en.to_owned(),
            colour,
            value_colour: "0",
            new: false,
        };
        match notice.event.as_str() {
            "alarm.escalated" if notice.repeat > 0 => Badge {
                new: true,
                ..plain("再次通知", "TOLD AGAIN", "1;97;41")
            },
            "alarm.escalated" => Badge {
                new: true,
                ..plain("升级", "ESCALATED", "1;97;41")
            },
            "alarm.acknowledged" => plain("已确认", "ACKNOWLEDGED", "30;46"),
            "alarm.recovered" => plain("已恢复", "RECOVERED", "30;42"),
            "alarm.cleared" => plain("已消警", "CLEARED", "32"),
            "command.verified" => plain("联动成功", "OBEYED", "30;42"),
            "command.failed" => plain("联动失败", "NOT OBEYED", "1;97;41"),
            _ => {
                let (class_zh, class_en) = match notice.alarm.class.as_str() {
                    "warning" => ("预警", "WARNING"),
                    "fault" => ("故障", "FAULT"),
                    "hazard" => ("隐患", "HAZARD"),
                    _ => ("报警", "ALARM"),
                };
                let (priority, colour, value_colour) = match notice.alarm.priority.as_str() {
                    "critical" => ("紧急", "1;97;41", "1;31"),
                    "high" => ("高", "30;43", "1;33"),
                    "medium" => ("中", "33", "33"),
                    _ => ("低", "36", "36"),
                };
                Badge {
                    zh: format!("{class_zh} {priority}"),
                    en: format!("{class_en} {}", notice.alarm.priority),
                    colour,
                    value_colour,
                    new: true,
                }
            }
        }
    }
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<jiff::Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// The Chinese and the English part of a name that carries both; the whole name for either if it does not.
pub fn languages(name: &str) -> (&str, &str) {
    name.split_once(LANGUAGES).unwrap_or((name, name))
}

/// `text` filled up to `columns` of a terminal, where a Chinese character takes two.
pub fn padded(text: &str, columns: usize) -> String {
    let width: usize = text.chars().map(|c| if c >= '\u{1100}' { 2 } else { 1 }).sum();
    format!("{text}{}", " ".repeat(columns.saturating_sub(width)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Paint, Reader, padded};
    use crate::config;

    fn reader() -> Reader {
        let text = "[gateway]\nid = \"t\"\ndata_dir = \".\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:1883\"\n\
                    [http]\nlisten = \"127.0.0.1:0\"\nauth = \"none\"\n";
        let settings = config::load_str("test", text, std::path::Path::new(".")).unwrap();
        Reader {
            definitions: settings.definitions,
            zone: jiff::tz::TimeZone::UTC,
            paint: Paint(false),
        }
    }

    fn body(event: &str, by: &Value) -> Value {
        json!({
            "id": "01J", "type": event, "at": "2026-01-01T08:30:00.000Z", "gateway": "t", "level": 1,
            "alarm": {
                "id": "01J", "rule": "gas-high", "class": "alarm", "priority": "critical",
                "state": "active_unacknowledged",
                "title": { "zh": "燃气浓度高报", "en": "Gas concentration high" },
                "venue": { "id": "v001", "name": "老街面馆 / Old Street Noodles", "kind": "restaurant",
                           "address": "青石路3号 / 3 Qingshi Road" },
                "device": { "id": "g1", "kind": "gas_detector", "name": "厨房燃气探测器 / kitchen gas detector" },
                "values": { "lel": 53.2, "battery": 80.0, "state": "normal" },
                "raised_at": "2026-01-01T08:30:00.000Z", "first_out": true, "late": false, "latched": true,
            },
            "by": by, "note": null, "ack_url": "http://127.0.0.1/ack",
        })
    }

    fn lines(event: &str, by: &Value) -> Vec<String> {
        let notice = serde_json::from_value(body(event, by)).unwrap();
        reader().lines(&notice, "  delivered in 3 ms")
    }

    #[test]
    fn an_order_is_not_its_alarm_once_more() {
        for (event, zh, en) in [
            ("command.verified", "联动成功", "OBEYED"),
            ("command.failed", "联动失败", "NOT OBEYED"),
        ] {
            let lines = lines(event, &Value::Null);
            assert!(lines[0].contains(zh) && lines[1].contains(en), "{lines:?}");
            assert!(!lines.concat().contains("报警 紧急"), "{lines:?}");
        }
    }

    #[test]
    fn a_new_alarm_says_what_how_much_and_where_in_both_languages() {
        assert_eq!(
            lines("alarm.raised", &Value::Null),
            [
                "08:30:00   报警 紧急       燃气浓度高报 53.2 %LEL  老街面馆  首报",
                "           ALARM critical  Gas concentration high 53.2 %LEL  Old Street Noodles  first alarm here",
                "           青石路3号 厨房燃气探测器 / 3 Qingshi Road, kitchen gas detector  delivered in 3 ms",
            ]
        );
    }

    #[test]
    fn an_alarm_of_a_whole_venue_names_no_device() {
        let mut body = body("alarm.raised", &Value::Null);
        body["alarm"]["device"] = Value::Null;
        body["alarm"]["rule"] = json!("venue-valve-not-closed");
        let lines = reader().lines(&serde_json::from_value(body).unwrap(), "  delivered in 3 ms");
        assert_eq!(
            lines[2],
            "           青石路3号 / 3 Qingshi Road  delivered in 3 ms"
        );
    }

    #[test]
    fn an_acknowledgement_says_by_whom() {
        assert_eq!(
            lines("alarm.acknowledged", &json!("值班员 / the officer")),
            [
                "08:30:00   已确认          燃气浓度高报  老街面馆  由值班员",
                "           ACKNOWLEDGED    Gas concentration high  Old Street Noodles  by the officer",
            ]
        );
    }

    #[test]
    fn a_chinese_character_takes_two_columns() {
        assert_eq!(padded("报警", 6), "报警  ");
        assert_eq!(padded("too long", 3), "too long");
    }
}

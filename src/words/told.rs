//! What is to be said of one matter, and the lines that say it.

use jiff::tz::TimeZone;
use serde::Serialize;

use super::say;
use super::vocabulary::Vocabulary;
use crate::domain::officer::Language;
use crate::domain::time::Timestamp;

/// What is to be said of one matter: every text cleaned, none of them escaped. Its members are what templates see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Told {
    /// The event's type, for example `alarm.raised`.
    pub(super) r#type: String,
    /// `critical`, `high`, `medium`, `low`, or `calm` when nobody has to hurry.
    pub(super) urgency: &'static str,
    /// A coloured sign of the urgency.
    pub(super) sign: &'static str,
    /// What stands in front: `紧急报警`, `已恢复`, `关阀失败`.
    pub(super) tag: String,
    /// `alarm`, `warning`, `fault`, `hazard`; empty: it has none.
    pub(super) class: String,
    /// The class in words.
    pub(super) class_name: String,
    /// Where the matter stands now, in words.
    pub(super) state: String,
    /// The danger is over, or it never was one.
    pub(super) over: bool,
    /// It is about an alarm that nobody has acknowledged.
    pub(super) open: bool,
    /// What happened: the rule's title, or the command's.
    pub(super) title: String,
    /// The venue's name.
    pub(super) venue: String,
    /// The venue's address; may be empty.
    pub(super) address: String,
    /// The venue's district; may be empty.
    pub(super) district: String,
    /// The device's name; empty for an alarm of a whole venue.
    pub(super) device: String,
    /// Values with names and units, in one text; may be empty.
    pub(super) values: String,
    /// When it happened, local.
    pub(super) when: String,
    /// When it happened, RFC 3339.
    pub(super) at: String,
    /// What else matters: first of its venue, late, how long it lasted, why it failed.
    pub(super) remarks: Vec<String>,
    /// The escalation's level, from 1.
    pub(super) level: u64,
    /// Who did it; may be empty.
    pub(super) by: String,
    /// What they wrote; may be empty.
    pub(super) note: String,
    #[serde(skip)]
    pub(super) matter: Matter,
    #[serde(skip)]
    pub(super) happened: i64,
    /// When the event was told, and its id: of one alarm's events the greatest is the last.
    #[serde(skip)]
    pub(super) order: (i64, String),
}

/// What notices of the same matter have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Matter {
    Alarm(String),
    Command(String),
    Other,
}

/// How bodies are put into words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner<'a> {
    pub(super) language: Language,
    pub(super) zone: &'a TimeZone,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) now: Timestamp,
}

impl Told {
    /// The line that says the most: what stands in front, the venue, what happened there.
    pub(super) fn headline(&self, language: Language) -> String {
        let parts = [self.venue.as_str(), self.title.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let (tag, subject) = (&self.tag, parts.join(" "));
        match language {
            Language::Zh => format!("【{tag}】{subject}"),
            Language::En => format!("{tag}: {subject}"),
        }
    }

    /// What stands below the headline.
    pub(super) fn lines(&self, language: Language) -> Vec<Line> {
        let line = |label: &'static str, text: String| Line { label, text };
        let remarks = self.remarks.join(language.of("；", "; "));
        let device = if self.device == self.title {
            ""
        } else {
            &self.device
        };
        let mut lines = vec![
            line(language.of("地址：", "Address: "), self.address.clone()),
            line(language.of("设备：", "Device: "), device.to_owned()),
            line(language.of("读数：", "Values: "), self.values.clone()),
            line(language.of("时间：", "Time: "), self.when.clone()),
            line(language.of("说明：", "Also: "), remarks),
            line(language.of("处理人：", "By: "), self.by.clone()),
            line(language.of("备注：", "Note: "), self.note.clone()),
        ];
        lines.retain(|line| !line.text.is_empty());
        lines
    }

    /// The matter in one line of a digest.
    pub(super) fn line(&self, language: Language) -> String {
        let what = match &self.matter {
            Matter::Command(_) => format!("{}{}", self.tag, language.of("：", ": ")) + &self.title,
            Matter::Alarm(_) | Matter::Other if self.device.is_empty() => self.title.clone(),
            Matter::Alarm(_) | Matter::Other => match language {
                Language::Zh => format!("{}（{}）", self.title, self.device),
                Language::En => format!("{} ({})", self.title, self.device),
            },
        };
        let (when, venue, comma) = (&self.when, &self.venue, say::comma(language));
        let state = match &self.matter {
            Matter::Command(_) | Matter::Other => "",
            Matter::Alarm(_) => self.state.as_str(),
        };
        let end = if state.is_empty() { "" } else { comma };
        format!("{when} {venue} {what}{end}{state}")
    }
}

/// A fact with its label: `时间：` and `18:02:11`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// The label with its punctuation; may be empty.
    pub(super) label: &'static str,
    /// The fact.
    pub(super) text: String,
}

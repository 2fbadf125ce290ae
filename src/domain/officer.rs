//! The people who are told: how they are reached and in which language. Knows no target beyond its name.

use serde::{Deserialize, Serialize};

/// The language in which somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Chinese.
    #[default]
    Zh,
    /// English.
    En,
}

impl Language {
    /// Every language.
    pub const ALL: [Language; 2] = [Language::Zh, Language::En];

    /// The word used in configuration and templates.
    pub const fn as_str(self) -> &'static str {
        self.of("zh", "en")
    }

    /// One of two texts.
    pub const fn of<'t>(self, zh: &'t str, en: &'t str) -> &'t str {
        match self {
            Language::Zh => zh,
            Language::En => en,
        }
    }
}

/// How somebody is named to a channel: what each sort of channel mentions or writes to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contact {
    /// The number of a mobile phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobile: Option<String>,
    /// An e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The user id in WeCom 企业微信.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wecom: Option<String>,
    /// The user id in DingTalk 钉钉.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dingtalk: Option<String>,
    /// The user id in Feishu 飞书.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feishu: Option<String>,
}

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Officer {
    /// The name in rosters and chains.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// In which language.
    pub language: Language,
    /// The names of targets, in order: the next is used when one fails lastingly. At least one.
    pub channels: Vec<String>,
    /// How a channel names this person.
    pub contact: Contact,
    /// A schedule: what is not critical waits for its end.
    pub quiet_hours: Option<String>,
}

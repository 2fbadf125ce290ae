//! The keys that only group robots have. A site's own template is tried here, on a sample of everything that may be told.

use std::sync::Arc;

use super::document::Table;
use super::settings::{RobotSettings, Service};
use super::value::Value;
use crate::domain::officer::Language;
use crate::domain::schedule::{DEFAULT_TIME_ZONE, time_zone};
use crate::words::{InForce, Style, Words};

/// Reads what a robot of `service` has beside what every target has.
pub(super) fn read(table: &mut Table<'_>, service: Service) -> RobotSettings {
    let mention_all = table.optional("mention_all").and_then(|value| value.boolean());
    let language = language(table);
    let template = table.optional("template");
    let style = match service {
        Service::Wecom => Style::Wecom,
        Service::Dingtalk => Style::Dingtalk,
        Service::Feishu => Style::Feishu,
    };
    RobotSettings {
        service,
        mention_all: mention_all.unwrap_or(false),
        language,
        template: template.and_then(|value| tried(&value, style)),
    }
}

/// The language of a target's texts.
pub(super) fn language(table: &mut Table<'_>) -> Language {
    let languages = Language::ALL.map(|language| (language.as_str(), language));
    let language = table.optional("language");
    language
        .and_then(|value| value.word("language", &languages))
        .unwrap_or_default()
}

/// The template in the file that `value` names, once it does for every sample in every language: officers have their own.
pub(super) fn tried(value: &Value<'_>, style: Style) -> Option<Arc<str>> {
    let path = value.readable_file()?;
    let source = match std::fs::read_to_string(&path) {
        Ok(source) => source,
        Err(error) => {
            value.wrong(format!("cannot read {}: {error}", path.display()));
            return None;
        }
    };
    for language in Language::ALL {
        let words = Words::new(language, style, time_zone(DEFAULT_TIME_ZONE)?, InForce::default());
        if let Err(error) = words.with_template(&source) {
            let line = error.line.unwrap_or(1);
            value.wrong(format!("{}:{line}: {error}", path.display()));
            return None;
        }
    }
    Some(source.into())
}

//! The keys that only Alertmanager has, and receivers of its messages.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::settings::{AlertmanagerSettings, TargetKind};
use crate::domain::officer::Language;

const RESEND: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
const DEFAULT_RESEND: Duration = Duration::from_mins(1);
const HOLD: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_hours(24 * 7);
const DEFAULT_HOLD: Duration = Duration::from_hours(1);

/// Two requests may fail before an alert that is told again every so often ends by itself.
const FEWEST: u32 = 3;

#[derive(Clone, Copy)]
enum Body {
    Own,
    Alertmanager,
}

const BODIES: [(&str, Body); 2] = [("ninewatch", Body::Own), ("alertmanager", Body::Alertmanager)];

/// Reads what an Alertmanager has beside what every target has.
pub(super) fn read(table: &mut Table<'_>) -> TargetKind {
    let language = language(table);
    let resend = table.optional("resend").and_then(|time| time.duration(RESEND));
    let resend = resend.unwrap_or(DEFAULT_RESEND);
    let least = resend * FEWEST;
    let hold = match table.optional("hold") {
        None => DEFAULT_HOLD.max(least),
        Some(value) => {
            let hold = value.duration(HOLD).unwrap_or(HOLD.end().to_owned());
            if hold < least {
                let problem = format!(
                    "`hold` must be at least {FEWEST} times `resend`, or a lost request ends an alert"
                );
                value.wrong_with(problem, format!("write {} s or more", least.as_secs()));
            }
            hold
        }
    };
    TargetKind::Alertmanager(AlertmanagerSettings {
        language,
        resend,
        hold,
    })
}

/// Reads which body a webhook gets.
pub(super) fn read_body(table: &mut Table<'_>) -> TargetKind {
    let body = table
        .optional("body")
        .and_then(|value| value.word("body", &BODIES));
    match body {
        Some(Body::Alertmanager) => TargetKind::AlertmanagerWebhook(language(table)),
        Some(Body::Own) | None => TargetKind::Webhook,
    }
}

fn language(table: &mut Table<'_>) -> Language {
    let languages = Language::ALL.map(|language| (language.as_str(), language));
    let language = table.optional("language");
    language
        .and_then(|value| value.word("language", &languages))
        .unwrap_or_default()
}

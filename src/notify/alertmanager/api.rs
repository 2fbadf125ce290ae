//! Alertmanager's API v2. What it is told is how each alarm stands when it is sent, whichever notice led to it, and one
//! request is under way at a time: no older word can come after a newer one. Decides nothing about retries.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Alert, Alerts};
use crate::config::{AlertmanagerSettings, TargetSettings};
use crate::domain::alert::Labels;
use crate::domain::id::Id;
use crate::domain::time::{Millis, Timestamp};
use crate::link::Links;
use crate::notify::NotifyError;
use crate::notify::http::{client, deadline, failure};
use crate::notify::parcel::{Manners, Parcel};
use crate::notify::target::{SendError, Taken, Target};
use crate::notify::webhook::finish;
use crate::store::{PendingNotice, StoreError, StoreReader};

/// The most alerts in one request: about 200 KB.
pub(super) const AT_ONCE: usize = 200;

/// How long what has ended is told again, in milliseconds, as Prometheus does.
const RESOLVED_FOR_MS: i64 = 900_000;

/// An Alertmanager.
pub(in crate::notify) struct Alertmanager {
    name: String,
    client: Client,
    url: Url,
    deadline: Duration,
    fall_over: Millis,
    resend: Duration,
    alerts: Alerts,
    /// Where it is read how alarms stand; without it a notice's own body says so.
    store: Option<StoreReader>,
    /// One permit: whose turn it is to read how things stand and to tell it.
    turn: Semaphore,
}

/// A part of what stands, told again.
#[derive(Debug)]
pub(super) struct Part {
    /// The last alarm in it.
    pub(super) last: Id,
    /// How many are in it.
    pub(super) count: usize,
    /// Whether it was taken.
    pub(super) outcome: Result<Taken, SendError>,
}

impl std::fmt::Debug for Alertmanager {
    /// Its kind alone: an address may hold a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alertmanager(<where it goes>)")
    }
}

impl Alertmanager {
    /// The Alertmanager of these settings; `store` has what it was told.
    pub(in crate::notify) fn new(
        target: &TargetSettings,
        settings: &AlertmanagerSettings,
        links: Option<&Links>,
        store: Option<&StoreReader>,
    ) -> Result<Alertmanager, NotifyError> {
        let (client, url) = client(target)?;
        let millis = |time: Duration| Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Ok(Alertmanager {
            name: target.name.clone(),
            client,
            url: endpoint(url),
            deadline: deadline(target),
            fall_over: millis(target.fall_over),
            resend: settings.resend,
            alerts: Alerts {
                language: settings.language,
                hold: millis(settings.hold),
                links: links.cloned(),
            },
            store: store.cloned(),
            turn: Semaphore::new(1),
        })
    }

    /// The target's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How often it is told again what stands.
    pub(in crate::notify) const fn resend(&self) -> Duration {
        self.resend
    }

    /// Tells again how the next alarms after `after` stand, at most so many; `None`: there are no more.
    pub(super) async fn tell_again(
        &self,
        (after, most): (Option<Id>, usize),
        now: Timestamp,
    ) -> Result<Option<Part>, StoreError> {
        let Some(store) = &self.store else { return Ok(None) };
        let _turn = self.turn().await;
        let since = Timestamp(now.0.saturating_sub(RESOLVED_FOR_MS));
        let limit = u32::try_from(most).unwrap_or(u32::MAX);
        let told = store.told_alarms(&self.name, (after, since), limit).await?;
        let Some(last) = told.last().map(|told| told.id) else {
            return Ok(None);
        };
        let alerts: Vec<Alert> = told.iter().map(|told| self.alerts.of_told(told, now)).collect();
        let outcome = self.post(&alerts).await;
        let count = alerts.len();
        Ok(Some(Part { last, count, outcome }))
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turn.acquire().await.ok()
    }

    /// How the alarms that these notices are about stand now, each once.
    async fn alerts_of(&self, notices: &[&PendingNotice], now: Timestamp) -> Result<Vec<Alert>, SendError> {
        let mut known = vec![None; notices.len()];
        if let Some(store) = &self.store {
            let asked = notices.iter().map(|notice| {
                let labels = Labels::of_event(&notice.body).unwrap_or_default();
                (notice.alarm, labels)
            });
            known = store
                .told_of(&self.name, asked.collect())
                .await
                .map_err(|_| SendError::Store)?;
        }
        let mut seen = HashSet::new();
        let alerts = notices
            .iter()
            .zip(known)
            .filter_map(|(notice, known)| match known {
                Some(told) => Some(self.alerts.of_told(&told, now)),
                None => self.alerts.of_event(&notice.body, (notice.alarm, notice.id), now),
            });
        Ok(alerts.filter(|alert| seen.insert(alert.labels.clone())).collect())
    }

    async fn post(&self, alerts: &[Alert]) -> Result<Taken, SendError> {
        let body = serde_json::to_vec(alerts).map_err(|_| SendError::Broken)?;
        let answer = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
            .send()
            .await
            .map_err(|error| failure(&error, self.deadline))?;
        let status = answer.status();
        finish(answer).await;
        if status.is_success() {
            Ok(Taken)
        } else {
            Err(SendError::Status(status.as_u16()))
        }
    }
}

impl Target for Alertmanager {
    /// One request at a time, with all that is due in it.
    fn manners(&self) -> Manners {
        Manners {
            at_once: 1,
            gather: Some(Millis::ZERO),
            fall_over: self.fall_over,
            ..Manners::default()
        }
    }

    /// Orders have no alert of their own: one that fails has its alarm.
    async fn send(&self, parcel: &Parcel, at: Timestamp) -> Result<Taken, SendError> {
        let notices: Vec<&PendingNotice> = parcel.notices().collect();
        let _turn = self.turn().await;
        for part in notices.chunks(AT_ONCE) {
            let alerts = self.alerts_of(part, at).await?;
            if !alerts.is_empty() {
                self.post(&alerts).await?;
            }
        }
        Ok(Taken)
    }
}

/// Where an Alertmanager with this base takes alerts.
fn endpoint(mut base: Url) -> Url {
    // Every web address has a path.
    if let Ok(mut path) = base.path_segments_mut() {
        path.pop_if_empty().extend(["api", "v2", "alerts"]);
    }
    base
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn the_base_may_have_a_path_of_its_own() {
        for (base, at) in [
            ("http://h:9093", "http://h:9093/api/v2/alerts"),
            ("http://h:9093/", "http://h:9093/api/v2/alerts"),
            ("https://u:p@h/am", "https://u:p@h/am/api/v2/alerts"),
            ("https://h/am/", "https://h/am/api/v2/alerts"),
        ] {
            assert_eq!(endpoint(base.parse().unwrap()).as_str(), at, "{base}");
        }
    }
}

//! Alertmanager's own webhook body, version 4, for receivers that know it: each notice of an alarm is one message with one
//! alert, as a webhook of ours is sent.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Alert, Alerts};
use crate::config::TargetSettings;
use crate::domain::alert::Labels;
use crate::domain::officer::Language;
use crate::domain::time::{Millis, Timestamp};
use crate::link::Links;
use crate::notify::parcel::{Manners, Parcel};
use crate::notify::target::{SendError, Taken, Target};
use crate::notify::webhook::Webhook;
use crate::notify::{Back, NotifyError};
use crate::store::{PendingNotice, StoreReader};

/// How Alertmanager writes that an alert has not ended.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A receiver of Alertmanager's messages.
#[derive(Debug)]
pub(in crate::notify) struct Receiver {
    name: String,
    webhook: Webhook,
    alerts: Alerts,
    store: Option<StoreReader>,
}

/// The body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: u64,
    status: &'static str,
    receiver: &'a str,
    group_labels: &'a Labels,
    common_labels: &'a Labels,
    common_annotations: &'a BTreeMap<&'static str, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: [Firing<'a>; 1],
}

/// An alert in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Firing<'a> {
    status: &'static str,
    labels: &'a Labels,
    annotations: &'a BTreeMap<&'static str, String>,
    starts_at: &'a str,
    ends_at: &'a str,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

impl Receiver {
    /// The receiver of these settings; `store` has by which labels it knows alarms.
    pub(in crate::notify) fn new(
        target: &TargetSettings,
        language: Language,
        back: Option<&Back>,
        store: Option<&StoreReader>,
    ) -> Result<Receiver, NotifyError> {
        Ok(Receiver {
            name: target.name.clone(),
            webhook: Webhook::new(target, back)?,
            alerts: Alerts {
                language,
                hold: Millis::ZERO,
                links: back.map(|back| back.links.clone()),
            },
            store: store.cloned(),
        })
    }

    /// What `notice` tells, with the labels by which the alarm is known here.
    async fn alert(&self, notice: &PendingNotice) -> Result<Option<Alert>, SendError> {
        let told = self
            .alerts
            .of_event(&notice.body, (notice.alarm, notice.id), notice.created_at);
        let Some(mut alert) = told else { return Ok(None) };
        let Some(store) = &self.store else {
            return Ok(Some(alert));
        };
        let asked = vec![(notice.alarm, alert.labels.clone())];
        let known = store.told_of(&self.name, asked).await;
        let known = known.map_err(|_| SendError::Store)?;
        if let Some(labels) = known.into_iter().flatten().next().map(|told| told.labels) {
            alert.labels = labels;
        }
        Ok(Some(alert))
    }

    fn body(&self, alert: &Alert) -> String {
        let status = if alert.resolved { "resolved" } else { "firing" };
        let ends_at = if alert.resolved { &alert.ends_at } else { NEVER };
        let starts_at = match alert.starts_at.as_str() {
            "" => NEVER,
            known => known,
        };
        let external_url = self.alerts.links.as_ref().map_or("", Links::public_url);
        let message = Message {
            version: "4",
            group_key: format!("{{}}:{}", alert.labels),
            truncated_alerts: 0,
            status,
            receiver: &self.name,
            group_labels: &alert.labels,
            common_labels: &alert.labels,
            common_annotations: &alert.annotations,
            external_url,
            alerts: [Firing {
                status,
                labels: &alert.labels,
                annotations: &alert.annotations,
                starts_at,
                ends_at,
                generator_url: &alert.generator_url,
                fingerprint: alert.labels.fingerprint(),
            }],
        };
        // Texts and maps of texts cannot fail.
        serde_json::to_string(&message).unwrap_or_default()
    }
}

impl Target for Receiver {
    fn manners(&self) -> Manners {
        self.webhook.manners()
    }

    /// Orders have no alert of their own: one that fails has its alarm.
    async fn send(&self, parcel: &Parcel, at: Timestamp) -> Result<Taken, SendError> {
        let notice = parcel.first();
        match self.alert(notice).await? {
            Some(alert) => self.webhook.post(notice, self.body(&alert), at).await,
            None => Ok(Taken),
        }
    }
}

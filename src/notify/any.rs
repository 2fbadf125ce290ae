//! A target of whatever kind its settings say.

use std::sync::Arc;
use std::time::Duration;

use super::alertmanager::api::Alertmanager;
use super::alertmanager::receiver::Receiver;
use super::mail::Mail;
use super::parcel::{Manners, Parcel};
use super::robot::Robot;
use super::target::{SendError, Taken, Target};
use super::webhook::Webhook;
use super::{Back, NotifyError};
use crate::config::{TargetKind, TargetSettings};
use crate::domain::time::Timestamp;
use crate::store::StoreReader;
use crate::words::InForce;

/// One target, ready to send.
#[derive(Debug)]
pub(super) enum AnyTarget {
    Webhook(Box<Webhook>),
    Robot(Box<Robot>),
    Mail(Box<Mail>),
    Alertmanager(Arc<Alertmanager>),
    Receiver(Box<Receiver>),
}

impl AnyTarget {
    /// The target of these settings; `vocabulary` is for those that get texts, `back` for how one acknowledges:
    /// without it nobody can. `store` is for those that are told how things stand.
    pub(super) fn new(
        settings: &TargetSettings,
        vocabulary: &InForce,
        back: Option<&Back>,
        store: Option<&StoreReader>,
    ) -> Result<AnyTarget, NotifyError> {
        let links = back.map(|back| &back.links);
        Ok(match &settings.kind {
            TargetKind::Webhook => AnyTarget::Webhook(Box::new(Webhook::new(settings, back)?)),
            TargetKind::Robot(robot) => {
                AnyTarget::Robot(Box::new(Robot::new(settings, robot, (vocabulary, links))?))
            }
            TargetKind::Mail(mail) => {
                AnyTarget::Mail(Box::new(Mail::new(settings, mail, (vocabulary, links))?))
            }
            TargetKind::Alertmanager(own) => {
                AnyTarget::Alertmanager(Arc::new(Alertmanager::new(settings, own, links, store)?))
            }
            TargetKind::AlertmanagerWebhook(language) => {
                AnyTarget::Receiver(Box::new(Receiver::new(settings, *language, back, store)?))
            }
        })
    }

    /// The one that has to be told again and again what stands, if this is one.
    pub(super) const fn forgetful(&self) -> Option<&Arc<Alertmanager>> {
        match self {
            AnyTarget::Webhook(_) | AnyTarget::Robot(_) | AnyTarget::Mail(_) | AnyTarget::Receiver(_) => None,
            AnyTarget::Alertmanager(alertmanager) => Some(alertmanager),
        }
    }

    /// How often it has to be told again what stands; `None`: once is enough.
    pub(super) fn resend(&self) -> Option<Duration> {
        self.forgetful().map(|alertmanager| alertmanager.resend())
    }
}

impl Target for AnyTarget {
    fn manners(&self) -> Manners {
        match self {
            AnyTarget::Webhook(webhook) => webhook.manners(),
            AnyTarget::Robot(robot) => robot.manners(),
            AnyTarget::Mail(mail) => mail.manners(),
            AnyTarget::Alertmanager(alertmanager) => alertmanager.manners(),
            AnyTarget::Receiver(receiver) => receiver.manners(),
        }
    }

    async fn send(&self, parcel: &Parcel, at: Timestamp) -> Result<Taken, SendError> {
        match self {
            AnyTarget::Webhook(webhook) => webhook.send(parcel, at).await,
            AnyTarget::Robot(robot) => robot.send(parcel, at).await,
            AnyTarget::Mail(mail) => mail.send(parcel, at).await,
            AnyTarget::Alertmanager(alertmanager) => alertmanager.send(parcel, at).await,
            AnyTarget::Receiver(receiver) => receiver.send(parcel, at).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AlertmanagerSettings, NetworkSettings, RobotSettings, Secret, Service};
    use crate::domain::officer::Language;

    #[test]
    fn no_address_of_a_target_is_written_down() {
        let alertmanager = AlertmanagerSettings {
            language: Language::Zh,
            resend: Duration::from_mins(1),
            hold: Duration::from_hours(1),
        };
        let robot = RobotSettings {
            service: Service::Wecom,
            mention_all: false,
            language: Language::Zh,
            template: None,
        };
        for kind in [
            TargetKind::Webhook,
            TargetKind::Robot(robot),
            TargetKind::Alertmanager(alertmanager),
            TargetKind::AlertmanagerWebhook(Language::Zh),
        ] {
            let settings = TargetSettings {
                name: "duty".to_owned(),
                kind,
                url: Secret::new("http://127.0.0.1/send?key=k3y".to_owned()),
                secret: None,
                timeout: Duration::from_secs(1),
                fall_over: Duration::from_secs(1),
                acknowledges: false,
                network: NetworkSettings::default(),
            };
            let vocabulary = InForce::default();
            let target = AnyTarget::new(&settings, &vocabulary, None, None).unwrap();
            assert!(!format!("{target:?}").contains("k3y"), "{target:?}");
        }
    }
}

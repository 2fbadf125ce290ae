//! A target of whatever kind its settings say.

use std::sync::Arc;

use super::mail::Mail;
use super::parcel::{Manners, Parcel};
use super::robot::Robot;
use super::target::{SendError, Taken, Target};
use super::webhook::Webhook;
use super::{Back, NotifyError};
use crate::config::{TargetKind, TargetSettings};
use crate::domain::time::Timestamp;
use crate::words::Vocabulary;

/// One target, ready to send.
#[derive(Debug)]
pub(super) enum AnyTarget {
    Webhook(Box<Webhook>),
    Robot(Box<Robot>),
    Mail(Box<Mail>),
}

impl AnyTarget {
    /// The target of these settings; `vocabulary` is for those that get texts, `back` for how one acknowledges:
    /// without it nobody can.
    pub(super) fn new(
        settings: &TargetSettings,
        vocabulary: &Arc<Vocabulary>,
        back: Option<&Back>,
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
        })
    }
}

impl Target for AnyTarget {
    fn manners(&self) -> Manners {
        match self {
            AnyTarget::Webhook(webhook) => webhook.manners(),
            AnyTarget::Robot(robot) => robot.manners(),
            AnyTarget::Mail(mail) => mail.manners(),
        }
    }

    async fn send(&self, parcel: &Parcel, at: Timestamp) -> Result<Taken, SendError> {
        match self {
            AnyTarget::Webhook(webhook) => webhook.send(parcel, at).await,
            AnyTarget::Robot(robot) => robot.send(parcel, at).await,
            AnyTarget::Mail(mail) => mail.send(parcel, at).await,
        }
    }
}

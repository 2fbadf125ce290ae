//! Where alarms wait for a second signal before they close anything: which of them had one, as a bystander can tell from
//! the documents (docs/interlock.md, "Two signals").

use std::collections::BTreeMap;

use ninewatch::domain::alarm::{AlarmEvent, AlarmState};
use ninewatch::domain::id::Id;
use ninewatch::domain::interlock::OrderView;

use super::site::{CLOSING, HIGHEST, LOWEST, Linkage};

/// An alarm that stands, and whose rule closes valves.
struct Standing {
    venue: String,
    /// `None`: it is the venue's own.
    device: Option<String>,
    /// Something happened that may be its second signal.
    may: bool,
    /// Something happened that is its second signal without a doubt.
    must: bool,
}

/// All such alarms.
#[derive(Default)]
pub(crate) struct Signals {
    standing: BTreeMap<Id, Standing>,
    linkage: Option<Linkage>,
}

impl Signals {
    /// From now on alarms close the valves like this.
    pub(crate) fn configure(&mut self, linkage: Option<Linkage>) {
        self.linkage = linkage;
        let waits = |venue: &str| linkage.is_some_and(|linkage| linkage.confirms(venue));
        for alarm in self.standing.values_mut().filter(|alarm| !waits(&alarm.venue)) {
            (alarm.may, alarm.must) = (true, true);
        }
    }

    /// A device said this of its gas, live; `fresh` when that can be neither late nor a repetition. Before what it raises.
    pub(crate) fn note_level(&mut self, device: &str, level: f64, fresh: bool) {
        let own = |alarm: &&mut Standing| alarm.device.as_deref() == Some(device);
        for alarm in self.standing.values_mut().filter(own) {
            alarm.may |= level >= LOWEST;
            alarm.must |= fresh && level >= HIGHEST;
        }
    }

    /// Something happened to an alarm.
    pub(crate) fn note_alarm(&mut self, event: &AlarmEvent) {
        let alarm = &event.alarm;
        let rule = alarm.rule.id.as_str();
        if !CLOSING.contains(&rule) {
            return;
        }
        match alarm.state {
            AlarmState::ActiveUnacknowledged | AlarmState::ActiveAcknowledged => {}
            AlarmState::RecoveredUnacknowledged | AlarmState::RecoveredAcknowledged | AlarmState::Cleared => {
                self.standing.remove(&alarm.id);
                return;
            }
        }
        if self.standing.contains_key(&alarm.id) {
            return;
        }
        let venue = &alarm.device.venue;
        let device = (rule == "gas-high").then(|| alarm.device.device.clone());
        let waits = self.linkage.is_some_and(|linkage| linkage.confirms(venue));
        let mut others = 0;
        for other in self.standing.values_mut() {
            if other.venue == *venue && other.device != device {
                other.may = true;
                others += 1;
            }
        }
        let at_once = device.is_none() || !waits;
        let new = Standing {
            venue: venue.clone(),
            device,
            may: at_once || others > 0,
            must: at_once,
        };
        self.standing.insert(alarm.id, new);
    }

    /// An alarm closes a valve: on two signals where that is wanted.
    pub(crate) fn check_order(&self, order: &OrderView) -> Result<(), String> {
        let Some(alarm) = order.alarm() else {
            return Ok(());
        };
        if let Some(linkage) = self.linkage
            && order.attempts != linkage.attempts
        {
            return Err(format!("{} attempts, not {}", order.attempts, linkage.attempts));
        }
        match self.standing.get(&alarm.id) {
            Some(standing) if !standing.may => Err("an order on one signal alone".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether an alarm closes valves without a doubt.
    pub(crate) fn demands(&self, alarm: Id) -> bool {
        self.standing.get(&alarm).is_some_and(|standing| standing.must)
    }
}

//! The gateway as a device among the others: what it knows of itself, without any message. Decides no alarm.

use super::super::kind::{BROKER, GATEWAY_KIND, ONLINE};
use super::super::rule::News;
use super::super::time::ClockBounds;
use super::derive::Turn;
use super::device::Device;

impl Device {
    /// Takes over whether the gateway is connected to the broker; `None`: as it was. Nothing comes of it while that
    /// was never told.
    pub(super) fn connect(&mut self, turn: &Turn<'_>, connected: Option<bool>) -> Option<News> {
        let known = self.slots.get(usize::from(BROKER.0)).copied();
        let broker = match connected {
            Some(connected) => f64::from(u8::from(connected)),
            None => known.filter(|known| !known.is_nan())?,
        };
        let mut news = News::default();
        self.sampled = turn.now.ticks.after(ClockBounds::MOST_BEHIND);
        self.put(ONLINE.0, 1.0, turn.rules, &mut news);
        self.put(BROKER.0, broker, turn.rules, &mut news);
        Some(news)
    }

    /// What the gateway knows of itself stays true until it knows otherwise: no message has to confirm what the rule
    /// in `place` waits for.
    pub(super) fn vouch(&mut self, turn: &Turn<'_>, place: usize) {
        if turn.rules.kind.id != GATEWAY_KIND {
            return;
        }
        if let (Some(life), Some(rule)) = (self.lives.get_mut(place), turn.rules.rules.get(place))
            && rule.def.after.is_none()
        {
            life.confirm(turn.now.ticks, &rule.def);
        }
    }
}

//! The gateway as a device among the others: what it knows of itself, without any message. Decides no alarm.

use smallvec::SmallVec;

use super::super::kind::{GATEWAY_KIND, ONLINE, PointIndex};
use super::super::rule::News;
use super::super::time::{ClockBounds, Moment};
use super::derive::Turn;
use super::device::Device;
use super::judge::judge;
use super::{Effects, Engine};

impl Engine {
    /// The gateway knows something of itself; `None`: what it knows is as it was, but there may be rules that have not
    /// heard of it.
    pub(super) fn tell_gateway(
        &mut self,
        told: Option<(PointIndex, f64)>,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some((index, device)) = self
            .gateway
            .and_then(|index| Some((index, self.devices.get_mut(index.slot())?)))
        else {
            return;
        };
        let Some(rules) = device.kind.and_then(|kind| self.definitions.kind(kind)) else {
            return;
        };
        let mut turn = Turn::new(index, rules, self.listening, now);
        let Some(news) = device.know(&turn, told) else {
            return;
        };
        let plans = self.recorder.plans(device.kind);
        for (point, _) in rules.kind.points() {
            device.keep_slot(point, &turn, (now.wall, plans), &mut effects.samples);
        }
        // Told again, it is no second occurrence.
        turn.repeated = news.changed.is_empty();
        judge(&mut self.ledger, device, &turn, News::all(news.heard), effects);
    }
}

impl Device {
    /// Takes over what the gateway was `told` of one of its points; `None`: all is as it was. Nothing comes of it while
    /// nothing was ever told.
    pub(super) fn know(&mut self, turn: &Turn<'_>, told: Option<(PointIndex, f64)>) -> Option<News> {
        let (slots, points) = (&self.slots, turn.rules.kind.points());
        let known: SmallVec<[(PointIndex, f64); 8]> = points
            .filter(|(point, _)| *point != ONLINE)
            .filter_map(|(point, _)| match told {
                Some((of, value)) if of == point => Some((point, value)),
                Some(_) | None => Some((point, *slots.get(usize::from(point.0))?)),
            })
            .filter(|(_, value)| !value.is_nan())
            .collect();
        if known.is_empty() {
            return None;
        }
        let mut news = News::default();
        self.sampled = turn.now.ticks.after(ClockBounds::MOST_BEHIND);
        self.put(ONLINE.0, 1.0, turn.rules, &mut news);
        for (point, value) in known {
            self.put(point.0, value, turn.rules, &mut news);
        }
        Some(news)
    }

    /// What the gateway knows by itself (of itself, of silence, of the calendar) stays true until it knows otherwise: no
    /// message has to confirm what the rule in `place` waits for.
    pub(super) fn vouch(&mut self, turn: &Turn<'_>, place: usize) {
        let of_itself = turn.rules.kind.id == GATEWAY_KIND;
        if let (Some(life), Some(rule)) = (self.lives.get_mut(place), turn.rules.rules.get(place))
            && (of_itself || rule.evident)
            && rule.def.after.is_none()
        {
            life.confirm(turn.now.ticks, &rule.def);
        }
    }
}

//! What a step in an alarm's life is about: the rule and the device, their values at that moment, and what is derived
//! from those for the event. Changes nothing.

use std::sync::Arc;

use super::super::alarm::{AlarmState, AlarmView, Life, Mask, Operator, Quality, Standing, Stimulus};
use super::super::definitions::KindRules;
use super::super::device::{DeviceIndex, DeviceKey};
use super::super::kind::{GATEWAY_KIND, PointIndex};
use super::super::rule::{Class, Quantity, Repeat, Rule, Truth};
use super::super::time::{Moment, Ticks};
use super::device::observe;

/// Whose alarm it is about.
pub(super) struct Subject<'a> {
    pub(super) device: DeviceIndex,
    /// The rule's place among those of the device's kind.
    pub(super) ordinal: u16,
    pub(super) key: &'a Arc<DeviceKey>,
    pub(super) venue: u32,
    pub(super) rules: &'a KindRules,
    pub(super) rule: &'a Rule,
    pub(super) slots: &'a [f64],
    pub(super) late_by_ms: Option<u64>,
    /// Why nobody is told of one that is raised now, its rule's limit apart.
    pub(super) mask: Mask,
    /// How often it has been raised lately, this time included, for one that is raised now.
    pub(super) raises: u32,
    /// When the device last spoke.
    pub(super) heard: Ticks,
    /// The person behind it, if there is one.
    pub(super) operator: Option<&'a Operator>,
    pub(super) now: Moment,
}

impl Subject<'_> {
    /// The person behind it, or nobody.
    pub(super) fn operator(&self) -> Operator {
        let nobody = || Operator {
            by: String::new(),
            note: None,
        };
        self.operator.cloned().unwrap_or_else(nobody)
    }

    /// How far the evidence of its alarm can be trusted.
    pub(super) fn quality(&self, life: &Life) -> Quality {
        let rules = self.rules;
        // A venue has no points of its own: what it is silent of is unknown. The gateway sends itself no messages.
        let is_device = !rules.kind.points.is_empty() && rules.kind.id != GATEWAY_KIND;
        let offline = self.slots.first().is_some_and(|online| *online < 1.0);
        let silent = self.now.ticks.since(self.heard) > self.rule.def.max_gap;
        let faulty = rules
            .faulty
            .as_ref()
            .is_some_and(|faulty| faulty.evaluate(self.slots) == Truth::True);
        let unknown = observe(self.rule, self.slots, life) == Stimulus::Unknown;
        Quality::of(unknown, is_device && (offline || silent), faulty)
    }

    /// The alarm that stands in `life` as it is now.
    pub(super) fn view(&self, life: &Life, standing: Standing) -> AlarmView {
        let recovered_at = match life {
            Life::Recovered { at, .. } => Some(*at),
            Life::Normal | Life::Pending { .. } | Life::Active(_) | Life::Recovering { .. } => None,
        };
        AlarmView {
            id: standing.id,
            rule: Arc::clone(&self.rule.def),
            device: Arc::clone(self.key),
            state: life.state().unwrap_or(AlarmState::Cleared),
            raised_at: standing.raised_at,
            ack: standing.ack,
            recovered_at,
            first_out: standing.first_out,
            late_by_ms: standing.late_by_ms,
            chatter: standing.chatter,
            mask: standing.mask,
            quality: self.quality(life),
            handling: Some(standing.handling).filter(|_| self.rule.def.class == Class::Alarm),
            ended: None,
            values: self.values(),
        }
    }

    /// The rule's limit, if its alarms have one: those of class `alarm` never do.
    pub(super) fn limit(&self) -> Option<Repeat> {
        let rule = &self.rule.def;
        rule.limit.filter(|_| rule.class != Class::Alarm)
    }

    /// The count of an alarm that is raised now, when it makes it chatter.
    pub(super) fn chatter(&self) -> Option<u32> {
        Some(self.raises).filter(|raises| *raises >= u32::from(self.rule.def.chatter.count))
    }

    /// The known values of the points that the rule reads: what the officer needs to see.
    pub(super) fn values(&self) -> Vec<(String, serde_json::Value)> {
        let (rules, depends) = (self.rules, self.rule.depends);
        let points = rules.kind.points().zip(self.slots);
        let points = points
            .filter(|((index, _), value)| depends.contains(*index) && !value.is_nan())
            .map(|((_, point), value)| (point.id.clone(), point.shown(*value)));
        let counts = rules.derived.iter().filter_map(|derived| match derived.quantity {
            Quantity::Count { .. } if depends.contains(PointIndex(derived.slot)) => {
                let value = self.slots.get(usize::from(derived.slot))?;
                Some((derived.shown().to_owned(), serde_json::json!(value)))
            }
            Quantity::Count { .. }
            | Quantity::Window { .. }
            | Quantity::Held { .. }
            | Quantity::Silent { .. }
            | Quantity::Fact(_)
            | Quantity::CommandFailed
            | Quantity::ClockSkew => None,
        });
        points.chain(counts).collect()
    }
}

//! Carries out transitions: makes alarm events, keeps deadlines, standing alarms and each venue's first-out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::super::alarm::{
    Ack, AlarmEvent, AlarmState, AlarmStep, AlarmView, ClearReason, Life, Operator, Standing, Tally,
    Transition,
};
use super::super::definitions::KindRules;
use super::super::device::{DeviceIndex, DeviceKey};
use super::super::id::{GatewayHash, Id};
use super::super::kind::PointIndex;
use super::super::rule::{Class, Quantity, Rule, RuleDef};
use super::super::time::{Moment, Ticks, Timestamp};
use super::Effects;
use super::venue::Told;

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
    /// Whether an active alarm of another rule explains one that is raised now.
    pub(super) suppressed: bool,
    /// How often it has been raised lately, this time included, for one that is raised now.
    pub(super) raises: u32,
    /// The person behind it, if there is one.
    pub(super) operator: Option<&'a Operator>,
    pub(super) now: Moment,
}

impl Subject<'_> {
    fn operator(&self) -> Operator {
        let nobody = || Operator {
            by: String::new(),
            note: None,
        };
        self.operator.cloned().unwrap_or_else(nobody)
    }

    /// The count of an alarm that is raised now, when it makes it chatter.
    fn chatter(&self) -> Option<u32> {
        Some(self.raises).filter(|raises| *raises >= u32::from(self.rule.def.chatter.count))
    }
}

/// The step that tells of an alarm raised now.
fn raised(standing: &Standing) -> AlarmStep {
    match standing.chatter {
        Some(_) => AlarmStep::Chattering,
        None => AlarmStep::Raised,
    }
}

/// What a deadline of a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The alarm of the rule with this ordinal.
    Rule(u16),
    /// The derived value at this place: a condition may have held long enough.
    Held(u16),
    /// The device may have been silent long enough.
    Silence,
}

/// How many alarms of each class stand in a venue.
type StandingByClass = [u32; Class::ALL.len()];

/// The engine's books.
#[derive(Debug)]
pub(super) struct Ledger {
    gateway: GatewayHash,
    sequence: u64,
    /// The next id's ordinal within the present input.
    ordinal: u16,
    venues: Vec<StandingByClass>,
    venue_by_id: HashMap<String, u32>,
    deadlines: BTreeSet<(Ticks, DeviceIndex, Due)>,
    standing: HashMap<Id, (DeviceIndex, u16)>,
    /// What the present device has to tell its venue.
    told: Vec<Told>,
}

impl Ledger {
    pub(super) fn new(gateway: GatewayHash) -> Ledger {
        Ledger {
            gateway,
            sequence: 0,
            ordinal: 0,
            venues: Vec::new(),
            venue_by_id: HashMap::new(),
            deadlines: BTreeSet::new(),
            standing: HashMap::new(),
            told: Vec::new(),
        }
    }

    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) const fn set_sequence(&mut self, sequence: u64) {
        self.sequence = sequence;
    }

    /// The present input is done.
    pub(super) const fn advance(&mut self) {
        self.sequence += 1;
        self.ordinal = 0;
    }

    /// The number of the venue called `id`, given at first sight, in order from 0.
    pub(super) fn venue(&mut self, id: &str) -> u32 {
        if let Some(venue) = self.venue_by_id.get(id) {
            return *venue;
        }
        let venue = u32::try_from(self.venues.len()).unwrap_or(u32::MAX);
        self.venues.push(StandingByClass::default());
        self.venue_by_id.insert(id.to_owned(), venue);
        venue
    }

    pub(super) fn next_deadline(&self) -> Option<Ticks> {
        self.deadlines.first().map(|(at, _, _)| *at)
    }

    /// Takes the earliest deadline that has come.
    pub(super) fn take_due(&mut self, now: Ticks) -> Option<(Ticks, DeviceIndex, Due)> {
        let first = *self.deadlines.first().filter(|(at, _, _)| *at <= now)?;
        self.deadlines.remove(&first);
        Some(first)
    }

    pub(super) fn insert_deadline(&mut self, at: Ticks, device: DeviceIndex, due: Due) {
        self.deadlines.insert((at, device, due));
    }

    pub(super) fn remove_deadline(&mut self, at: Ticks, device: DeviceIndex, due: Due) {
        self.deadlines.remove(&(at, device, due));
    }

    pub(super) fn find(&self, alarm: Id) -> Option<(DeviceIndex, u16)> {
        self.standing.get(&alarm).copied()
    }

    pub(super) fn standing_count(&self) -> usize {
        self.standing.len()
    }

    /// A device has something to tell its venue.
    pub(super) fn tell(&mut self, told: Told) {
        self.told.push(told);
    }

    /// What a device has to tell its venue.
    pub(super) fn told(&self) -> &[Told] {
        &self.told
    }

    /// Passes on what a device has to tell its venue.
    pub(super) fn pass_on(&mut self, take: impl FnMut(Told)) {
        self.told.drain(..).for_each(take);
    }

    /// Takes a life over whose state came from elsewhere (a snapshot, changed definitions).
    pub(super) fn adopt(&mut self, life: &Life, place: (DeviceIndex, u16), venue: u32, rule: &RuleDef) {
        if let Some(standing) = life.standing() {
            self.standing.insert(standing.id, place);
            if let Some(count) = self.count(venue, rule.class) {
                *count += 1;
            }
        }
        self.set_deadline(life, place, rule);
    }

    /// Forgets every standing alarm and deadline, before all lives are adopted anew.
    pub(super) fn clear(&mut self) {
        self.standing.clear();
        self.deadlines.clear();
        self.venues.fill(StandingByClass::default());
    }

    /// Carries out `transition` of `life`.
    pub(super) fn apply(
        &mut self,
        transition: Transition,
        life: &mut Life,
        subject: &Subject<'_>,
        effects: &mut Effects,
    ) {
        let now = subject.now;
        match transition {
            Transition::Stay | Transition::Refuse => {}
            Transition::Confirm => life.confirm(now.ticks, &subject.rule.def),
            Transition::Pend => {
                *life = Life::Pending {
                    since: now.ticks,
                    confirmed: now.ticks,
                    tally: Tally::default(),
                };
                life.confirm(now.ticks, &subject.rule.def);
            }
            Transition::Lapse => *life = Life::Normal,
            Transition::Raise => {
                let standing = self.stand(subject);
                let step = raised(&standing);
                *life = Life::Active(Box::new(standing));
                self.announce(step, life, subject, effects);
            }
            Transition::RaiseAgain => {
                if let Some(mut standing) = life.take_standing() {
                    standing.ack = Ack::Unacknowledged;
                    standing.raised_at = now.wall;
                    standing.chatter = subject.chatter();
                    standing.suppressed = subject.suppressed;
                    let step = raised(&standing);
                    *life = Life::Active(standing);
                    self.announce(step, life, subject, effects);
                }
            }
            Transition::Resume => {
                if let Some(mut standing) = life.take_standing() {
                    standing.chatter = standing.chatter.map(|count| count.saturating_add(1));
                    *life = Life::Active(standing);
                }
            }
            Transition::BeginRecovery => {
                if let Some(standing) = life.take_standing() {
                    *life = Life::Recovering {
                        standing,
                        since: now.ticks,
                        confirmed: now.ticks,
                    };
                }
            }
            Transition::Recover => self.recover(life, subject, effects),
            Transition::Acknowledge => self.acknowledge(life, subject, effects),
            Transition::Reset => {
                let reason = ClearReason::Reset(subject.operator());
                self.end(reason, life, subject, effects);
            }
            Transition::Remove => self.end(ClearReason::RuleRemoved, life, subject, effects),
        }
        self.set_deadline(life, (subject.device, subject.ordinal), &subject.rule.def);
    }

    fn stand(&mut self, subject: &Subject<'_>) -> Standing {
        let now = subject.now;
        let id = self.id(now.wall);
        let first_out = self
            .count(subject.venue, subject.rule.def.class)
            .is_some_and(|count| {
                *count += 1;
                *count == 1
            });
        self.standing.insert(id, (subject.device, subject.ordinal));
        Standing {
            id,
            raised_at: now.wall,
            first_out,
            late_by_ms: subject.late_by_ms,
            ack: Ack::Unacknowledged,
            chatter: subject.chatter(),
            suppressed: subject.suppressed,
            announced: false,
        }
    }

    /// Notes that the alarm is, or is no longer, explained by another rule's. One that still stands when its
    /// explanation ends is told of.
    pub(super) fn suppress(
        &mut self,
        suppressed: bool,
        life: &mut Life,
        subject: &Subject<'_>,
        effects: &mut Effects,
    ) {
        let Some(standing) = life.standing_mut() else {
            return;
        };
        if standing.suppressed == suppressed {
            return;
        }
        standing.suppressed = suppressed;
        let step = if suppressed {
            AlarmStep::Suppressed
        } else {
            AlarmStep::Announced
        };
        self.announce(step, life, subject, effects);
    }

    fn recover(&mut self, life: &mut Life, subject: &Subject<'_>, effects: &mut Effects) {
        let Some(standing) = life.take_standing() else {
            return;
        };
        *life = Life::Recovered {
            standing,
            at: subject.now.wall,
        };
        self.announce(AlarmStep::Recovered, life, subject, effects);
        if !subject.rule.def.latch {
            self.end(ClearReason::Recovered, life, subject, effects);
        }
    }

    fn acknowledge(&mut self, life: &mut Life, subject: &Subject<'_>, effects: &mut Effects) {
        let Some(standing) = life.standing_mut() else {
            return;
        };
        match standing.ack {
            // The first to take it on stays on record; saying so twice is no news.
            Ack::Acknowledged { .. } => {}
            Ack::Unacknowledged => {
                let operator = subject.operator();
                standing.ack = Ack::Acknowledged {
                    operator: operator.clone(),
                    at: subject.now.wall,
                };
                self.announce(AlarmStep::Acknowledged(operator), life, subject, effects);
            }
        }
    }

    fn end(&mut self, reason: ClearReason, life: &mut Life, subject: &Subject<'_>, effects: &mut Effects) {
        let mut ended = std::mem::take(life);
        let Some(standing) = ended.standing() else { return };
        self.standing.remove(&standing.id);
        if let Some(count) = self.count(subject.venue, subject.rule.def.class) {
            *count = count.saturating_sub(1);
        }
        self.announce(AlarmStep::Cleared(reason), &mut ended, subject, effects);
    }

    fn announce(&mut self, step: AlarmStep, life: &mut Life, subject: &Subject<'_>, effects: &mut Effects) {
        let Some(state) = life.state() else { return };
        let Some(standing) = life.standing_mut() else {
            return;
        };
        let notify = match step {
            AlarmStep::Raised | AlarmStep::Chattering | AlarmStep::Announced => !standing.suppressed,
            AlarmStep::Suppressed => false,
            // Whoever was told of it is told how it goes on.
            AlarmStep::Acknowledged(_) | AlarmStep::Recovered | AlarmStep::Cleared(_) => standing.announced,
        };
        standing.announced |= notify;
        let standing = standing.clone();
        let state = match step {
            AlarmStep::Cleared(_) => AlarmState::Cleared,
            AlarmStep::Raised
            | AlarmStep::Chattering
            | AlarmStep::Announced
            | AlarmStep::Suppressed
            | AlarmStep::Acknowledged(_)
            | AlarmStep::Recovered => state,
        };
        let recovered_at = match life {
            Life::Recovered { at, .. } => Some(*at),
            Life::Normal | Life::Pending { .. } | Life::Active(_) | Life::Recovering { .. } => None,
        };
        let alarm = AlarmView {
            id: standing.id,
            rule: Arc::clone(&subject.rule.def),
            device: Arc::clone(subject.key),
            state,
            raised_at: standing.raised_at,
            ack: standing.ack,
            recovered_at,
            first_out: standing.first_out,
            late_by_ms: standing.late_by_ms,
            chatter: standing.chatter,
            suppressed: standing.suppressed,
            values: values(subject),
        };
        effects.alarms.push(AlarmEvent {
            id: self.id(subject.now.wall),
            at: subject.now.wall,
            step,
            notify,
            alarm,
        });
    }

    fn id(&mut self, at: Timestamp) -> Id {
        let id = Id::derive(self.gateway, self.sequence, self.ordinal, at);
        self.ordinal = self.ordinal.wrapping_add(1);
        id
    }

    fn count(&mut self, venue: u32, class: Class) -> Option<&mut u32> {
        let class = Class::ALL.iter().position(|known| *known == class)?;
        self.venues.get_mut(usize::try_from(venue).ok()?)?.get_mut(class)
    }

    fn set_deadline(&mut self, life: &Life, (device, ordinal): (DeviceIndex, u16), rule: &RuleDef) {
        // One that the state no longer wants finds nothing to do when it comes.
        if let Some(at) = life.deadline(rule) {
            self.insert_deadline(at, device, Due::Rule(ordinal));
        }
    }
}

/// The known values of the points that the rule reads: what the officer needs to see.
fn values(subject: &Subject<'_>) -> Vec<(String, serde_json::Value)> {
    let (rules, depends) = (subject.rules, subject.rule.depends);
    let points = rules.kind.points().zip(subject.slots);
    let points = points
        .filter(|((index, _), value)| depends.contains(*index) && !value.is_nan())
        .map(|((_, point), value)| (point.id.clone(), point.shown(*value)));
    let counts = rules.derived.iter().filter_map(|derived| match derived.quantity {
        Quantity::Count if depends.contains(PointIndex(derived.slot)) => {
            let value = subject.slots.get(usize::from(derived.slot))?;
            Some((derived.shown().to_owned(), serde_json::json!(value)))
        }
        Quantity::Count
        | Quantity::Window { .. }
        | Quantity::Held { .. }
        | Quantity::Silent { .. }
        | Quantity::Fact(_) => None,
    });
    points.chain(counts).collect()
}

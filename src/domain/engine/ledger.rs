//! Carries out transitions: makes alarm events, keeps deadlines, standing alarms and each venue's first-out.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::super::alarm::{
    Ack, AlarmEvent, AlarmState, AlarmStep, AlarmView, ClearReason, Handling, HandlingStimulus, Life, Mask,
    MaskChange, Standing, Tally, Transition,
};
use super::super::device::DeviceIndex;
use super::super::id::{GatewayHash, Id};
use super::super::rule::{Class, RuleDef};
use super::super::time::{Moment, Ticks, Timestamp};
use super::Effects;
use super::book::Book;
use super::due::Due;
use super::limit::Limits;
use super::orders::Call;
use super::subject::Subject;
use super::venue::Told;

/// What is to become of a standing alarm's mask.
pub(super) struct Remask {
    pub(super) change: MaskChange,
    /// The mask that is put on.
    pub(super) mask: Mask,
    /// The operator's act, or its end, behind it.
    pub(super) because: Option<AlarmStep>,
}

/// The step that tells of an alarm raised now.
fn raised(standing: &Standing) -> AlarmStep {
    match standing.chatter {
        Some(_) => AlarmStep::Chattering,
        None => AlarmStep::Raised,
    }
}

/// How many alarms of each class stand in a venue.
type StandingByClass = [u32; Class::ALL.len()];

/// The engine's books.
#[derive(Debug)]
pub(super) struct Ledger {
    gateway: GatewayHash,
    sequence: u64,
    /// The next id's ordinal within the present input.
    ordinal: u32,
    venues: Vec<StandingByClass>,
    venue_by_id: HashMap<String, u32>,
    deadlines: BTreeSet<(Ticks, DeviceIndex, Due)>,
    standing: HashMap<Id, (DeviceIndex, u16)>,
    /// What the present device has to tell its venue.
    told: Vec<Told>,
    /// The venues and devices whose alarms have moved: they may explain those of others.
    pub(super) moved: Vec<DeviceIndex>,
    /// What has come up about commands, in order.
    calls: VecDeque<Call>,
    /// How often rules with a limit were told of.
    pub(super) limits: Limits,
    /// The ended alarms that are not closed.
    pub(super) book: Book,
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
            moved: Vec::new(),
            calls: VecDeque::new(),
            limits: Limits::default(),
            book: Book::default(),
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

    /// What wanted to be looked at before, at the first instant, wants it at the second now.
    #[inline]
    pub(super) fn move_deadline(
        &mut self,
        (before, after): (Option<Ticks>, Option<Ticks>),
        device: DeviceIndex,
        due: Due,
    ) {
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.deadlines.remove(&(at, device, due));
        }
        if let Some(at) = after {
            self.insert_deadline(at, device, due);
        }
    }

    pub(super) fn find(&self, alarm: Id) -> Option<(DeviceIndex, u16)> {
        self.standing.get(&alarm).copied()
    }

    pub(super) fn standing_count(&self) -> usize {
        self.standing.len()
    }

    /// Where the standing alarms are, in order.
    pub(super) fn standing_places(&self) -> Vec<(Id, (DeviceIndex, u16))> {
        let mut places: Vec<_> = self
            .standing
            .iter()
            .map(|(alarm, place)| (*alarm, *place))
            .collect();
        places.sort_unstable();
        places
    }

    /// A device has something to tell its venue.
    pub(super) fn tell(&mut self, told: Told) {
        self.told.push(told);
    }

    /// What a device has to tell its venue.
    pub(super) fn told(&self) -> &[Told] {
        &self.told
    }

    /// Something has come up about commands.
    pub(super) fn call(&mut self, call: Call) {
        self.calls.push_back(call);
    }

    /// What has come up next.
    pub(super) fn take_call(&mut self) -> Option<Call> {
        self.calls.pop_front()
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
        self.move_deadline((None, life.deadline(rule)), place.0, Due::Rule(place.1));
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
        let before = life.deadline(&subject.rule.def);
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
                    standing.late_by_ms = subject.late_by_ms;
                    standing.chatter = subject.chatter();
                    standing.mask = self.admit(subject);
                    // Another occurrence: who was told of the last one knows nothing of this.
                    standing.announced = false;
                    standing.handling.advance(HandlingStimulus::RaisedAgain, None);
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
        let after = life.deadline(&subject.rule.def);
        self.move_deadline((before, after), subject.device, Due::Rule(subject.ordinal));
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
            mask: self.admit(subject),
            announced: false,
            handling: Handling::default(),
        }
    }

    /// The mask of an alarm that is to be told of now: its own, or that of the rule's limit.
    fn admit(&mut self, subject: &Subject<'_>) -> Mask {
        match subject.limit() {
            Some(limit) if subject.mask.is_none() => {
                let (venue, rule) = (&subject.key.venue, &subject.rule.def.id);
                match self.limits.take(venue, rule, limit, subject.now.ticks) {
                    Ok(()) => Mask::None,
                    Err(room_at) => Mask::Limited { room_at },
                }
            }
            Some(_) | None => subject.mask.clone(),
        }
    }

    /// Changes the mask of a standing alarm, and makes the events of that; whether it changed. One that still stands
    /// when its mask comes off is told of.
    pub(super) fn remask(
        &mut self,
        remask: Remask,
        life: &mut Life,
        subject: &Subject<'_>,
        effects: &mut Effects,
    ) -> bool {
        let over = matches!(life, Life::Recovered { .. });
        let Some(standing) = life.standing_mut() else {
            return false;
        };
        let mask = match remask.change {
            MaskChange::Stay | MaskChange::Hold => standing.mask.clone(),
            MaskChange::PutOn => remask.mask,
            // There is nothing to tell of one that was told of and is over.
            MaskChange::TakeOff if over && standing.announced => Mask::None,
            MaskChange::TakeOff => self.admit(subject),
        };
        let changed = standing.mask.kind() != mask.kind() || matches!(remask.change, MaskChange::PutOn);
        standing.mask = mask;
        let told = match &standing.mask {
            Mask::None => AlarmStep::Announced,
            Mask::Limited { .. } => AlarmStep::Limited,
            Mask::Suppressed { .. } => AlarmStep::Suppressed,
            Mask::Shelved(pause) => AlarmStep::Shelved {
                until: pause.until,
                operator: pause.operator.clone(),
            },
            Mask::OutOfService(pause) => AlarmStep::OutOfService {
                until: pause.until,
                operator: pause.operator.clone(),
            },
        };
        // An act is an event of its own, and what it left the alarm in stands in it.
        let said = remask.because.is_some();
        let announced = standing.mask.is_none();
        if let Some(because) = remask.because {
            self.announce(because, life, subject, effects);
        }
        if changed && (announced || !said) {
            self.announce(told, life, subject, effects);
        }
        changed
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

    pub(super) fn end(
        &mut self,
        reason: ClearReason,
        life: &mut Life,
        subject: &Subject<'_>,
        effects: &mut Effects,
    ) {
        let mut ended = std::mem::take(life);
        let Some(standing) = ended.standing() else { return };
        self.standing.remove(&standing.id);
        if let Some(count) = self.count(subject.venue, subject.rule.def.class) {
            *count = count.saturating_sub(1);
        }
        if let Some(standing) = ended.standing_mut() {
            standing.handling.advance(HandlingStimulus::End, None);
        }
        self.announce(AlarmStep::Cleared(reason), &mut ended, subject, effects);
        let open = effects
            .alarms
            .last()
            .filter(|event| event.alarm.handling.is_some());
        if let Some(oldest) = open.and_then(|event| self.book.enter(event.alarm.clone())) {
            self.tell_of_ended(AlarmStep::Unclosed, oldest, subject.now, effects);
        }
    }

    /// Makes an event of `step`, which has happened to an alarm whose life has ended.
    pub(super) fn tell_of_ended(
        &mut self,
        step: AlarmStep,
        alarm: AlarmView,
        now: Moment,
        effects: &mut Effects,
    ) {
        effects.alarms.push(AlarmEvent {
            id: self.id(now.wall),
            at: now.wall,
            step,
            notify: false,
            alarm,
        });
    }

    /// Makes an event of `step`, which has happened to the alarm that stands in `life`.
    pub(super) fn announce(
        &mut self,
        step: AlarmStep,
        life: &mut Life,
        subject: &Subject<'_>,
        effects: &mut Effects,
    ) {
        let Some(state) = life.state() else { return };
        let quality = subject.quality(life);
        let over = matches!(life, Life::Recovered { .. });
        let Some(standing) = life.standing_mut() else {
            return;
        };
        let (notify, state) = match step {
            AlarmStep::Raised | AlarmStep::Chattering => (standing.mask.is_none(), state),
            AlarmStep::Announced => (standing.mask.is_none() && !(over && standing.announced), state),
            // Whoever was told of it is told how it goes on.
            AlarmStep::Acknowledged(_) | AlarmStep::Recovered => (standing.announced, state),
            AlarmStep::Cleared(_) => (standing.announced, AlarmState::Cleared),
            AlarmStep::Escalated(_) => (true, state),
            AlarmStep::Suppressed
            | AlarmStep::Limited
            | AlarmStep::Shelved { .. }
            | AlarmStep::Unshelved(_)
            | AlarmStep::OutOfService { .. }
            | AlarmStep::InService(_)
            | AlarmStep::Verified { .. }
            | AlarmStep::Closed(_)
            | AlarmStep::Unclosed => (false, state),
        };
        standing.announced |= notify;
        let standing = standing.clone();
        let alarm = AlarmView {
            state,
            quality,
            ended: step.end().cloned(),
            ..subject.view(life, standing)
        };
        effects.alarms.push(AlarmEvent {
            id: self.id(subject.now.wall),
            at: subject.now.wall,
            step,
            notify,
            alarm,
        });
    }

    pub(super) fn id(&mut self, at: Timestamp) -> Id {
        let id = Id::derive(self.gateway, self.sequence, self.ordinal, at);
        self.ordinal = self.ordinal.wrapping_add(1);
        id
    }

    fn count(&mut self, venue: u32, class: Class) -> Option<&mut u32> {
        let class = Class::ALL.iter().position(|known| *known == class)?;
        self.venues.get_mut(usize::try_from(venue).ok()?)?.get_mut(class)
    }
}

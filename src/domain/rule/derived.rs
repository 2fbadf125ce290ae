//! Values that rules derive from points over time. Each different use has slots of its own behind the kind's points;
//! a program only loads them. Says what is derived, never keeps it: the engine does.

use super::super::almanac::Fact;
use super::super::kind::{Kind, MAX_SLOTS, PointDef, PointIndex, SlotSet};
use super::super::time::Millis;
use super::super::window::WindowFunction;
use super::program::Program;

/// One derived value of a kind.
#[derive(Debug, Clone)]
pub struct Derived {
    /// What it is, as text: the same value in every set of rules in which the points it reads are the same.
    pub name: String,
    /// Its first slot.
    pub slot: u8,
    /// The slots it is made from.
    pub reads: SlotSet,
    /// How it is made.
    pub quantity: Quantity,
}

/// What a derived value is.
#[derive(Debug, Clone)]
pub enum Quantity {
    /// A function over a window of samples. Two slots: the least and the greatest value that it may have, the same
    /// once the window has been heard of wholly.
    Window {
        /// The function.
        function: WindowFunction,
        /// The point's slot.
        source: u8,
        /// The window.
        length: Millis,
    },
    /// Whether a condition has held for so long without a break: 0 or 1, missing when unknown.
    Held {
        /// The condition.
        condition: Program,
        /// How long.
        length: Millis,
        /// How old its last evidence may be.
        max_gap: Millis,
    },
    /// Whether the device has been silent for so long: 0 or 1, missing before either is known.
    Silent {
        /// How long.
        length: Millis,
    },
    /// How many devices of a venue fulfil a condition. Two slots: how many do, and how many may, those included of
    /// whom it is unknown.
    Count {
        /// Whether the condition is made of what needs no evidence.
        evident: bool,
    },
    /// What the wall clock decides: 0 or 1, missing when unknown.
    Fact(Fact),
    /// Whether the device's clock is outside the bounds of its profile: 0 or 1, missing until it has told a time.
    ClockSkew,
    /// Whether the last order to the device has failed and nothing has proven it since: 0 or 1, always known.
    CommandFailed,
}

impl Quantity {
    /// The value of its slots before anything was heard.
    pub const fn initial(&self) -> f64 {
        match self {
            Quantity::Count { .. } | Quantity::CommandFailed => 0.0,
            Quantity::Window { .. }
            | Quantity::Held { .. }
            | Quantity::Silent { .. }
            | Quantity::Fact(_)
            | Quantity::ClockSkew => f64::NAN,
        }
    }

    /// How many slots it takes.
    pub const fn width(&self) -> u8 {
        match self {
            Quantity::Window { .. } | Quantity::Count { .. } => 2,
            Quantity::Held { .. }
            | Quantity::Silent { .. }
            | Quantity::Fact(_)
            | Quantity::ClockSkew
            | Quantity::CommandFailed => 1,
        }
    }
}

impl Derived {
    /// The points of `kind` that it is made from, directly or not.
    pub fn points<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = &'a PointDef> {
        kind.points()
            .filter(|(index, _)| self.reads.contains(*index))
            .map(|(_, point)| point)
    }

    /// The part of its name that is as written in the rule.
    pub fn shown(&self) -> &str {
        self.name.split(" within ").next().unwrap_or_default()
    }

    /// Its own slots.
    pub fn own(&self) -> SlotSet {
        let slots = self.slot..self.slot.saturating_add(self.quantity.width());
        slots.fold(SlotSet::EMPTY, SlotSet::with_slot)
    }

    /// Whether it reads the point or derived value in `slot`.
    pub const fn reads_slot(&self, slot: u8) -> bool {
        self.reads.contains(PointIndex(slot))
    }
}

/// The derived values of one kind while its rules are compiled. The order is that of their making: what a value is
/// made from stands before it.
#[derive(Debug)]
pub struct Derivations {
    next: usize,
    list: Vec<Derived>,
    /// Nothing may be derived.
    closed: bool,
}

/// A kind's rules use more different values than it has slots for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoSlotLeft;

impl Derivations {
    /// None yet, behind the points of `kind`.
    pub const fn new(kind: &Kind) -> Derivations {
        Derivations {
            next: kind.points.len(),
            list: Vec::new(),
            closed: false,
        }
    }

    /// None, and none may be added.
    pub(super) fn closed(kind: &Kind) -> Derivations {
        Derivations {
            closed: true,
            ..Derivations::new(kind)
        }
    }

    /// Whether none may be added.
    pub(super) const fn are_closed(&self) -> bool {
        self.closed
    }

    /// All of them, in order.
    pub fn into_list(self) -> Vec<Derived> {
        self.list
    }

    /// The value called `name`: its slot and all that it reads, itself included.
    pub(super) fn find(&self, name: &str) -> Option<(u8, SlotSet)> {
        let derived = self.list.iter().find(|derived| derived.name == name)?;
        Some((derived.slot, derived.reads.union(derived.own())))
    }

    /// Whether all of `slots` are known at every instant without any reading: silence, dates and schedules, failed orders,
    /// counts and durations of those.
    pub(super) fn evident(&self, slots: SlotSet) -> bool {
        slots.slots().all(|slot| {
            let derived = self
                .list
                .iter()
                .find(|derived| derived.own().contains(PointIndex(slot)));
            derived.is_some_and(|derived| match derived.quantity {
                Quantity::Silent { .. }
                | Quantity::Fact(_)
                | Quantity::Held { .. }
                | Quantity::CommandFailed => true,
                Quantity::Count { evident } => evident,
                Quantity::Window { .. } | Quantity::ClockSkew => false,
            })
        })
    }

    /// The slot of whether the schedule called `name` is in force, which is `fact`.
    pub(super) fn schedule(&mut self, name: &str, fact: Fact) -> Result<u8, NoSlotLeft> {
        let name = format!("schedule({name})");
        let known = self.find(&name);
        known
            .map_or_else(|| self.add(name, SlotSet::EMPTY, Quantity::Fact(fact)), Ok)
            .map(|(slot, _)| slot)
    }

    /// Adds a value that is not there yet.
    pub(super) fn add(
        &mut self,
        name: String,
        reads: SlotSet,
        quantity: Quantity,
    ) -> Result<(u8, SlotSet), NoSlotLeft> {
        let next = self.next + usize::from(quantity.width());
        let slot = u8::try_from(self.next).map_err(|_| NoSlotLeft)?;
        if next > MAX_SLOTS {
            return Err(NoSlotLeft);
        }
        self.next = next;
        let derived = Derived {
            name,
            slot,
            reads,
            quantity,
        };
        let reads = reads.union(derived.own());
        self.list.push(derived);
        Ok((slot, reads))
    }
}

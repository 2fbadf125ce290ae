//! What a message reads of a payload: a tree of places, compiled once, that fills a [`Table`] in one pass. Knows no points.

use serde::de::DeserializeSeed as _;

use super::Reject;
use super::def::{MessageDef, Packing};
use super::place::{Step, array_place};
use super::scan::Walk;
use super::table::{Key, Row, Table};
use super::unpack::Packed;
use super::wire::scalar::Scalar;

/// The most members of one object that can be read: each has a bit, by which one that stands twice is known.
pub(super) const MAX_MEMBERS: usize = 128;

/// A place in the payload: which cell it fills, and the places below it.
#[derive(Debug, Default)]
pub(super) struct Spot {
    pub(super) slot: Option<u16>,
    pub(super) members: Vec<Member>,
    pub(super) each: Option<Box<Each>>,
    pub(super) packing: Option<Packing>,
    /// Its address as written, for messages.
    pub(super) name: String,
}

/// A place below another.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// The name as a place in an array.
    pub(super) place: Option<usize>,
    pub(super) spot: Spot,
}

/// An iteration.
#[derive(Debug)]
pub(super) struct Each {
    /// The entries of an object count too, and what is no array is no item.
    pub(super) entries: bool,
    pub(super) scope: usize,
    pub(super) item: Spot,
    /// Cells that keep what the item before had.
    pub(super) carried: Vec<u16>,
}

/// Everything that one message or more read of a payload: those of one topic that can share a pass do.
#[derive(Debug)]
pub(super) struct Plan {
    root: Spot,
    /// By scope: how many cells a row has. Scope 0 is the payload itself.
    widths: Vec<usize>,
    /// What is unpacked and how bytes are split; `None`: nothing is.
    pub(super) packed: Option<Packed>,
    /// The steps of the message begun last, and the scopes from the payload to its items.
    steps: Vec<Step>,
    scopes: Vec<usize>,
}

impl Plan {
    /// A plan that reads nothing yet.
    pub(super) fn new() -> Plan {
        Plan {
            root: Spot::default(),
            widths: vec![0],
            packed: None,
            steps: Vec::new(),
            scopes: vec![0],
        }
    }

    /// Begins a message: the items of `steps`. They are gone through even when nothing of them is read.
    pub(super) fn begin(&mut self, steps: Vec<Step>) {
        self.scopes = vec![0];
        let mut spot = &mut self.root;
        for step in &steps {
            let next = self.widths.len();
            let each = spot.each(step, next);
            if each.scope == next {
                self.widths.push(0);
            }
            self.scopes.push(each.scope);
            spot = &mut each.item;
        }
        self.steps = steps;
    }

    /// What unpacked texts and bytes hold, whether they are the payload or stand in it.
    pub(super) fn split(&mut self, message: &MessageDef) -> Result<(), String> {
        self.packed.get_or_insert_default().split(message)
    }

    /// What stands at `path` of an item counts for the items behind it too, until another says something else.
    pub(super) fn carry(&mut self, path: &[String]) -> Result<(), String> {
        let Some((step, steps)) = self
            .steps
            .split_last()
            .map(|(step, rest)| (step.clone(), rest.len()))
        else {
            return Err("`carry` is from item to item: give `each`".to_owned());
        };
        let slot = self.cell(self.depth(), path)?;
        let each = self.spot(steps, &[]).each(&step, 0);
        if !each.carried.contains(&slot) {
            each.carried.push(slot);
        }
        Ok(())
    }

    /// How many levels of items the message begun last goes in.
    pub(super) const fn depth(&self) -> usize {
        self.steps.len()
    }

    /// The scope of its items.
    pub(super) fn leaf(&self) -> usize {
        self.scopes.last().copied().unwrap_or_default()
    }

    /// The cell of the place at `path` in the items at `depth`.
    pub(super) fn cell(&mut self, depth: usize, path: &[String]) -> Result<u16, String> {
        let scope = self.scopes.get(depth).copied();
        let Some((scope, width)) = scope.and_then(|scope| Some((scope, *self.widths.get(scope)?))) else {
            return Err("the place is further out than the message goes".to_owned());
        };
        let spot = self.spot(depth, path);
        if let Some(slot) = spot.slot {
            return Ok(slot);
        }
        let cell = u16::try_from(width).map_err(|_| "the message reads too many places".to_owned())?;
        spot.slot = Some(cell);
        if let Some(width) = self.widths.get_mut(scope) {
            *width += 1;
        }
        Ok(cell)
    }

    /// The text at `path` of the payload holds something.
    pub(super) fn unpack(&mut self, path: &[String], packing: Packing) {
        self.spot(0, path).packing = Some(packing);
        self.packed.get_or_insert_default().add(path, packing);
    }

    fn spot(&mut self, depth: usize, path: &[String]) -> &mut Spot {
        let mut spot = &mut self.root;
        for step in self.steps.get(..depth).unwrap_or_default() {
            // It is there since the message was begun.
            spot = &mut spot.each(step, 0).item;
        }
        spot.below(path)
    }

    /// Whether a message that reads `other` may read this plan instead, and those of this one go on as before.
    pub(super) fn takes(&self, other: &Plan) -> bool {
        let alike = match (&self.packed, &other.packed) {
            (Some(own), Some(other)) => own == other,
            (Some(_), None) | (None, _) => true,
        };
        alike && self.root.takes(&other.root)
    }

    /// What is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.root.is_too_wide() {
            return Err(format!(
                "the message reads more than {MAX_MEMBERS} members of one object"
            ));
        }
        Ok(())
    }

    /// Reads `payload` as JSON into `table`.
    pub(super) fn json(&self, payload: &str, table: &mut Table) -> Result<(), Reject> {
        let row = table.begin(self.widths.first().copied().unwrap_or_default());
        self.read_json(&self.root, row, payload, table)
    }

    pub(super) fn read_json(
        &self,
        spot: &Spot,
        row: usize,
        text: &str,
        table: &mut Table,
    ) -> Result<(), Reject> {
        let mut json = serde_json::Deserializer::from_str(text);
        let walk = Walk {
            plan: self,
            spot,
            row,
            table,
        };
        let outcome = walk.deserialize(&mut json).and_then(|()| json.end());
        match (table.trouble.take(), outcome) {
            (Some(reject), _) => Err(reject),
            (None, Err(error)) => Err(Reject::InvalidJson(error.to_string())),
            (None, Ok(())) => Ok(()),
        }
    }

    /// Reads `payload` as one value into `table`.
    pub(super) fn value(
        &self,
        payload: Scalar<'_>,
        packing: Option<Packing>,
        table: &mut Table,
    ) -> Result<(), Reject> {
        let row = table.begin(self.widths.first().copied().unwrap_or_default());
        match packing {
            None => self.scalar(&self.root, row, payload, table),
            Some(packing) => self.unpacked((&self.root, row), payload, packing, table),
        }
        table.trouble.take().map_or(Ok(()), Err)
    }

    /// Opens the row of an item of `each` in that of `parent`. `None`: there are too many.
    pub(super) fn item(
        &self,
        each: &Each,
        (parent, key, index): (usize, Key, usize),
        table: &mut Table,
    ) -> Option<usize> {
        let row = Row {
            scope: each.scope,
            parent,
            key,
            index,
        };
        let width = self.widths.get(each.scope).copied().unwrap_or_default();
        table.item(row, width, &each.carried)
    }

    /// Puts one value where it belongs.
    #[inline]
    pub(super) fn scalar(&self, spot: &Spot, row: usize, scalar: Scalar<'_>, table: &mut Table) {
        if spot.each.is_none() && spot.packing.is_none() {
            table.set(row, spot.slot, scalar);
        } else {
            self.holding(spot, row, scalar, table);
        }
    }

    /// A value that stands for an item, or holds something itself.
    fn holding(&self, spot: &Spot, row: usize, scalar: Scalar<'_>, table: &mut Table) {
        if let Some(each) = &spot.each
            && !each.entries
            && !matches!(scalar, Scalar::Null)
        {
            if let Some(row) = self.item(each, (row, Key::Index, 0), table) {
                self.scalar(&each.item, row, scalar, table);
            }
            return;
        }
        match (spot.packing, scalar) {
            (Some(packing), Scalar::Text(_)) => self.unpacked((spot, row), scalar, packing, table),
            (Some(_) | None, _) => table.set(row, spot.slot, scalar),
        }
    }
}

impl Each {
    /// By the places: the cells have other numbers in another plan.
    fn carries_as(&self, other: &Each) -> bool {
        let places = |each: &Each| {
            let mut places = Vec::new();
            each.item.named(&each.carried, &mut places);
            places.sort_unstable();
            places
        };
        places(self) == places(other)
    }

    /// Whether `spot`, which has no iteration, reads what it read without this one: a member read by name is no
    /// entry, and what is one item is nothing else.
    const fn leaves(&self, spot: &Spot) -> bool {
        spot.members.is_empty() && (self.entries || spot.slot.is_none())
    }
}

impl Spot {
    /// Whether what `other` reads can be read here too, so that each finds what it would have found alone.
    fn takes(&self, other: &Spot) -> bool {
        if !self.is_read() || !other.is_read() {
            return true;
        }
        let iterations = match (&self.each, &other.each) {
            (Some(own), Some(their)) => {
                own.entries == their.entries
                    && own.carries_as(their)
                    && self.same_members(other)
                    && (own.entries || self.slot.is_some() == other.slot.is_some())
                    && own.item.takes(&their.item)
            }
            (Some(each), None) => each.leaves(other),
            (None, Some(each)) => each.leaves(self),
            (None, None) => true,
        };
        let members = other.members.iter().all(|theirs| {
            self.member(&theirs.name)
                .is_none_or(|own| own.takes(&theirs.spot))
        });
        let added = other
            .members
            .iter()
            .filter(|theirs| self.member(&theirs.name).is_none());
        let added = added.count();
        self.packing == other.packing && iterations && members && self.members.len() + added <= MAX_MEMBERS
    }

    /// The addresses of these cells, here and below.
    fn named(&self, cells: &[u16], into: &mut Vec<String>) {
        if self.slot.is_some_and(|slot| cells.contains(&slot)) {
            into.push(self.name.clone());
        }
        for member in &self.members {
            member.spot.named(cells, into);
        }
    }

    const fn is_read(&self) -> bool {
        self.slot.is_some() || !self.members.is_empty() || self.each.is_some() || self.packing.is_some()
    }

    fn same_members(&self, other: &Spot) -> bool {
        self.members.len() == other.members.len()
            && other
                .members
                .iter()
                .all(|member| self.member(&member.name).is_some())
    }

    fn member(&self, name: &str) -> Option<&Spot> {
        let found = self.members.iter().find(|member| member.name == name);
        found.map(|member| &member.spot)
    }

    fn is_too_wide(&self) -> bool {
        self.members.len() > MAX_MEMBERS
            || self.members.iter().any(|member| member.spot.is_too_wide())
            || self.each.as_ref().is_some_and(|each| each.item.is_too_wide())
    }

    /// The iteration of `step`, with this scope if it is new.
    fn each(&mut self, step: &Step, scope: usize) -> &mut Each {
        self.below(&step.path).each.get_or_insert_with(|| {
            Box::new(Each {
                entries: step.entries,
                scope,
                item: Spot::default(),
                carried: Vec::new(),
            })
        })
    }

    fn below(&mut self, path: &[String]) -> &mut Spot {
        path.iter().fold(self, |spot, name| {
            let at = spot.members.iter().position(|member| member.name == *name);
            let at = at.unwrap_or_else(|| {
                spot.members.push(Member {
                    place: array_place(name),
                    name: name.clone(),
                    spot: Spot {
                        name: format!("{}/{name}", spot.name),
                        ..Spot::default()
                    },
                });
                spot.members.len() - 1
            });
            #[expect(clippy::indexing_slicing, reason = "found or pushed above")]
            let member = &mut spot.members[at];
            &mut member.spot
        })
    }
}

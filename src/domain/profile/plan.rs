//! What a message reads of a payload: a tree of places, compiled once, that fills a [`Table`] in one pass. Knows no points.

use serde::de::DeserializeSeed as _;

use super::Reject;
use super::def::{Packing, RecordsDef};
use super::place::{Step, array_place};
use super::scan::Walk;
use super::table::{Cell, Key, Row, Table};
use super::wire::bytes;
use super::wire::scalar::{Scalar, bad_value};

/// A place in the payload: which cells it fills, and the places below it.
#[derive(Debug, Default)]
pub(super) struct Spot {
    pub(super) slots: Vec<u16>,
    pub(super) members: Vec<Member>,
    pub(super) each: Option<Box<Each>>,
    packing: Option<Packing>,
    /// Its address as written, for messages.
    name: String,
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
}

/// Everything that a message reads of a payload.
#[derive(Debug, Default)]
pub(super) struct Plan {
    root: Spot,
    steps: Vec<Step>,
    /// By scope: how many cells a row has.
    widths: Vec<usize>,
    tags: Vec<Tag>,
    records: Option<RecordsDef>,
}

#[derive(Debug)]
struct Tag {
    bytes: Vec<u8>,
    name: String,
    length: usize,
}

impl Plan {
    /// A plan that reads nothing yet: the items of `steps`, bytes with these tags or records.
    pub(super) fn new(
        steps: Vec<Step>,
        tags: &[(String, usize)],
        records: Option<RecordsDef>,
    ) -> Result<Plan, String> {
        let mut plan = Plan {
            widths: vec![0; steps.len() + 1],
            steps,
            records,
            ..Plan::default()
        };
        for (name, length) in tags {
            let mut bytes = Vec::new();
            if bytes::hex(name, &mut bytes).is_none() || bytes.is_empty() {
                return Err(format!("tag {name:?} is no hexadecimal text, such as \"0367\""));
            }
            plan.tags.push(Tag {
                bytes,
                name: name.clone(),
                length: *length,
            });
        }
        if plan.records.is_some_and(|records| records.size == 0) {
            return Err("records have a size of at least 1".to_owned());
        }
        // The items are gone through even when nothing of them is read.
        plan.spot(plan.steps.len(), &[]);
        Ok(plan)
    }

    /// The innermost scope, whose rows are the items.
    pub(super) const fn leaf(&self) -> usize {
        self.steps.len()
    }

    /// The cell of the place at `path` in the items of `scope`.
    pub(super) fn cell(&mut self, scope: usize, path: &[String]) -> Result<u16, String> {
        let Some(width) = self.widths.get(scope).copied() else {
            return Err("the place is further out than the message goes".to_owned());
        };
        let spot = self.spot(scope, path);
        if let Some(slot) = spot.slots.first() {
            return Ok(*slot);
        }
        let cell = u16::try_from(width).map_err(|_| "the message reads too many places".to_owned())?;
        spot.slots.push(cell);
        if let Some(width) = self.widths.get_mut(scope) {
            *width += 1;
        }
        Ok(cell)
    }

    /// The text at `path` of the payload holds something.
    pub(super) fn unpack(&mut self, scope: usize, path: &[String], packing: Packing) {
        self.spot(scope, path).packing = Some(packing);
    }

    fn spot(&mut self, scope: usize, path: &[String]) -> &mut Spot {
        let steps = self.steps.get(..scope).unwrap_or_default();
        self.root.descend(steps, 1, path)
    }

    /// Reads `payload` as JSON into `table`.
    pub(super) fn json(&self, payload: &str, table: &mut Table) -> Result<(), Reject> {
        let row = table.begin(self.width(0));
        self.read_json(&self.root, row, payload, table)
    }

    fn read_json(&self, spot: &Spot, row: usize, text: &str, table: &mut Table) -> Result<(), Reject> {
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
        let row = table.begin(self.width(0));
        match packing {
            None => self.scalar(&self.root, row, payload, table),
            Some(packing) => self.unpacked((&self.root, row), payload, packing, table),
        }
        table.trouble.take().map_or(Ok(()), Err)
    }

    /// How many cells the rows of a scope have.
    pub(super) fn width(&self, scope: usize) -> usize {
        self.widths.get(scope).copied().unwrap_or_default()
    }

    /// Puts one value where it belongs.
    pub(super) fn scalar(&self, spot: &Spot, row: usize, scalar: Scalar<'_>, table: &mut Table) {
        if let Some(each) = &spot.each
            && !each.entries
            && !matches!(scalar, Scalar::Null)
        {
            if let Some(row) = table.item(each.row(row, Key::Index, 0), self.width(each.scope)) {
                self.scalar(&each.item, row, scalar, table);
            }
            return;
        }
        match (spot.packing, scalar) {
            (Some(packing), Scalar::Text(_)) => self.unpacked((spot, row), scalar, packing, table),
            (Some(_) | None, _) => table.set(row, &spot.slots, scalar),
        }
    }

    fn unpacked(&self, (spot, row): (&Spot, usize), scalar: Scalar<'_>, packing: Packing, table: &mut Table) {
        let bad = |wanted: &str| {
            let name = if spot.name.is_empty() {
                "payload"
            } else {
                &spot.name
            };
            bad_value(name, wanted, scalar)
        };
        let from = table.bytes.len();
        let outcome = match (packing, scalar) {
            (Packing::Bytes, Scalar::Bytes(bytes)) => {
                table.bytes.extend_from_slice(bytes);
                self.split(spot, row, from, table)
            }
            (Packing::Hex, Scalar::Text(text)) => match bytes::hex(text, &mut table.bytes) {
                Some(()) => self.split(spot, row, from, table),
                None => Err(bad("bytes in hexadecimal")),
            },
            (Packing::Base64, Scalar::Text(text)) => match bytes::base64(text, &mut table.bytes) {
                Some(()) => self.split(spot, row, from, table),
                None => Err(bad("bytes in base64")),
            },
            (Packing::Json, Scalar::Text(text)) => self.read_json(spot, row, text, table),
            (Packing::Base64Json, Scalar::Text(text)) => {
                let mut inner = Vec::new();
                match bytes::base64(text, &mut inner).map(|()| std::str::from_utf8(&inner)) {
                    Some(Ok(text)) => self.read_json(spot, row, text, table),
                    Some(Err(_)) | None => Err(bad("JSON in base64")),
                }
            }
            (Packing::Bytes | Packing::Hex | Packing::Base64 | Packing::Json | Packing::Base64Json, _) => {
                Err(bad("text"))
            }
        };
        if let Err(reject) = outcome {
            table.trouble.get_or_insert(reject);
        }
    }

    /// The bytes from `from` are what stands at `spot`: as a whole, as tagged values, as records.
    fn split(&self, spot: &Spot, row: usize, from: usize, table: &mut Table) -> Result<(), Reject> {
        let end = table.bytes.len();
        table.put(row, &spot.slots, Cell::Bytes(from, end));
        if !self.tags.is_empty() {
            self.tagged(spot, row, from, table)?;
        }
        let (Some(each), Some(records)) = (&spot.each, self.records) else {
            return Ok(());
        };
        let count = match records.count {
            None => usize::MAX,
            Some(at) => match table.bytes.get(from + at) {
                Some(count) => usize::from(*count),
                None => return Err(short()),
            },
        };
        let mut start = from + records.start;
        for index in 0..count {
            if records.count.is_none() && start >= end {
                break;
            }
            if start + records.size > end {
                return Err(short());
            }
            let Some(row) = table.item(each.row(row, Key::Index, index), self.width(each.scope)) else {
                return Ok(());
            };
            table.put(row, &each.item.slots, Cell::Bytes(start, start + records.size));
            start += records.size;
        }
        Ok(())
    }

    fn tagged(&self, spot: &Spot, row: usize, from: usize, table: &mut Table) -> Result<(), Reject> {
        let end = table.bytes.len();
        let mut at = from;
        while at < end {
            let rest = table.bytes.get(at..end).unwrap_or_default();
            let Some(tag) = self.tags.iter().find(|tag| rest.starts_with(&tag.bytes)) else {
                // How long an unknown value is nobody knows: what stands behind it cannot be read.
                return Err(Reject::BadValue {
                    point: "payload".to_owned(),
                    problem: format!("unknown tag at byte {}", at - from),
                });
            };
            let start = at + tag.bytes.len();
            if start + tag.length > end {
                return Err(short());
            }
            at = start + tag.length;
            if let Some(member) = spot.members.iter().find(|member| member.name == tag.name) {
                table.put(row, &member.spot.slots, Cell::Bytes(start, at));
            }
        }
        Ok(())
    }
}

fn short() -> Reject {
    Reject::BadValue {
        point: "payload".to_owned(),
        problem: "the bytes end too early".to_owned(),
    }
}

impl Each {
    /// The row of an item in that of `parent`.
    pub(super) const fn row(&self, parent: usize, key: Key, index: usize) -> Row {
        Row {
            scope: self.scope,
            parent,
            key,
            index,
        }
    }
}

impl Spot {
    /// The place at `path` below the items of `steps`; their number from `scope`.
    fn descend(&mut self, steps: &[Step], scope: usize, path: &[String]) -> &mut Spot {
        let Some((step, rest)) = steps.split_first() else {
            return self.below(path);
        };
        let each = self.below(&step.path).each.get_or_insert_with(|| {
            Box::new(Each {
                entries: step.entries,
                scope,
                item: Spot::default(),
            })
        });
        each.item.descend(rest, scope + 1, path)
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

//! What one pass over a payload found: rows of cells, one row an item. Scratch space, kept from message to message.

use super::Reject;
use super::unpack::Unread;
use super::wire::scalar::Scalar;

/// The most items of one message. A larger one is refused as a whole: half of it would be a lie.
pub(super) const MAX_ITEMS: usize = 2_048;

/// The cells of a payload.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Rows and where their cells begin.
    rows: Vec<(Row, usize)>,
    cells: Vec<Cell>,
    /// Which cells say something in a row of whatever scope, by [`mark`]: most that a message asks for stand nowhere.
    filled: u128,
    /// Texts of cells and keys.
    texts: String,
    /// Bytes of cells.
    pub(super) bytes: Vec<u8>,
    /// Why the payload cannot be used; found while reading it.
    pub(super) trouble: Option<Reject>,
    /// Why something in it could not be unpacked. No trouble to those who read what stands beside it.
    pub(super) unread: Option<Unread>,
    /// Bytes that hold JSON.
    pub(super) inner: Vec<u8>,
}

/// An item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// How deep it lies.
    pub(super) scope: usize,
    /// The row of the item around it.
    pub(super) parent: usize,
    /// What it is called.
    pub(super) key: Key,
    /// Its place among its siblings, from 0.
    pub(super) index: usize,
}

/// What an item is called.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    /// By its place.
    Index,
    /// By a name: bytes of the texts.
    Name(usize, usize),
}

/// A value found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell {
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(usize, usize),
    Bytes(usize, usize),
    Compound,
}

/// The mark of what stands in every row: its name, its place, the topic.
pub(super) const ALWAYS: u128 = 1 << 127;

/// The mark of a cell. Two may share one: without it nothing stands there, with it something may.
pub(super) const fn mark(slot: u16) -> u128 {
    1 << (slot % 127)
}

impl Table {
    /// Empties it, and opens the row of the payload itself.
    pub(super) fn begin(&mut self, width: usize) -> usize {
        self.rows.clear();
        self.cells.clear();
        self.filled = ALWAYS;
        self.texts.clear();
        self.bytes.clear();
        self.trouble = None;
        self.unread = None;
        let payload = Row {
            scope: 0,
            parent: 0,
            key: Key::Index,
            index: 0,
        };
        self.push(payload, width)
    }

    /// Opens the row of an item with as many cells, some of them with what its sibling before had. `None`: there are too
    /// many.
    pub(super) fn item(&mut self, row: Row, width: usize, carried: &[u16]) -> Option<usize> {
        if self.rows.len() > MAX_ITEMS {
            self.trouble = Some(Reject::TooManyItems(MAX_ITEMS));
            return None;
        }
        if carried.is_empty() {
            return Some(self.push(row, width));
        }
        let mut siblings = self.rows.iter().skip(row.parent + 1).rev();
        let sibling = siblings.find(|(other, _)| (other.scope, other.parent) == (row.scope, row.parent));
        let before = sibling.map(|(_, base)| *base);
        let opened = self.push(row, width);
        for slot in carried {
            let cell = before.and_then(|base| self.cells.get(base + usize::from(*slot)).copied());
            self.put(opened, Some(*slot), cell.unwrap_or(Cell::Absent));
        }
        Some(opened)
    }

    #[inline]
    fn push(&mut self, row: Row, width: usize) -> usize {
        let base = self.cells.len();
        self.cells.resize(base + width, Cell::Absent);
        self.rows.push((row, base));
        self.rows.len() - 1
    }

    /// Puts a value into a cell of a row, if there is one for it.
    #[inline]
    pub(super) fn set(&mut self, row: usize, slot: Option<u16>, scalar: Scalar<'_>) {
        if slot.is_none() {
            return;
        }
        let cell = match scalar {
            Scalar::Null => Cell::Null,
            Scalar::Bool(value) => Cell::Bool(value),
            Scalar::Int(value) => Cell::Int(value),
            Scalar::Unsigned(value) => Cell::Unsigned(value),
            Scalar::Float(value) => Cell::Float(value),
            Scalar::Compound => Cell::Compound,
            Scalar::Text(text) => {
                let (from, to) = self.keep(text);
                Cell::Text(from, to)
            }
            Scalar::Bytes(bytes) => {
                let from = self.bytes.len();
                self.bytes.extend_from_slice(bytes);
                Cell::Bytes(from, self.bytes.len())
            }
        };
        self.put(row, slot, cell);
    }

    /// Puts `cell` into a cell of a row, if there is one for it.
    #[inline]
    pub(super) fn put(&mut self, row: usize, slot: Option<u16>, cell: Cell) {
        let Some((slot, (_, base))) = slot.zip(self.rows.get(row)) else {
            return;
        };
        if let Some(place) = self.cells.get_mut(base + usize::from(slot)) {
            *place = cell;
            self.filled |= mark(slot);
        }
    }

    /// Keeps a text: its bytes.
    #[inline]
    pub(super) fn keep(&mut self, text: &str) -> (usize, usize) {
        let from = self.texts.len();
        self.texts.push_str(text);
        (from, self.texts.len())
    }

    /// The text of some bytes.
    pub(super) fn text(&self, from: usize, to: usize) -> &str {
        self.texts.get(from..to).unwrap_or_default()
    }

    /// How many rows there are.
    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// The scope of a row.
    #[inline]
    pub(super) fn scope(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, |(row, _)| row.scope)
    }

    /// Whether a cell with one of these marks may say something.
    #[inline]
    pub(super) const fn may_have(&self, marks: u128) -> bool {
        self.filled & marks != 0
    }

    /// The row `up` levels out of `row`.
    #[inline]
    pub(super) fn out(&self, row: usize, up: usize) -> usize {
        (0..up).fold(row, |row, _| self.rows.get(row).map_or(0, |(row, _)| row.parent))
    }

    /// Whether a value stands in a cell, other than null.
    #[inline]
    pub(super) fn has(&self, row: usize, slot: u16) -> bool {
        let cell = self
            .rows
            .get(row)
            .and_then(|(_, base)| self.cells.get(base + usize::from(slot)));
        !matches!(cell, None | Some(Cell::Absent | Cell::Null))
    }

    /// The value in a cell; `None`: nothing stood there.
    #[inline]
    pub(super) fn get(&self, row: usize, slot: u16) -> Option<Scalar<'_>> {
        let (_, base) = self.rows.get(row)?;
        Some(match *self.cells.get(base + usize::from(slot))? {
            Cell::Absent => return None,
            Cell::Null => Scalar::Null,
            Cell::Bool(value) => Scalar::Bool(value),
            Cell::Int(value) => Scalar::Int(value),
            Cell::Unsigned(value) => Scalar::Unsigned(value),
            Cell::Float(value) => Scalar::Float(value),
            Cell::Text(from, to) => Scalar::Text(self.text(from, to)),
            Cell::Bytes(from, to) => Scalar::Bytes(self.bytes.get(from..to).unwrap_or_default()),
            Cell::Compound => Scalar::Compound,
        })
    }

    /// What the item of a row is called.
    pub(super) fn key(&self, row: usize) -> Scalar<'_> {
        match self.rows.get(row).map(|(row, _)| row.key) {
            Some(Key::Name(from, to)) => Scalar::Text(self.text(from, to)),
            Some(Key::Index) | None => Scalar::Unsigned(self.index(row) as u64),
        }
    }

    /// The place of a row's item among its siblings, from 0.
    pub(super) fn index(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, |(row, _)| row.index)
    }
}

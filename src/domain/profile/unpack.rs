//! Texts, bytes and arrays of a payload that hold something themselves: unpacked into a [`Table`] on the way of a
//! [`Plan`]. Total: what does not unpack is noted, and the rest goes on.

use super::Reject;
use super::def::{FieldsDef, MessageDef, Packing, RecordsDef};
use super::plan::{Plan, Spot};
use super::table::{Cell, Key, Table};
use super::wire::bytes;
use super::wire::scalar::{Scalar, bad_value};

/// What is unpacked, and what is in it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Packed {
    places: Vec<(Vec<String>, Packing)>,
    tags: Vec<Tag>,
    records: Option<RecordsDef>,
    fields: FieldsDef,
}

/// Why something was not unpacked. Told when somebody asks: to most messages of a topic it is nothing.
#[derive(Debug)]
pub(super) enum Unread {
    /// A tag at this byte that nobody knows. How long its value is nobody knows either.
    Tag(usize),
    /// The bytes end too early.
    Short,
    /// What the text is not.
    Other(Reject),
}

impl From<Reject> for Unread {
    fn from(reject: Reject) -> Unread {
        Unread::Other(reject)
    }
}

impl Unread {
    /// As the message is rejected for it.
    pub(super) fn reject(&self) -> Reject {
        let problem = match self {
            Unread::Tag(at) => format!("unknown tag at byte {at}"),
            Unread::Short => "the bytes end too early".to_owned(),
            Unread::Other(reject) => return reject.clone(),
        };
        Reject::BadValue {
            point: "payload".to_owned(),
            problem,
        }
    }

    /// Whether it is about a value, and the rest of the payload is well-formed.
    pub(super) const fn is_value(&self) -> bool {
        matches!(
            self,
            Unread::Tag(_) | Unread::Short | Unread::Other(Reject::BadValue { .. })
        )
    }
}

#[derive(Debug, PartialEq)]
struct Tag {
    bytes: Vec<u8>,
    name: String,
    length: usize,
}

impl Plan {
    pub(super) fn unpacked(
        &self,
        (spot, row): (&Spot, usize),
        scalar: Scalar<'_>,
        packing: Packing,
        table: &mut Table,
    ) {
        let bad = |wanted: &str| {
            let name = if spot.name.is_empty() {
                "payload"
            } else {
                &spot.name
            };
            Unread::Other(bad_value(name, wanted, scalar))
        };
        let from = table.bytes.len();
        let outcome = match (packing, scalar) {
            (Packing::Bytes, Scalar::Bytes(bytes)) => {
                table.bytes.extend_from_slice(bytes);
                self.spread(spot, row, from, table)
            }
            (Packing::Hex, Scalar::Text(text)) => match bytes::hex(text, &mut table.bytes) {
                Some(()) => self.spread(spot, row, from, table),
                None => Err(bad("bytes in hexadecimal")),
            },
            (Packing::Base64, Scalar::Text(text)) => match bytes::base64(text, &mut table.bytes) {
                Some(()) => self.spread(spot, row, from, table),
                None => Err(bad("bytes in base64")),
            },
            (Packing::Json, Scalar::Text(text)) => {
                self.read_json(spot, row, text, table).map_err(Unread::Other)
            }
            (Packing::Base64Json, Scalar::Text(text)) => {
                let mut inner = std::mem::take(&mut table.inner);
                inner.clear();
                let outcome = match bytes::base64(text, &mut inner).map(|()| std::str::from_utf8(&inner)) {
                    Some(Ok(text)) => self.read_json(spot, row, text, table).map_err(Unread::Other),
                    Some(Err(_)) | None => Err(bad("JSON in base64")),
                };
                table.inner = inner;
                outcome
            }
            (Packing::Fields, Scalar::Text(text)) => self.fields((spot, row), text, table),
            (Packing::Octets | Packing::Registers, _) => Err(bad("an array of whole numbers")),
            (
                Packing::Bytes
                | Packing::Hex
                | Packing::Base64
                | Packing::Json
                | Packing::Base64Json
                | Packing::Fields,
                _,
            ) => Err(bad("text")),
        };
        if let Err(unread) = outcome {
            table.unread.get_or_insert(unread);
        }
    }

    /// The bytes from `from` are what stands at `spot`: as a whole, as tagged values, as records.
    fn spread(&self, spot: &Spot, row: usize, from: usize, table: &mut Table) -> Result<(), Unread> {
        let end = table.bytes.len();
        table.put(row, spot.slot, Cell::Bytes(from, end));
        let Some(packed) = &self.packed else {
            return Ok(());
        };
        if !packed.tags.is_empty() {
            packed.tagged(spot, row, from, table)?;
        }
        let (Some(each), Some(records)) = (&spot.each, packed.records) else {
            return Ok(());
        };
        let count = match records.count {
            None => usize::MAX,
            Some(at) => match table.bytes.get(from + at) {
                Some(count) => usize::from(*count),
                None => return Err(Unread::Short),
            },
        };
        let mut start = from + records.start;
        for index in 0..count {
            if records.count.is_none() && start >= end {
                break;
            }
            if start + records.size > end {
                return Err(Unread::Short);
            }
            let Some(row) = self.item(each, (row, Key::Index, index), table) else {
                return Ok(());
            };
            table.put(row, each.item.slot, Cell::Bytes(start, start + records.size));
            start += records.size;
        }
        Ok(())
    }

    /// Parts of a text: each at its number, and one with a name at its name too.
    fn fields(&self, (spot, row): (&Spot, usize), text: &str, table: &mut Table) -> Result<(), Unread> {
        let fields = self.packed.as_ref().map(|packed| &packed.fields);
        let Some(FieldsDef { between, pair }) = fields else {
            return Ok(());
        };
        let runs = between.contains(char::is_whitespace);
        let parts = text
            .trim()
            .split(|char: char| between.contains(char))
            .map(str::trim);
        let mut seen = 0_u128;
        for (index, part) in parts.filter(|part| !runs || !part.is_empty()).enumerate() {
            let named = part.split_once(pair.as_str()).filter(|_| !pair.is_empty());
            let (name, value) = named.map_or(("", part), |(name, value)| (name.trim(), value.trim()));
            let members = spot.members.iter().enumerate();
            let found = members.filter(|(_, member)| {
                member.place == Some(index) || (named.is_some() && member.name == name)
            });
            let mut is_member = false;
            for (at, member) in found {
                let bit = 1_u128 << (at & 127);
                if seen & bit != 0 {
                    return Err(Reject::DuplicateMember(member.name.clone()).into());
                }
                seen |= bit;
                is_member = true;
                self.scalar(&member.spot, row, Scalar::Text(value), table);
            }
            let Some(each) = spot.each.as_ref().filter(|_| !is_member) else {
                continue;
            };
            let key = if named.is_some() {
                let (from, to) = table.keep(name);
                Key::Name(from, to)
            } else {
                Key::Index
            };
            let Some(row) = self.item(each, (row, key, index), table) else {
                return Ok(());
            };
            self.scalar(&each.item, row, Scalar::Text(value), table);
        }
        Ok(())
    }

    /// The bytes from `from` were an array of numbers of so many bytes; `fit`: all of them were.
    pub(super) fn gathered(
        &self,
        (spot, row): (&Spot, usize),
        (from, width, fit): (usize, usize, bool),
        table: &mut Table,
    ) {
        let outcome = if fit {
            self.spread(spot, row, from, table)
        } else {
            let wanted = format!("whole numbers of {} bits", 8 * width);
            Err(Unread::Other(bad_value(&spot.name, &wanted, Scalar::Compound)))
        };
        if let Err(unread) = outcome {
            table.unread.get_or_insert(unread);
        }
    }
}

impl Spot {
    /// How many bytes each number of the array here stands for, if it stands for bytes.
    pub(super) const fn gathers(&self) -> Option<usize> {
        match self.packing {
            Some(Packing::Octets) => Some(1),
            Some(Packing::Registers) => Some(2),
            Some(
                Packing::Json
                | Packing::Hex
                | Packing::Base64
                | Packing::Base64Json
                | Packing::Bytes
                | Packing::Fields,
            )
            | None => None,
        }
    }
}

/// Puts a number of `width` bytes, signed or not, behind `into`; `false`: it is none.
pub(super) fn gather(number: Option<i64>, width: usize, into: &mut Vec<u8>) -> bool {
    let Some(number) = number else {
        return false;
    };
    match width {
        1 => match (u8::try_from(number), i8::try_from(number)) {
            (Ok(byte), _) => into.push(byte),
            (_, Ok(byte)) => into.push(byte.cast_unsigned()),
            (Err(_), Err(_)) => return false,
        },
        _ => match (u16::try_from(number), i16::try_from(number)) {
            (Ok(word), _) => into.extend_from_slice(&word.to_be_bytes()),
            (_, Ok(word)) => into.extend_from_slice(&word.to_be_bytes()),
            (Err(_), Err(_)) => return false,
        },
    }
    true
}

impl Packed {
    /// The text at `path` holds something.
    pub(super) fn add(&mut self, path: &[String], packing: Packing) {
        let place = (path.to_vec(), packing);
        if !self.places.contains(&place) {
            self.places.push(place);
        }
    }

    /// What the message says of bytes and texts. The error says what to write instead.
    pub(super) fn split(&mut self, message: &MessageDef) -> Result<(), String> {
        let mut tags = Vec::new();
        for (name, length) in &message.tags {
            let mut bytes = Vec::new();
            if bytes::hex(name, &mut bytes).is_none() || bytes.is_empty() {
                return Err(format!("tag {name:?} is no hexadecimal text, such as \"0367\""));
            }
            tags.push(Tag {
                bytes,
                name: name.clone(),
                length: *length,
            });
        }
        if message.records.is_some_and(|records| records.size == 0) {
            return Err("records have a size of at least 1".to_owned());
        }
        let fields = message.fields.clone().unwrap_or_default();
        if fields.between.is_empty() {
            return Err("`fields` needs the characters that stand `between` two of them".to_owned());
        }
        self.tags = tags;
        self.records = message.records;
        self.fields = fields;
        Ok(())
    }

    fn tagged(&self, spot: &Spot, row: usize, from: usize, table: &mut Table) -> Result<(), Unread> {
        let end = table.bytes.len();
        let mut at = from;
        while at < end {
            let rest = table.bytes.get(at..end).unwrap_or_default();
            let Some(tag) = self.tags.iter().find(|tag| rest.starts_with(&tag.bytes)) else {
                return Err(Unread::Tag(at - from));
            };
            let start = at + tag.bytes.len();
            if start + tag.length > end {
                return Err(Unread::Short);
            }
            at = start + tag.length;
            if let Some(member) = spot.members.iter().find(|member| member.name == tag.name) {
                table.put(row, member.spot.slot, Cell::Bytes(start, at));
            }
        }
        Ok(())
    }
}

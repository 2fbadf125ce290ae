//! One pass over JSON: walks the bytes along a [`Plan`] and fills a [`Table`]. No value tree is built.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::Reject;
use super::json::Skip;
use super::plan::{Each, Member, Plan, Spot};
use super::table::{Key, Table};
use super::unpack::gather;
use super::wire::scalar::Scalar;

/// Reads the value at `spot` into `row`.
pub(super) struct Walk<'n> {
    pub(super) plan: &'n Plan,
    pub(super) spot: &'n Spot,
    pub(super) row: usize,
    pub(super) table: &'n mut Table,
}

impl Walk<'_> {
    #[inline]
    fn scalar<E: serde::de::Error>(self, scalar: Scalar<'_>) -> Result<(), E> {
        self.plan.scalar(self.spot, self.row, scalar, self.table);
        match self.table.trouble {
            Some(_) => Err(E::custom("not to be used")),
            None => Ok(()),
        }
    }

    /// The item of an iteration that begins here.
    fn item<E: serde::de::Error>(&mut self, each: &Each, key: Key, index: usize) -> Result<usize, E> {
        self.plan
            .item(each, (self.row, key, index), self.table)
            .ok_or_else(|| E::custom("too many items"))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Scalar::Unsigned(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar(Scalar::Null)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let spot = self.spot;
        if let Some(each) = &spot.each
            && !each.entries
        {
            let row = self.item(each, Key::Index, 0)?;
            let item = Walk {
                spot: &each.item,
                row,
                ..self
            };
            return item.visit_map(map);
        }
        self.table.set(self.row, spot.slot, Scalar::Compound);
        let mut seen = 0_u128;
        let mut expected = 0;
        let mut index = 0;
        loop {
            let key = Name {
                spot,
                expected,
                table: self.table,
            };
            let Some(found) = map.next_key_seed(key)? else {
                return Ok(());
            };
            let (spot, row) = match (found, &spot.each) {
                (Found::Member(at, member), _) => {
                    let bit = 1_u128 << (at & 127);
                    if seen & bit != 0 {
                        self.table.trouble = Some(Reject::DuplicateMember(member.name.clone()));
                        return Err(A::Error::custom("a member occurs twice"));
                    }
                    seen |= bit;
                    expected = at + 1;
                    (&member.spot, self.row)
                }
                (Found::Entry(from, to), Some(each)) => {
                    let row = self.item(each, Key::Name(from, to), index)?;
                    index += 1;
                    (&each.item, row)
                }
                (Found::Entry(..) | Found::Nothing, _) => {
                    map.next_value_seed(Skip)?;
                    continue;
                }
            };
            map.next_value_seed(Walk {
                plan: self.plan,
                spot,
                row,
                table: self.table,
            })?;
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let spot = self.spot;
        if let Some(width) = spot.gathers() {
            let from = self.table.bytes.len();
            let mut fit = true;
            while let Some(number) = seq.next_element_seed(Whole)? {
                fit = fit && gather(number, width, &mut self.table.bytes);
            }
            self.plan
                .gathered((spot, self.row), (from, width, fit), self.table);
            return Ok(());
        }
        self.table.set(self.row, spot.slot, Scalar::Compound);
        for place in 0.. {
            let member = spot.members.iter().find(|member| member.place == Some(place));
            let more = match (member, &spot.each) {
                (Some(member), _) => seq.next_element_seed(Walk {
                    plan: self.plan,
                    spot: &member.spot,
                    row: self.row,
                    table: self.table,
                })?,
                (None, Some(each)) => seq.next_element_seed(Item {
                    walk: Walk {
                        plan: self.plan,
                        spot,
                        row: self.row,
                        table: self.table,
                    },
                    each,
                    index: place,
                })?,
                (None, None) => seq.next_element_seed(Skip)?,
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// An item of an array: its row is opened when it is known to be there.
struct Item<'n> {
    walk: Walk<'n>,
    each: &'n Each,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, json: D) -> Result<(), D::Error> {
        let row = self.walk.item(self.each, Key::Index, self.index)?;
        let item = Walk {
            spot: &self.each.item,
            row,
            ..self.walk
        };
        item.deserialize(json)
    }
}

/// A whole number, or `None` for anything else.
struct Whole;

impl<'de> DeserializeSeed<'de> for Whole {
    type Value = Option<i64>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<i64>, E> {
        Ok(Some(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<i64>, E> {
        Ok(i64::try_from(value).ok())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<i64>, A::Error> {
        Skip.visit_map(map).map(|()| None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Option<i64>, A::Error> {
        Skip.visit_seq(seq).map(|()| None)
    }
}

/// A member's key.
enum Found<'n> {
    /// One that is read.
    Member(usize, &'n Member),
    /// An item, by the bytes of its name.
    Entry(usize, usize),
    /// Nothing that anybody asked for.
    Nothing,
}

/// Finds a member's key among those read. Devices send their members in one order mostly, so the search starts behind
/// the last hit.
struct Name<'n, 't> {
    spot: &'n Spot,
    expected: usize,
    table: &'t mut Table,
}

impl<'de, 'n> DeserializeSeed<'de> for Name<'n, '_> {
    type Value = Found<'n>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Name<'n, '_> {
    type Value = Found<'n>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let members = &self.spot.members;
        let found = match members.get(self.expected) {
            Some(member) if member.name == name => Some(self.expected),
            Some(_) | None => members.iter().position(|member| member.name == name),
        };
        let found = found.and_then(|at| Some((at, members.get(at)?)));
        Ok(match (found, &self.spot.each) {
            (Some((at, member)), _) => Found::Member(at, member),
            (None, Some(_)) => {
                let (from, to) = self.table.keep(name);
                Found::Entry(from, to)
            }
            (None, None) => Found::Nothing,
        })
    }
}

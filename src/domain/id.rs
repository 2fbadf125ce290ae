//! Identifiers derived from (gateway, input sequence, ordinal), never random: a replay of the journal makes
//! the same alarms and notices again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::time::Timestamp;

/// An alarm, event or notice identifier: 26 characters of Crockford base 32, sorted by time (the ULID form).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Ulid);

impl Id {
    /// The id of the `ordinal`-th thing that input `sequence` of `gateway` made, at `at`. From the highest bit: 48 bits
    /// of time in milliseconds, 24 of the gateway, 40 of the sequence, 16 of the ordinal. The upper half of an ordinal,
    /// which few inputs need, is laid over the upper 16 bits of the sequence: all ordinals of one input differ, and so
    /// do those of any 2^24 inputs in a row.
    pub fn derive(gateway: GatewayHash, sequence: u64, ordinal: u32, at: Timestamp) -> Id {
        let sequence = sequence & 0x00FF_FFFF_FFFF;
        let [upper, lower] = [ordinal >> 16, ordinal & 0xFFFF].map(u128::from);
        let unique = (u128::from(gateway.0) << 56) | ((u128::from(sequence) << 16) ^ (upper << 40)) | lower;
        Id(Ulid::from_parts(at.0.max(0).unsigned_abs(), unique))
    }

    /// The 128 bits, for storage.
    pub const fn bits(self) -> u128 {
        self.0.0
    }

    /// The id with these 128 bits.
    pub const fn from_bits(bits: u128) -> Id {
        Id(Ulid(bits))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.0)
    }
}

impl FromStr for Id {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(text).map(Id)
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&self.0)
        } else {
            self.0.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Id::from_bits)
        }
    }
}

/// 24 bits that stand for a gateway's name inside an [`Id`], so that gateways sharing a database do not collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayHash(u32);

impl GatewayHash {
    /// FNV-1a of the gateway's name, folded to 24 bits: fixed for all time, unlike a hasher of the library's.
    pub fn of(name: &str) -> GatewayHash {
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        GatewayHash((hash >> 24) ^ (hash & 0x00FF_FFFF))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{GatewayHash, Id};
    use crate::domain::time::Timestamp;

    const AT: Timestamp = Timestamp(1_767_225_600_000);

    #[test]
    fn ids_differ_by_ordinal_by_input_and_by_gateway() {
        let sequences = [0, 1, 2, 0xFFFF, 0x1_0000, 0xFF_FFFE, 0xFF_FFFF];
        let ordinals = [0, 1, 0xFFFF, 0x1_0000, 0x1_0001, 0x2_0000, 99_999, u32::MAX];
        let mut ids = BTreeSet::new();
        for gateway in ["a", "b"] {
            for sequence in sequences {
                for ordinal in ordinals {
                    ids.insert(Id::derive(GatewayHash::of(gateway), sequence, ordinal, AT));
                }
            }
        }
        assert_eq!(ids.len(), 2 * sequences.len() * ordinals.len());
    }

    #[test]
    fn a_later_time_sorts_later_whatever_else_differs() {
        let (first, second) = (GatewayHash::of("a"), GatewayHash::of("b"));
        for (one, other) in [(first, second), (second, first)] {
            let early = Id::derive(one, 0x00FF_FFFF_FFFF, u32::MAX, AT);
            assert!(early < Id::derive(other, 0, 0, Timestamp(AT.0 + 1)));
        }
    }
}

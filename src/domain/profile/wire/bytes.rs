//! Bytes: hexadecimal and base64 texts, and numbers at places in them. Never reads beyond the end.

use base64::Engine as _;

use super::scalar::Scalar;
use crate::domain::profile::def::{ByteField, Coding};

/// Puts the bytes that `text` spells behind `into`: pairs of digits in any case, with spaces, `:` or `-` between.
/// `None`: it spells none.
pub(in crate::domain::profile) fn hex(text: &str, into: &mut Vec<u8>) -> Option<()> {
    let text = text.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let mut high = None;
    for char in text.chars() {
        match (char.to_digit(16).and_then(|digit| u8::try_from(digit).ok()), high) {
            (Some(digit), None) => high = Some(digit),
            (Some(digit), Some(first)) => {
                into.push(first << 4 | digit);
                high = None;
            }
            (None, None) if char.is_ascii_whitespace() || char == ':' || char == '-' => {}
            (None, _) => return None,
        }
    }
    high.is_none().then_some(())
}

/// Puts the bytes that `text` spells behind `into`: base64 or base64url, padded or not.
pub(in crate::domain::profile) fn base64(text: &str, into: &mut Vec<u8>) -> Option<()> {
    use base64::alphabet;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let text = text.trim();
    let engine = if text.contains(['-', '_']) {
        &URL
    } else {
        &STANDARD
    };
    engine.decode_vec(text, into).ok()
}

/// The number that `field` names in `bytes`; `None`: the bytes end before it, or are no BCD.
pub(in crate::domain::profile) fn number(field: ByteField, bytes: &[u8]) -> Option<Scalar<'static>> {
    let start = match usize::try_from(field.byte) {
        Ok(start) => start,
        Err(_) => bytes
            .len()
            .checked_sub(usize::try_from(field.byte.unsigned_abs()).ok()?)?,
    };
    let bytes = bytes.get(start..start.checked_add(field.width)?)?;
    let join = |raw: u64, byte: &u8| raw << 8 | u64::from(*byte);
    let word = |raw: u64, word: &[u8]| word.iter().fold(raw, join);
    let raw = if field.swapped {
        bytes.chunks(2).rev().fold(0, word)
    } else if field.little {
        bytes.iter().rev().fold(0, join)
    } else {
        bytes.iter().fold(0, join)
    };
    Some(match (field.coding, field.width) {
        (Coding::Unsigned, _) => Scalar::Unsigned(raw),
        (Coding::Signed, width) => {
            let unused = 64 - 8 * u32::try_from(width.clamp(1, 8)).ok()?;
            Scalar::Int((raw << unused).cast_signed() >> unused)
        }
        (Coding::Float, 4) => Scalar::Float(f64::from(f32::from_bits(u32::try_from(raw).ok()?))),
        (Coding::Float, _) => Scalar::Float(f64::from_bits(raw)),
        (Coding::Bcd, _) => {
            let mut value = 0_u64;
            for at in (0..2 * field.width).rev() {
                let digit = raw >> (4 * at) & 0xF;
                if digit > 9 {
                    return None;
                }
                value = value.checked_mul(10)?.checked_add(digit)?;
            }
            Scalar::Unsigned(value)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(byte: i32, width: usize, little: bool, coding: Coding) -> ByteField {
        ByteField {
            byte,
            width,
            little,
            swapped: false,
            coding,
        }
    }

    #[test]
    fn texts_spell_bytes() {
        let table = [
            ("01ff", Some(vec![1, 255])),
            (" 0x01 FF:7a-00 ", Some(vec![1, 255, 0x7a, 0])),
            ("", Some(vec![])),
            ("1", None),
            ("1 f", None),
            ("zz", None),
        ];
        for (text, expected) in table {
            let mut bytes = Vec::new();
            assert_eq!(hex(text, &mut bytes).map(|()| bytes), expected, "{text}");
        }
        for (text, expected) in [
            ("qg==", Some(vec![0xaa])),
            ("qg", Some(vec![0xaa])),
            ("-_8", Some(vec![0xfb, 0xff])),
            ("q", None),
        ] {
            let mut bytes = Vec::new();
            assert_eq!(base64(text, &mut bytes).map(|()| bytes), expected, "{text}");
        }
    }

    #[test]
    fn fields_are_numbers() {
        let bytes = [0x12, 0x34, 0xff, 0xfe, 0x41, 0xc8, 0, 0];
        let table = [
            (
                field(0, 2, false, Coding::Unsigned),
                Some(Scalar::Unsigned(0x1234)),
            ),
            (
                field(0, 2, true, Coding::Unsigned),
                Some(Scalar::Unsigned(0x3412)),
            ),
            (field(2, 2, false, Coding::Signed), Some(Scalar::Int(-2))),
            (field(2, 1, false, Coding::Signed), Some(Scalar::Int(-1))),
            (field(4, 4, false, Coding::Float), Some(Scalar::Float(25.0))),
            (field(0, 2, false, Coding::Bcd), Some(Scalar::Unsigned(1234))),
            (field(2, 1, false, Coding::Bcd), None),
            (field(-1, 1, false, Coding::Unsigned), Some(Scalar::Unsigned(0))),
            (field(-9, 1, false, Coding::Unsigned), None),
            (field(7, 2, false, Coding::Unsigned), None),
            (
                field(0, 8, false, Coding::Signed),
                Some(Scalar::Int(0x1234_fffe_41c8_0000)),
            ),
        ];
        for (field, expected) in table {
            assert_eq!(number(field, &bytes), expected, "{field:?}");
        }
    }
}

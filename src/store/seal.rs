//! A seal around what the store keeps as bytes: the form they are in and their CRC-32, so that a flipped bit is found
//! before it is believed. Knows nothing of what is inside.

/// How many bytes a seal takes.
const BYTES: usize = 5;

/// Why sealed bytes cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    /// They are not what was written.
    #[error("the bytes are damaged: their checksum does not fit")]
    Damaged,
    /// Another version of ninewatch wrote them.
    #[error("the bytes are in form {0}, which this version does not know")]
    Form(u8),
}

/// `bytes`, in the form `form`, under a seal.
pub(super) fn seal(form: u8, bytes: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(BYTES + bytes.len());
    sealed.push(form);
    sealed.extend_from_slice(&checksum(form, bytes).to_be_bytes());
    sealed.extend_from_slice(bytes);
    sealed
}

/// What is under a seal, when it is whole and in the form `form`.
pub(super) fn open(form: u8, sealed: &[u8]) -> Result<&[u8], SealError> {
    let (head, bytes) = sealed.split_first_chunk::<BYTES>().ok_or(SealError::Damaged)?;
    let [found, sum @ ..] = *head;
    if u32::from_be_bytes(sum) != checksum(found, bytes) {
        return Err(SealError::Damaged);
    }
    if found != form {
        return Err(SealError::Form(found));
    }
    Ok(bytes)
}

fn checksum(form: u8, bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[form]);
    sum.update(bytes);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SealError, open, seal};

    proptest! {
        #[test]
        fn every_flipped_bit_is_found(bytes in proptest::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>()) {
            let sealed = seal(7, &bytes);
            prop_assert_eq!(open(7, &sealed), Ok(bytes.as_slice()));
            prop_assert_eq!(open(8, &sealed), Err(SealError::Form(7)));
            let mut flipped = sealed.clone();
            let bit = at.index(flipped.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open(7, &flipped), Err(SealError::Damaged));
            prop_assert_eq!(open(7, &sealed[..sealed.len() - 1]), Err(SealError::Damaged));
        }
    }
}

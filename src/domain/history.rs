//! What is kept of the readings: samples of points, packed by the run. Says nothing of where they are kept.

use serde::{Deserialize, Serialize};

use super::device::DeviceIndex;
use super::kind::ValueType;
use super::time::Timestamp;

/// A point's number in the history: given at its first sight and never reused, so that a sample keeps its meaning when
/// the kinds change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PointNumber(pub u16);

/// What a [`PointNumber`] stands for. A point whose type of value changes gets a new number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// Its number.
    pub number: PointNumber,
    /// The device kind's id.
    pub kind: String,
    /// The point's id.
    pub point: String,
    /// What its values mean.
    pub value: ValueType,
}

/// One kept value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Whose it is.
    pub device: DeviceIndex,
    /// Of what.
    pub point: PointNumber,
    /// When it was so: the device's time where that is believed, else the time of receipt.
    pub at: Timestamp,
    /// The number; bool as 0 or 1, enum as the place of its word.
    pub value: f64,
}

/// A run of samples on its way into the history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    bytes: Vec<u8>,
    count: u32,
    last: Timestamp,
    span: Option<(Timestamp, Timestamp)>,
}

impl Samples {
    /// Appends a sample.
    ///
    /// # Errors
    /// When it cannot be serialised; nothing of it is kept then.
    pub fn push(&mut self, sample: &Sample) -> Result<(), HistoryError> {
        let packed = Sample {
            at: Timestamp(sample.at.0.wrapping_sub(self.last.0)),
            ..*sample
        };
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(&packed, bytes).map_err(HistoryError)?;
        self.count += 1;
        self.last = sample.at;
        self.span = Some(match self.span {
            None => (sample.at, sample.at),
            Some((from, to)) => (from.min(sample.at), to.max(sample.at)),
        });
        Ok(())
    }

    /// How many there are.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The earliest and the latest instant among them; `None` when there is none.
    pub const fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.span
    }

    /// The packed samples.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Samples that cannot be packed or unpacked.
#[derive(Debug, thiserror::Error)]
#[error("samples of the history cannot be packed or read: {0}")]
pub struct HistoryError(#[source] postcard::Error);

/// The samples of a run in their order; it ends at the first that cannot be read.
pub fn samples(bytes: &[u8]) -> impl Iterator<Item = Result<Sample, HistoryError>> {
    let mut rest = bytes;
    let mut last = Timestamp::default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match postcard::take_from_bytes::<Sample>(rest) {
            Ok((packed, tail)) => {
                rest = tail;
                last.0 = last.0.wrapping_add(packed.at.0);
                Some(Ok(Sample { at: last, ..packed }))
            }
            Err(error) => {
                rest = &[];
                Some(Err(HistoryError(error)))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::device::DeviceIndex;
    use super::super::time::Timestamp;
    use super::{PointNumber, Sample, Samples, samples};

    fn any_sample() -> impl Strategy<Value = Sample> {
        (any::<u32>(), any::<u16>(), any::<i64>(), any::<f64>()).prop_map(|(device, point, at, value)| {
            Sample {
                device: DeviceIndex(device),
                point: PointNumber(point),
                at: Timestamp(at),
                value: if value.is_nan() { 0.0 } else { value },
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(kept in proptest::collection::vec(any_sample(), 0..50)) {
            let mut packed = Samples::default();
            for sample in &kept {
                packed.push(sample).unwrap();
            }
            let back: Result<Vec<Sample>, _> = samples(packed.bytes()).collect();
            prop_assert_eq!(back.unwrap(), kept.clone());
            prop_assert_eq!(packed.count() as usize, kept.len());
            let span = kept.iter().map(|sample| sample.at).min().zip(kept.iter().map(|sample| sample.at).max());
            prop_assert_eq!(packed.span(), span);
        }

        #[test]
        fn damaged_bytes_end_in_an_error_not_in_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(samples(&bytes).count() <= bytes.len());
        }
    }
}

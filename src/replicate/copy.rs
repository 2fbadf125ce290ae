//! Rows in PostgreSQL's binary COPY format, encoded once, so that any run of them can be sent. Pure: sends nothing.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::domain::time::Timestamp;

/// The signature, no flags, no header extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// No more rows.
const TRAILER: i16 = -1;

/// 2000-01-01, from which PostgreSQL counts microseconds, in milliseconds since 1970.
const EPOCH_MS: i64 = 946_684_800_000;

/// Rows of one table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    bytes: BytesMut,
    ends: Vec<usize>,
}

impl Rows {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Appends a row of `columns` columns, which `write` must write, all of them.
    pub(super) fn push(&mut self, columns: i16, write: impl FnOnce(&mut Row<'_>)) {
        self.bytes.put_i16(columns);
        write(&mut Row(&mut self.bytes));
        self.ends.push(self.bytes.len());
    }

    /// The rows of `range` as a whole COPY stream.
    pub(super) fn stream(&self, range: Range<usize>) -> Bytes {
        let end_of = |rows: usize| rows.checked_sub(1).and_then(|last| self.ends.get(last)).copied();
        let (start, end) = (end_of(range.start).unwrap_or(0), end_of(range.end).unwrap_or(0));
        let rows = self.bytes.get(start..end).unwrap_or_default();
        let mut stream = BytesMut::with_capacity(HEADER.len() + rows.len() + 2);
        stream.put_slice(HEADER);
        stream.put_slice(rows);
        stream.put_i16(TRAILER);
        stream.freeze()
    }
}

/// A row being written, column by column.
#[derive(Debug)]
pub(super) struct Row<'a>(&'a mut BytesMut);

impl Row<'_> {
    /// `boolean`.
    pub(super) fn boolean(&mut self, value: bool) {
        self.0.put_i32(1);
        self.0.put_u8(u8::from(value));
    }

    /// `integer`.
    pub(super) fn integer(&mut self, value: i32) {
        self.0.put_i32(4);
        self.0.put_i32(value);
    }

    /// `bigint`.
    pub(super) fn bigint(&mut self, value: i64) {
        self.0.put_i32(8);
        self.0.put_i64(value);
    }

    /// `double precision`.
    pub(super) fn double(&mut self, value: f64) {
        self.0.put_i32(8);
        self.0.put_f64(value);
    }

    /// `timestamptz`. What lies beyond PostgreSQL's years is refused there.
    pub(super) fn instant(&mut self, at: Timestamp) {
        self.bigint(at.0.saturating_sub(EPOCH_MS).saturating_mul(1_000));
    }

    /// `text` or `json`.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// `bytea`.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        // A longer one than PostgreSQL can take (1 GB) is refused there.
        self.0.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.0.put_slice(bytes);
    }

    /// NULL.
    pub(super) fn null(&mut self) {
        self.0.put_i32(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_run_of_rows_is_a_stream_of_its_own() {
        let mut rows = Rows::default();
        for number in 0..3 {
            rows.push(2, |row| {
                row.integer(number);
                row.text("ab");
            });
        }
        let row = |number: u8| -> Vec<u8> {
            let mut bytes = vec![0, 2, 0, 0, 0, 4, 0, 0, 0, number];
            bytes.extend([0, 0, 0, 2, b'a', b'b']);
            bytes
        };
        for (range, numbers) in [
            (0..3, vec![0, 1, 2]),
            (1..2, vec![1]),
            (2..3, vec![2]),
            (1..1, vec![]),
        ] {
            let mut expected = HEADER.to_vec();
            for number in numbers {
                expected.extend(row(number));
            }
            expected.extend([0xFF, 0xFF]);
            assert_eq!(rows.stream(range.clone()), expected, "{range:?}");
        }
        assert_eq!(HEADER.len(), 19);
    }

    #[test]
    fn instants_count_from_2000_and_never_wrap() {
        let encoded = |at: i64| {
            let mut rows = Rows::default();
            rows.push(1, |row| row.instant(Timestamp(at)));
            let stream = rows.stream(0..1);
            i64::from_be_bytes(stream[25..33].try_into().unwrap())
        };
        assert_eq!(encoded(EPOCH_MS), 0);
        assert_eq!(encoded(EPOCH_MS + 1), 1_000);
        assert_eq!(encoded(EPOCH_MS - 1), -1_000);
        assert_eq!(encoded(i64::MAX), i64::MAX);
        assert_eq!(encoded(i64::MIN), i64::MIN);
    }
}

//! What the store knows of devices: who was seen, their newest values and their past. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Row, params};

use super::{StoreError, StoreReader, segments};
use crate::domain::device::{DeviceIndex, DeviceKey};
use crate::domain::history::{HistoryPoint, PointNumber, Sample};
use crate::domain::time::Timestamp;

/// Surplus samples are dropped once there are so many, and then each time their number has doubled.
const LEAST_FULL: usize = 1_000;

/// Which devices to list, in the order of venue, kind and id.
#[derive(Debug, Clone, Default)]
pub struct DeviceFilter {
    /// Only those of this venue.
    pub venue: Option<String>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those with this id.
    pub device: Option<String>,
    /// Only those behind this one.
    pub after: Option<DeviceKey>,
    /// At most so many.
    pub limit: u32,
}

/// A device that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its number.
    pub number: DeviceIndex,
    /// Who it is.
    pub key: DeviceKey,
    /// When it was seen first.
    pub first_seen: Timestamp,
}

/// Which samples to read.
#[derive(Debug, Clone)]
pub struct SampleQuery {
    /// Whose.
    pub device: DeviceIndex,
    /// Of what.
    pub points: BTreeSet<PointNumber>,
    /// Not before.
    pub from: Timestamp,
    /// Before.
    pub to: Timestamp,
    /// At most so many, at least 1; but all of an instant of which there is one.
    pub limit: usize,
}

/// Samples in the order of time, then of points.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplePage {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Up to which instant, itself excluded, they are all there are; the end of the query when that is all.
    pub until: Timestamp,
}

impl StoreReader {
    /// The devices that `filter` lets through.
    pub async fn devices(&self, filter: DeviceFilter) -> Result<Vec<DeviceRow>, StoreError> {
        self.ask("read devices", move |connection| devices(connection, &filter))
            .await
    }

    /// The venues of the devices that were seen, with the number of these.
    pub async fn venues(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.ask("read venues", |connection| {
            connection
                .prepare_cached("SELECT venue, count(*) FROM device WHERE venue <> '' GROUP BY venue")?
                .query_map([], |row| Ok((row.get(0)?, super::schema::from_sql(row.get(1)?))))?
                .collect()
        })
        .await
    }

    /// Every point that there ever was.
    pub async fn points(&self) -> Result<Vec<HistoryPoint>, StoreError> {
        self.ask("read points", |connection| {
            connection
                .prepare_cached("SELECT number, kind, point, value FROM point ORDER BY number")?
                .query_map([], point)?
                .collect()
        })
        .await
    }

    /// The newest sample of each point of each of `devices`.
    pub async fn latest(
        &self,
        devices: BTreeSet<DeviceIndex>,
    ) -> Result<BTreeMap<DeviceIndex, Vec<Sample>>, StoreError> {
        self.ask("read the newest values", move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut newest: BTreeMap<DeviceIndex, BTreeMap<PointNumber, Sample>> = BTreeMap::new();
            let mut note = |sample: Sample| {
                segments::note_newest(newest.entry(sample.device).or_default(), sample);
            };
            for device in &devices {
                segments::latest(&snapshot, *device)?
                    .into_iter()
                    .for_each(&mut note);
            }
            each_unsorted(&snapshot, (i64::MIN, i64::MAX), |sample| {
                if devices.contains(&sample.device) {
                    note(sample);
                }
            })?;
            let newest = newest.into_iter();
            Ok(newest
                .map(|(device, points)| (device, points.into_values().collect()))
                .collect())
        })
        .await
    }

    /// The samples that `query` asks for. One that was stored twice, because its message came twice, is told once.
    pub async fn samples(&self, query: SampleQuery) -> Result<SamplePage, StoreError> {
        self.ask("read the history", move |connection| samples(connection, &query))
            .await
    }
}

fn devices(connection: &Connection, filter: &DeviceFilter) -> rusqlite::Result<Vec<DeviceRow>> {
    let after = filter
        .after
        .as_ref()
        .map(|key| (&key.venue, &key.kind, &key.device));
    let (venue, kind, device) = after.map_or((None, None, None), |(venue, kind, device)| {
        (Some(venue), Some(kind), Some(device))
    });
    let query = match (&filter.device, &filter.venue) {
        // Spelt out, so that each form finds its index.
        (Some(_), _) => "WHERE device = ?1 AND (?2 IS NULL OR venue = ?2)",
        (None, Some(_)) => "WHERE ?1 IS NULL AND venue = ?2",
        (None, None) => "WHERE ?1 IS NULL AND ?2 IS NULL",
    };
    let query = format!(
        "SELECT number, venue, kind, device, first_seen FROM device {query} AND (?3 IS NULL OR kind = ?3)
         AND (?4 IS NULL OR (venue, kind, device) > (?4, ?5, ?6)) ORDER BY venue, kind, device LIMIT ?7"
    );
    connection
        .prepare_cached(&query)?
        .query_map(
            params![
                filter.device,
                filter.venue,
                filter.kind,
                venue,
                kind,
                device,
                filter.limit
            ],
            |row| {
                Ok(DeviceRow {
                    number: DeviceIndex(row.get(0)?),
                    key: DeviceKey {
                        venue: row.get(1)?,
                        kind: row.get(2)?,
                        device: row.get(3)?,
                    },
                    first_seen: Timestamp(row.get(4)?),
                })
            },
        )?
        .collect()
}

fn point(row: &Row<'_>) -> rusqlite::Result<HistoryPoint> {
    let value: String = row.get(3)?;
    let value = serde_json::from_str(&value).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, error.into())
    })?;
    Ok(HistoryPoint {
        number: PointNumber(row.get(0)?),
        kind: row.get(1)?,
        point: row.get(2)?,
        value,
    })
}

fn samples(connection: &Connection, query: &SampleQuery) -> rusqlite::Result<SamplePage> {
    // Of one moment: what leaves the unsorted rows is in a segment.
    let snapshot = connection.unchecked_transaction()?;
    let mut found = Found {
        query,
        samples: Vec::new(),
        full: LEAST_FULL,
    };
    let span = (query.from.0, query.to.0.saturating_sub(1));
    let mut segments = snapshot.prepare_cached(
        "SELECT row.samples FROM segment JOIN history_segment AS row ON row.segment = segment.number
         WHERE segment.to_at >= ?1 AND segment.from_at <= ?2 AND row.device = ?3 AND row.to_at >= ?1 AND row.from_at <= ?2
         ORDER BY segment.number",
    )?;
    let mut rows = segments.query(params![span.0, span.1, query.device.0])?;
    while let Some(row) = rows.next()? {
        let sealed = row.get_ref(0)?.as_blob()?;
        each(sealed, |sample| found.push(sample));
    }
    each_unsorted(&snapshot, span, |sample| found.push(sample))?;
    Ok(found.page())
}

/// Hands over what the batches of this span left and no segment has yet.
fn each_unsorted(
    connection: &Connection,
    (from, to): (i64, i64),
    mut take: impl FnMut(Sample),
) -> rusqlite::Result<()> {
    let last = segments::last_sorted(connection)?;
    let mut unsorted = connection.prepare_cached(
        "SELECT samples FROM history WHERE row > ?1 AND to_at >= ?2 AND from_at <= ?3 ORDER BY row",
    )?;
    let mut rows = unsorted.query([last, from, to])?;
    while let Some(row) = rows.next()? {
        each(row.get_ref(0)?.as_blob()?, &mut take);
    }
    Ok(())
}

/// Hands over the samples of a sealed run. A damaged one is left out, and told of in the log: it takes no other with it.
fn each(sealed: &[u8], take: impl FnMut(Sample)) {
    match segments::unpacked(sealed) {
        Ok(samples) => samples.into_iter().for_each(take),
        Err(error) => tracing::error!(%error, "a part of the history cannot be read and is left out"),
    }
}

/// The earliest samples found so far; a bounded number of them.
struct Found<'a> {
    query: &'a SampleQuery,
    samples: Vec<Sample>,
    /// At how many the surplus goes.
    full: usize,
}

impl Found<'_> {
    fn push(&mut self, sample: Sample) {
        let query = self.query;
        if sample.device != query.device
            || !query.points.contains(&sample.point)
            || !(query.from..query.to).contains(&sample.at)
        {
            return;
        }
        self.samples.push(sample);
        if self.samples.len() >= self.full {
            self.settle();
            self.full = self.samples.len().saturating_mul(2).max(LEAST_FULL);
        }
    }

    /// Drops what is behind the first instant over the limit, which stays to show that there is more. What belongs to
    /// one instant stays together.
    fn settle(&mut self) {
        self.samples.sort_by_key(|sample| (sample.at, sample.point));
        self.samples.dedup();
        if let Some(surplus) = self.samples.get(self.within()).map(|sample| sample.at) {
            let end = self.samples.partition_point(|sample| sample.at <= surplus);
            self.samples.truncate(end);
        }
    }

    /// How many of the sorted samples the limit lets through: those of the instant that reaches it are the last.
    fn within(&self) -> usize {
        let last = self.samples.get(self.query.limit.saturating_sub(1));
        last.map_or(self.samples.len(), |last| {
            self.samples.partition_point(|sample| sample.at <= last.at)
        })
    }

    fn page(mut self) -> SamplePage {
        self.settle();
        let mut until = self.query.to;
        let within = self.within();
        if within < self.samples.len() {
            self.samples.truncate(within);
            if let Some(last) = self.samples.last() {
                until = Timestamp(last.at.0.saturating_add(1));
            }
        }
        SamplePage {
            samples: self.samples,
            until,
        }
    }
}

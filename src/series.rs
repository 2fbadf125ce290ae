//! `ninewatch_device_up` and `ninewatch_point_value`: asks the gateway for a survey of its devices, and writes those that are
//! registered as text. Their names are made once for each configuration, so that a scrape only writes numbers.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::domain::definitions::Definitions;
use crate::domain::device::DeviceKey;
use crate::domain::engine::Survey;
use crate::domain::kind::ONLINE;
use crate::handoff::Directory;

/// How long a scrape waits for the gateway. One that is stuck is told of by other metrics: these are left out then.
const PATIENCE: Duration = Duration::from_millis(500);

const UP: &str = "# HELP ninewatch_device_up 1 while a registered device is there: heard of, neither reported offline nor silent for too long.\n# TYPE ninewatch_device_up gauge\n";
const VALUES: &str = "# HELP ninewatch_point_value The last value of a point of a registered device; of a word its place in the list of kinds.toml, from 0.\n# TYPE ninewatch_point_value gauge\n";

/// Where surveys are asked for, and where they come from.
#[derive(Debug, Clone, Default)]
pub struct Surveys {
    asked: Arc<Notify>,
    taken: watch::Sender<Arc<Survey>>,
}

impl Surveys {
    /// A survey that ends after this call; `None`: the gateway has no time for it.
    pub async fn ask(&self) -> Option<Arc<Survey>> {
        let mut taken = self.taken.subscribe();
        self.asked.notify_one();
        timeout(PATIENCE, taken.changed()).await.ok()?.ok()?;
        let survey = Arc::clone(&taken.borrow());
        Some(survey)
    }

    /// Resolves when somebody has asked.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Hands over a survey to all who asked.
    pub fn give(&self, survey: Survey) {
        self.taken.send_replace(Arc::new(survey));
    }
}

/// The names of the series of all registered devices.
#[derive(Debug, Default)]
pub struct Names {
    directory: Arc<Directory>,
    definitions: Arc<Definitions>,
    rows: Vec<Row>,
    by_key: HashMap<DeviceKey, usize>,
    /// The row of each device of the engine, by its number.
    found: Vec<(Arc<DeviceKey>, Option<usize>)>,
}

/// The names of one device's series, each with the space behind it.
#[derive(Debug)]
struct Row {
    up: String,
    /// By the place of the point.
    points: Vec<String>,
}

impl Names {
    /// Appends at most `most` series to `text`; how many more there would be.
    pub fn write(
        &mut self,
        survey: &Survey,
        directory: &Arc<Directory>,
        most: usize,
        text: &mut String,
    ) -> usize {
        let same =
            Arc::ptr_eq(directory, &self.directory) && Arc::ptr_eq(survey.definitions(), &self.definitions);
        if !same {
            *self = Names::of(directory, survey.definitions());
        }
        let mut heard: Vec<Option<(bool, &[f64])>> = vec![None; self.rows.len()];
        for (at, device) in survey.devices().enumerate() {
            let row = self.row(at, device.key);
            if let Some(heard) = row.and_then(|row| heard.get_mut(row)) {
                *heard = Some((device.up, device.values));
            }
        }
        let mut room = Room {
            most,
            written: 0,
            dropped: 0,
        };
        text.push_str(UP);
        for (row, heard) in self.rows.iter().zip(&heard) {
            if room.take() {
                let up = heard.is_some_and(|(up, _)| up);
                text.push_str(&row.up);
                text.push_str(if up { "1\n" } else { "0\n" });
            }
        }
        text.push_str(VALUES);
        for (row, heard) in self.rows.iter().zip(&heard) {
            let Some((_, values)) = heard else { continue };
            let points = row.points.iter().zip(*values).enumerate();
            for (_, (name, value)) in
                points.filter(|(at, (_, value))| *at != usize::from(ONLINE.0) && !value.is_nan())
            {
                if room.take() {
                    text.push_str(name);
                    // Into a string: cannot fail.
                    let _infallible = writeln!(text, "{value}");
                }
            }
        }
        room.dropped
    }

    fn of(directory: &Arc<Directory>, definitions: &Arc<Definitions>) -> Names {
        let mut names = Names {
            directory: Arc::clone(directory),
            definitions: Arc::clone(definitions),
            ..Names::default()
        };
        let mut keys: Vec<&DeviceKey> = directory
            .registry
            .devices()
            .filter(|device| !device.retired)
            .map(|device| &device.key)
            .collect();
        // The same series are dropped each time.
        keys.sort_unstable();
        for key in keys {
            let kind = definitions
                .kind_index(&key.kind)
                .and_then(|kind| definitions.kind(kind));
            let points = kind.map_or(&[][..], |kind| &kind.kind.points);
            let labels = format!(
                "venue=\"{}\",device=\"{}\",kind=\"{}\"",
                escaped(&key.venue),
                escaped(&key.device),
                escaped(&key.kind)
            );
            let point = |id: &str| format!("ninewatch_point_value{{{labels},point=\"{}\"}} ", escaped(id));
            names.by_key.insert(key.clone(), names.rows.len());
            names.rows.push(Row {
                up: format!("ninewatch_device_up{{{labels}}} "),
                points: points.iter().map(|def| point(&def.id)).collect(),
            });
        }
        names
    }

    /// The row of the device with the number `at`, which is `key`.
    fn row(&mut self, at: usize, key: &Arc<DeviceKey>) -> Option<usize> {
        if let Some((known, row)) = self.found.get_mut(at) {
            if !Arc::ptr_eq(known, key) {
                *row = self.by_key.get(key).copied();
                *known = Arc::clone(key);
            }
            return *row;
        }
        let row = self.by_key.get(key).copied();
        self.found.push((Arc::clone(key), row));
        row
    }
}

/// How many series still have room.
struct Room {
    most: usize,
    written: usize,
    dropped: usize,
}

impl Room {
    fn take(&mut self) -> bool {
        let room = self.written < self.most;
        if room {
            self.written += 1;
        } else {
            self.dropped += 1;
        }
        room
    }
}

/// A label's value: ids come from topics and files.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

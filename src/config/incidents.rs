//! Scripts of incidents for simulated devices: `[[incident]]` says what befalls whom, when and for how long. Reads
//! them against the devices there are, plays nothing.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::document::Table;
use super::finding::{Finding, Findings, Nature, did_you_mean};
use super::script::{FOREVER, Happening, Incident, Speaks, WORDS};
use super::source::{Report, Scope};
use super::value::Value;
use crate::domain::device::DeviceKey;
use crate::domain::time::Millis;

/// When an incident may begin, and how long it may stay.
const TIMES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(30 * 24);
/// How long a value may rise.
const RISES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
/// In %LEL: more than any device reports.
const MOST_GAS: f64 = 1_000.0;
/// In ℃ above what is there already: so much that devices still report it.
const MOST_HEAT: f64 = 200.0;

/// What a script says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    /// What happens, in the order of the file.
    pub incidents: Vec<Incident>,
    /// Who speaks which profile; of two that speak of one device the later counts.
    pub speaks: Vec<Speaks>,
}

/// Whom a script may speak of.
#[derive(Debug, Clone, Copy)]
pub struct Cast<'c> {
    /// The devices, venue by venue.
    pub devices: &'c [DeviceKey],
    /// The profiles that they can speak, and the kinds for which each has words.
    pub profiles: &'c [(&'c str, &'c [&'c str])],
}

/// The script in the file `path`, or everything that is wrong with it. One in which nothing happens is wrong too.
pub fn load_script(path: &Path, cast: &Cast<'_>) -> Result<Script, Findings> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let finding = Finding::of_file(&name, format!("cannot read the script: {error}"));
        Findings::new(vec![
            finding.help("config/incidents.toml is an example".to_owned()),
        ])
    })?;
    let report = Report::default();
    let directory = path.parent().unwrap_or(Path::new(""));
    let source = report.open(name, directory.to_owned(), text);
    let tree = source.tree();
    let scope = Scope {
        source: Arc::clone(&source),
        report: &report,
    };
    let script = read(Table::root(&scope, tree.get_ref()), cast);
    report.finish()?;
    Ok(script)
}

fn read(mut root: Table<'_>, cast: &Cast<'_>) -> Script {
    let tables = root.tables("incident", "[[incident]]");
    if tables.is_empty() {
        let problem = root
            .place()
            .problem("the script has no [[incident]]: nothing would happen");
        root.report().add(problem.nature(Nature::Missing));
    }
    let incidents = tables.into_iter().flat_map(|table| incident(table, cast));
    let incidents = incidents.collect();
    let speaks = root.tables("speaks", "[[speaks]]").into_iter();
    Script {
        incidents,
        speaks: speaks.filter_map(|table| speaks_of(table, cast)).collect(),
    }
}

fn speaks_of(mut table: Table<'_>, cast: &Cast<'_>) -> Option<Speaks> {
    let profile_value = table.required("profile");
    let whom = whom(&mut table, cast);
    let profile_value = profile_value?;
    let profile = profile_value.filled_text()?;
    let known = cast.profiles.iter().find(|(name, _)| *name == profile);
    let Some((_, kinds)) = known else {
        let help = did_you_mean(&profile, cast.profiles.iter().map(|(name, _)| *name));
        profile_value.wrong_with(format!("no simulated device speaks `{profile}`"), help);
        return None;
    };
    let (whom, place) = whom?;
    if !whom.iter().any(|key| kinds.contains(&&*key.kind)) {
        let of = place.tree.as_str().unwrap_or_default();
        let message = format!("`{profile}` has no words for any device of `{of}`");
        let message = match whom.as_slice() {
            [one] => format!("`{profile}` has no words for `{}`, a {}", one.device, one.kind),
            _ => message,
        };
        profile_value.wrong_with(message, format!("it has words for: {}", kinds.join(", ")));
    }
    let first = whom.first()?;
    Some(Speaks {
        venue: first.venue.clone(),
        device: (place.key == "device").then(|| first.device.clone()),
        profile: profile.into_owned(),
    })
}

/// The incident, once for each device that it befalls.
fn incident(mut table: Table<'_>, cast: &Cast<'_>) -> Vec<Incident> {
    let at = table.required("at").and_then(|at| length(&at, TIMES));
    let lasts = table.optional("lasts");
    let lasts = lasts.map_or(Some(FOREVER), |lasts| length(&lasts, TIMES));
    let what_value = table.required("what");
    let what = what_value
        .as_ref()
        .and_then(|what| what.word("happening", &WORDS));
    let what = what.map(|what| grown(what, &mut table));
    let whom = whom(&mut table, cast);
    let (Some(at), Some(lasts), Some(what), Some((whom, place))) = (at, lasts, what, whom) else {
        return Vec::new();
    };
    let befallen: Vec<&DeviceKey> = whom
        .iter()
        .copied()
        .filter(|key| what.can_befall(&key.kind))
        .collect();
    if befallen.is_empty() {
        let (word, kinds) = (what.word(), what.kinds().join(", "));
        let message = match whom.as_slice() {
            [one] => format!("`{word}` cannot befall `{}`: it is a {}", one.device, one.kind),
            _ => format!(
                "`{word}` can befall no device of `{}`",
                place.tree.as_str().unwrap_or_default()
            ),
        };
        place.wrong_with(message, format!("it befalls: {kinds}"));
    }
    let incident = |key: &DeviceKey| Incident {
        at,
        lasts,
        device: key.clone(),
        what,
    };
    befallen.into_iter().map(incident).collect()
}

fn length(value: &Value<'_>, range: RangeInclusive<Duration>) -> Option<Millis> {
    let length = value.duration(range)?;
    u64::try_from(length.as_millis()).ok().map(Millis)
}

/// `what` with the `rise` and the `peak` that `table` gives it, where it has those.
fn grown(what: Happening, table: &mut Table<'_>) -> Happening {
    match what {
        Happening::GasLeak { rise, peak } => {
            let (rise, peak) = swell(table, (rise, peak), MOST_GAS);
            Happening::GasLeak { rise, peak }
        }
        Happening::Fire { rise, peak } => {
            let (rise, peak) = swell(table, (rise, peak), MOST_HEAT);
            Happening::Fire { rise, peak }
        }
        Happening::Overheat { rise, peak } => {
            let (rise, peak) = swell(table, (rise, peak), MOST_HEAT);
            Happening::Overheat { rise, peak }
        }
        Happening::Overcharge
        | Happening::Water
        | Happening::Ebike
        | Happening::Offline
        | Happening::Mute
        | Happening::Lie
        | Happening::Fault
        | Happening::Stuck
        | Happening::Welded => what,
    }
}

fn swell(table: &mut Table<'_>, (rise, peak): (Millis, f64), most: f64) -> (Millis, f64) {
    let given = table.optional("rise").and_then(|rise| length(&rise, RISES));
    let height = table.optional("peak").and_then(|value| {
        let peak = value.number()?;
        let fits = (0.0..=most).contains(&peak);
        if !fits {
            value.wrong(format!("`peak` must be 0 to {most}"));
        }
        fits.then_some(peak)
    });
    (given.unwrap_or(rise), height.unwrap_or(peak))
}

/// The devices that `venue` and perhaps `device` name, and the value that says so most closely.
fn whom<'d, 'c>(table: &mut Table<'d>, cast: &Cast<'c>) -> Option<(Vec<&'c DeviceKey>, Value<'d>)> {
    let venue_value = table.required("venue");
    let device_value = table.optional("device");
    let venue_value = venue_value?;
    let venue = venue_value.filled_text()?;
    let of_venue: Vec<&DeviceKey> = cast.devices.iter().filter(|key| key.venue == venue).collect();
    if of_venue.is_empty() {
        let mut venues: Vec<&str> = cast.devices.iter().map(|key| key.venue.as_str()).collect();
        venues.dedup();
        let (first, last) = (venues.first().copied(), venues.last().copied());
        let range = first.zip(last);
        let range = range.map(|(first, last)| format!("there are {first} to {last}; --venues N gives more"));
        venue_value.wrong_with(format!("there is no venue `{venue}`"), range);
        return None;
    }
    let Some(device_value) = device_value else {
        return Some((of_venue, venue_value));
    };
    let device = device_value.filled_text()?;
    let found: Vec<&DeviceKey> = of_venue
        .iter()
        .copied()
        .filter(|key| key.device == device)
        .collect();
    if found.is_empty() {
        let help = did_you_mean(&device, of_venue.iter().map(|key| key.device.as_str()));
        device_value.wrong_with(format!("`{venue}` has no device `{device}`"), help);
        return None;
    }
    Some((found, device_value))
}

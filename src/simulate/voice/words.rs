//! What several forms share: points as JSON or text, ids, the relay behind a charging port's state. Pure.

use serde_json::{Map, Value, json};

use crate::domain::device::DeviceKey;
use crate::simulate::body::{Command, Points, Said};

/// The level, in %LEL, at which a simulated detector judges that there is gas.
pub(super) const GAS_AT: f64 = 20.0;

/// Parts per million of methane that are 1 %LEL.
pub(super) const METHANE_PPM: f64 = 500.0;

/// `v001-g1`: an id that no other device of the town has.
pub(super) fn plain_id(key: &DeviceKey) -> String {
    format!("{}-{}", key.venue, key.device)
}

/// What is said of the point `name`.
pub(super) fn said(points: &Points, name: &str) -> Option<Said> {
    points.iter().find(|(own, _)| *own == name).map(|(_, said)| *said)
}

/// The number that is said of the point `name`.
pub(super) fn number(points: &Points, name: &str) -> Option<f64> {
    match said(points, name)? {
        Said::Number(number) => Some(number),
        Said::Flag(_) | Said::Word(_) => None,
    }
}

/// Whether the point `name` is said to be so.
pub(super) fn flag(points: &Points, name: &str) -> bool {
    said(points, name) == Some(Said::Flag(true))
}

/// The word that is said of the point `name`.
pub(super) fn word(points: &Points, name: &str) -> Option<&'static str> {
    match said(points, name)? {
        Said::Word(word) => Some(word),
        Said::Number(_) | Said::Flag(_) => None,
    }
}

/// Where the profiles have one word for a valve under way, a body says which way.
pub(super) fn plain(said: Said) -> Said {
    match said {
        Said::Word("opening" | "closing") => Said::Word("moving"),
        Said::Word(_) | Said::Number(_) | Said::Flag(_) => said,
    }
}

/// As JSON, in the profiles' words.
pub(super) fn value(said: Said) -> Value {
    match plain(said) {
        Said::Number(number) => json!(number),
        Said::Flag(flag) => json!(flag),
        Said::Word(word) => json!(word),
    }
}

/// Those of `points` that `names` has, as members.
pub(super) fn members(points: &Points, names: &[&str]) -> Map<String, Value> {
    let chosen = points.iter().filter(|(name, _)| names.contains(name));
    chosen
        .map(|(name, said)| ((*name).to_owned(), value(*said)))
        .collect()
}

/// Whether a detector judges that there is gas.
pub(super) fn smells_gas(points: &Points) -> bool {
    number(points, "lel").is_some_and(|lel| lel >= GAS_AT)
}

/// Whether current flows through a charging port, as a plug that knows its relay only would say.
pub(super) fn is_on(points: &Points) -> bool {
    word(points, "state") != Some("idle")
}

/// Whether the valve was last told to open.
pub(super) fn is_to_be_open(points: &Points) -> bool {
    matches!(word(points, "position"), Some("open" | "opening"))
}

/// What `on` and `off` mean to a device of `kind`.
pub(super) fn switch(kind: &str, on: bool) -> Command {
    match (kind, on) {
        ("shutoff_valve", true) => Command::Open,
        ("shutoff_valve", false) => Command::Close,
        (_, true) => Command::On,
        (_, false) => Command::Off,
    }
}

/// The digits at the end of the device's name, 1 when it has none: the number of its port.
pub(super) fn port(key: &DeviceKey) -> &str {
    let name = key.device.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = key.device.get(name.len()..).unwrap_or_default();
    if digits.is_empty() { "1" } else { digits }
}

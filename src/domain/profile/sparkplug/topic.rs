//! The topics of Sparkplug B: `spBv1.0/<group>/<verb>/<edge node>[/<device>]`.

use crate::domain::profile::topic::is_sound_id;

/// The first level of every topic.
pub(super) const NAMESPACE: &str = "spBv1.0";

/// What a message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// NBIRTH or DBIRTH: everything there is, with names.
    Birth,
    /// NDEATH or DDEATH: gone.
    Death,
    /// NDATA or DDATA: what has changed.
    Data,
}

/// What a topic says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'t> {
    /// A message of an edge node or of one of its devices.
    Message {
        /// What it does.
        verb: Verb,
        /// The group.
        group: &'t str,
        /// The edge node.
        edge: &'t str,
        /// The device; `None`: the edge node itself.
        device: Option<&'t str>,
    },
    /// A command, or the state of a host: not for us.
    NotForUs,
}

/// The MQTT filters that bring all messages and no command.
pub(super) fn filters() -> Vec<String> {
    [
        "NBIRTH/+",
        "NDEATH/+",
        "NDATA/+",
        "DBIRTH/+/+",
        "DDEATH/+/+",
        "DDATA/+/+",
    ]
    .iter()
    .map(|rest| format!("{NAMESPACE}/+/{rest}"))
    .collect()
}

/// What `topic` says; `None`: it is none of Sparkplug's, or an id in it is empty, too long or has control characters.
pub(super) fn parse(topic: &str) -> Option<Said<'_>> {
    let mut levels = topic.strip_prefix(NAMESPACE)?.strip_prefix('/')?.split('/');
    let group = levels.next()?;
    let word = levels.next()?;
    if group == "STATE" || matches!(word, "NCMD" | "DCMD") {
        return Some(Said::NotForUs);
    }
    let edge = levels.next()?;
    let device = levels.next();
    let of_device = device.is_some();
    let verb = match (word, of_device) {
        ("NBIRTH", false) | ("DBIRTH", true) => Verb::Birth,
        ("NDEATH", false) | ("DDEATH", true) => Verb::Death,
        ("NDATA", false) | ("DDATA", true) => Verb::Data,
        _other => return None,
    };
    let sound = is_sound_id(group) && is_sound_id(edge) && device.is_none_or(is_sound_id);
    (sound && levels.next().is_none()).then_some(Said::Message {
        verb,
        group,
        edge,
        device,
    })
}

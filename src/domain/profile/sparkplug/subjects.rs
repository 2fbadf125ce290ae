//! The devices that Sparkplug's metrics speak of, numbered in the order of their births.

use foldhash::HashMapExt as _;

use super::parts::SubjectId;
use crate::domain::profile::Reject;
use crate::domain::profile::topic::is_sound_id;

/// The most devices that births may bring.
const MAX_SUBJECTS: usize = 100_000;

/// A device: its kind, as the place in the kinds given, and its id `group/edge[/device][/child]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::domain::profile) struct Subject {
    /// The kind.
    pub(in crate::domain::profile) kind: usize,
    /// The id.
    pub(in crate::domain::profile) id: Box<str>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Subjects {
    list: Vec<Subject>,
    places: foldhash::HashMap<Subject, SubjectId>,
}

impl Default for Subjects {
    fn default() -> Subjects {
        Subjects {
            list: Vec::new(),
            places: foldhash::HashMap::new(),
        }
    }
}

impl Subjects {
    /// The device of `kind` that is `child` of `device`, or itself when `child` is empty; takes it in when it is new.
    pub(super) fn of(&mut self, kind: usize, device: &str, child: &str) -> Result<SubjectId, Reject> {
        let id = if child.is_empty() {
            device.to_owned()
        } else {
            format!("{device}/{child}")
        };
        if !is_sound_id(&id) {
            return Err(Reject::UnknownTopic);
        }
        let subject = Subject { kind, id: id.into() };
        if let Some(id) = self.places.get(&subject) {
            return Ok(*id);
        }
        if self.list.len() >= MAX_SUBJECTS {
            return Err(Reject::TooManyDevices);
        }
        let at = u32::try_from(self.list.len()).map_err(|_| Reject::TooManyDevices)?;
        self.list.push(subject.clone());
        self.places.insert(subject, SubjectId(at));
        Ok(SubjectId(at))
    }

    /// The device with this number.
    pub(super) fn get(&self, id: SubjectId) -> Option<&Subject> {
        self.list.get(id.0 as usize)
    }
}

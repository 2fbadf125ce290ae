//! What the simulator counts. Pure.

use super::outcome::Fate;
use super::unit::Answer;

/// What came of it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Regular reports.
    pub reports: u64,
    /// Reports left out because the town was held up.
    pub skipped: u64,
    /// Incidents that began.
    pub incidents: u64,
    /// Commands that came for a device of the town.
    pub heard: u64,
    /// Of those: obeyed.
    pub obeyed: u64,
    /// Of those: obeyed before, acknowledged again.
    pub repeated: u64,
    /// Of those: nothing that such a device does.
    pub refused: u64,
    /// Of those: retained by the broker, not obeyed.
    pub retained: u64,
    /// Of those: past their time, not obeyed.
    pub expired: u64,
    /// Of those: for a device that is offline or mute.
    pub unheard: u64,
    /// Of those: bytes that are no command.
    pub unreadable: u64,
}

impl Counts {
    /// Counts a command as answered so.
    pub(super) fn answered(&mut self, answer: Answer) -> Fate {
        let (count, fate) = match answer {
            Answer::Obeyed(..) => (&mut self.obeyed, Fate::Obeyed),
            Answer::Repeated => (&mut self.repeated, Fate::Repeated),
            Answer::Refused => (&mut self.refused, Fate::Refused),
            Answer::Expired => (&mut self.expired, Fate::Expired),
            Answer::Unheard => (&mut self.unheard, Fate::Unheard),
        };
        *count += 1;
        fate
    }
}

//! What happened in a simulation, to know that something did.

/// What a seed did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) crashes: usize,
    pub(crate) failed_commits: usize,
    pub(crate) checkpoints: usize,
    pub(crate) acknowledged: usize,
    pub(crate) answered: usize,
    pub(crate) alarms: usize,
    pub(crate) notices: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.crashes += other.crashes;
        self.failed_commits += other.failed_commits;
        self.checkpoints += other.checkpoints;
        self.acknowledged += other.acknowledged;
        self.answered += other.answered;
        self.alarms += other.alarms;
        self.notices += other.notices;
    }

    /// A world in which nothing happens breaks no promise.
    pub(crate) fn assert_all_happened(&self) {
        let all = [
            self.crashes,
            self.failed_commits,
            self.checkpoints,
            self.acknowledged,
            self.answered,
            self.alarms,
            self.notices,
        ];
        assert!(
            all.iter().all(|count| *count > 0),
            "something never happened: {self:?}"
        );
    }
}

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
    /// Commits in PostgreSQL.
    pub(crate) copied: usize,
    /// Rows that it refused.
    pub(crate) set_aside: usize,
    /// Stretches that retention took before they were copied.
    pub(crate) passed_over: usize,
    /// Rows that retention took.
    pub(crate) taken: usize,
    /// Segments of the history.
    pub(crate) segments: usize,
    /// Retained messages sent anew.
    pub(crate) retained: usize,
    /// Messages at QoS 0.
    pub(crate) fleeting: usize,
    /// Commands that the broker had.
    pub(crate) commands: usize,
    /// How often a valve did what it was told.
    pub(crate) obeyed: usize,
    /// Orders proven.
    pub(crate) verified: usize,
    /// Orders to close that failed.
    pub(crate) failures: usize,
    /// Tellings of chains because nobody had acknowledged.
    pub(crate) escalated: usize,
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
        self.copied += other.copied;
        self.set_aside += other.set_aside;
        self.passed_over += other.passed_over;
        self.taken += other.taken;
        self.segments += other.segments;
        self.retained += other.retained;
        self.fleeting += other.fleeting;
        self.commands += other.commands;
        self.obeyed += other.obeyed;
        self.verified += other.verified;
        self.failures += other.failures;
        self.escalated += other.escalated;
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
            self.copied,
            self.set_aside,
            self.passed_over,
            self.taken,
            self.segments,
            self.retained,
            self.fleeting,
            self.commands,
            self.obeyed,
            self.verified,
            self.failures,
            self.escalated,
        ];
        assert!(
            all.iter().all(|count| *count > 0),
            "something never happened: {self:?}"
        );
    }
}

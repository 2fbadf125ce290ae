//! What `ninewatch simulate` says while it runs and when it ends. Pure text.

use std::time::Duration;

use super::counts::Counts;
use super::fleet::Tally;

/// The figures of one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Since the start.
    pub lasted: Duration,
    /// Messages written to the broker.
    pub sent: u64,
    /// Of those, acknowledged by it.
    pub acknowledged: u64,
    /// How often the connection broke.
    pub breaks: u64,
    /// It is broken now.
    pub down: bool,
    /// Commands lost because too many came at once.
    pub overrun: u64,
    /// What the simulator counted.
    pub counts: Counts,
}

impl Figures {
    /// Those of `tally` after this time.
    pub fn of(tally: &Tally, lasted: Duration) -> Figures {
        Figures {
            lasted,
            sent: tally.sent(),
            acknowledged: tally.acknowledged(),
            breaks: tally.breaks(),
            down: tally.is_down(),
            overrun: tally.overrun(),
            counts: tally.counts(),
        }
    }

    /// What is going on, in one line; `before` is a second or so ago.
    pub fn line(&self, before: &Figures) -> String {
        let span = self.lasted.saturating_sub(before.lasted).as_secs_f64();
        let rate = self.acknowledged.saturating_sub(before.acknowledged) as f64 / span.max(0.001);
        let seconds = self.lasted.as_secs();
        let down = if self.down { " │ the broker is away" } else { "" };
        format!(
            "{:02}:{:02} │ {rate:.0} msg/s │ {} sent, {} acknowledged │ {} incidents │ {} of {} commands obeyed{down}",
            seconds / 60,
            seconds % 60,
            self.sent,
            self.acknowledged,
            self.counts.incidents,
            self.counts.obeyed,
            self.counts.heard,
        )
    }

    /// What came of it, in the end.
    pub fn ending(&self) -> Vec<String> {
        let Figures {
            sent, acknowledged, ..
        } = self;
        let counts = &self.counts;
        let rate = *acknowledged as f64 / self.lasted.as_secs_f64().max(0.001);
        let mut lines = vec![
            format!(
                "messages   {sent} sent in {:.1} s, {acknowledged} acknowledged by the broker: {rate:.1} a second",
                self.lasted.as_secs_f64(),
            ),
            format!(
                "reports    {} regular, {} left out because the town was held up; the rest are changes and answers",
                counts.reports, counts.skipped,
            ),
            format!("incidents  {}", counts.incidents),
            format!(
                "commands   {} heard: {} obeyed, {} repeated, {} refused, {} retained, {} expired, {} unheard, \
                 {} unreadable",
                counts.heard,
                counts.obeyed,
                counts.repeated,
                counts.refused,
                counts.retained,
                counts.expired,
                counts.unheard,
                counts.unreadable,
            ),
        ];
        if self.overrun > 0 {
            lines.push(format!(
                "           {} more came faster than the town hears",
                self.overrun
            ));
        }
        if self.breaks > 0 {
            lines.push(format!(
                "connection broke {} times; what was under way then was not sent again",
                self.breaks
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Figures;
    use crate::simulate::counts::Counts;

    fn figures(lasted: u64, sent: u64, acknowledged: u64) -> Figures {
        Figures {
            lasted: Duration::from_secs(lasted),
            sent,
            acknowledged,
            breaks: 0,
            down: false,
            overrun: 0,
            counts: Counts {
                reports: 990,
                incidents: 2,
                heard: 7,
                obeyed: 1,
                repeated: 1,
                refused: 1,
                retained: 1,
                expired: 1,
                unheard: 1,
                unreadable: 1,
                skipped: 0,
            },
        }
    }

    #[test]
    fn the_line_counts_what_was_acknowledged_in_the_last_span() {
        let (before, now) = (figures(62, 500, 490), figures(64, 1_000, 990));
        assert_eq!(
            now.line(&before),
            "01:04 │ 250 msg/s │ 1000 sent, 990 acknowledged │ 2 incidents │ 1 of 7 commands obeyed"
        );
        let away = Figures { down: true, ..now };
        assert!(away.line(&before).ends_with(" │ the broker is away"));
    }

    #[test]
    fn the_ending_hides_nothing() {
        let lines = figures(10, 1_000, 990).ending();
        assert_eq!(
            lines,
            [
                "messages   1000 sent in 10.0 s, 990 acknowledged by the broker: 99.0 a second",
                "reports    990 regular, 0 left out because the town was held up; the rest are changes and answers",
                "incidents  2",
                "commands   7 heard: 1 obeyed, 1 repeated, 1 refused, 1 retained, 1 expired, 1 unheard, 1 unreadable",
            ]
        );
        let broken = Figures {
            breaks: 2,
            overrun: 3,
            ..figures(10, 1, 1)
        };
        assert!(broken.ending().iter().any(|line| line.contains("broke 2 times")));
        assert!(broken.ending().iter().any(|line| line.contains("3 more")));
    }
}

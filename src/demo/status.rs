//! What is going on, in one line: read from the gateway's own metrics.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::message::Paint;
use super::screen::Screen;
use super::sink::LastAlarm;
use crate::clock;
use crate::domain::rule::{Class, Priority};
use crate::metrics::Metrics;

/// How often the line is drawn on a terminal.
const LIVE: Duration = Duration::from_millis(500);
/// How often it is written where it stays.
const LOGGED: Duration = Duration::from_secs(10);

/// Where the line's figures come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The gateway's metrics.
    pub metrics: Metrics,
    /// The device kinds whose devices are counted.
    pub kinds: Vec<String>,
    /// The target whose pending notices are counted.
    pub target: String,
    /// The last alarm.
    pub last: LastAlarm,
}

/// The figures of one instant.
#[derive(Debug, Clone, PartialEq)]
struct Figures {
    uptime: Duration,
    messages_per_second: f64,
    online: i64,
    away: i64,
    standing: i64,
    pending: i64,
    dead_letters: u64,
    last: String,
}

impl Sources {
    /// Draws the line until `stop`.
    pub async fn show(self, screen: Screen, paint: Paint, stop: CancellationToken) {
        let started = clock::monotonic();
        let mut ticks = interval(if screen.is_terminal() { LIVE } else { LOGGED });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = (started, self.metrics.messages_received.get());
        let mut rate = 0.0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = (clock::monotonic(), self.metrics.messages_received.get());
            let elapsed = now.0.duration_since(before.0);
            if elapsed >= Duration::from_secs(1) {
                rate = now.1.saturating_sub(before.1) as f64 / elapsed.as_secs_f64();
                before = now;
            }
            let figures = self.figures(now.0.duration_since(started), rate);
            if rate > 0.0 || screen.is_terminal() {
                screen.status(line(&figures, paint));
            }
        }
    }

    fn figures(&self, uptime: Duration, messages_per_second: f64) -> Figures {
        let present = |presence: &str| -> i64 {
            let kinds = self.kinds.iter();
            kinds.map(|kind| self.metrics.devices(kind, presence).get()).sum()
        };
        let standing = Class::ALL
            .iter()
            .flat_map(|class| Priority::ALL.iter().map(|priority| (*class, *priority)))
            .map(|(class, priority)| self.metrics.alarms_active(class, priority).get())
            .sum();
        Figures {
            uptime,
            messages_per_second,
            online: present("online"),
            away: present("offline"),
            standing,
            pending: self.metrics.notices_pending(&self.target).get(),
            dead_letters: self.metrics.dead_letters_total(),
            last: self.last.get(),
        }
    }
}

fn line(figures: &Figures, paint: Paint) -> String {
    let seconds = figures.uptime.as_secs();
    let away = match figures.away {
        0 => String::new(),
        away => format!(" ({away} offline)"),
    };
    let alarms = format!("{} alarms standing", figures.standing);
    let alarms = if figures.standing > 0 {
        paint.with("1;31", &alarms)
    } else {
        paint.with("32", &alarms)
    };
    let last = if figures.last.is_empty() {
        String::new()
    } else {
        format!(" │ last {}", figures.last)
    };
    format!(
        "{:02}:{:02} │ {:.0} msg/s │ {} devices{away} │ {alarms} │ {} notices pending │ {} dead letters{last}",
        seconds / 60,
        seconds % 60,
        figures.messages_per_second,
        figures.online + figures.away,
        figures.pending,
        figures.dead_letters,
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Figures, line};
    use crate::demo::message::Paint;

    #[test]
    fn the_line_says_what_stands_and_what_waits() {
        let figures = Figures {
            uptime: Duration::from_secs(83),
            messages_per_second: 157.6,
            online: 199,
            away: 1,
            standing: 2,
            pending: 0,
            dead_letters: 14,
            last: "燃气浓度高报 老街面馆".to_owned(),
        };
        assert_eq!(
            line(&figures, Paint(false)),
            "01:23 │ 158 msg/s │ 200 devices (1 offline) │ 2 alarms standing │ 0 notices pending │ \
             14 dead letters │ last 燃气浓度高报 老街面馆"
        );
    }
}

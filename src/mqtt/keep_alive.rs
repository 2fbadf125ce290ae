//! When to ping and when a connection is dead, counted in ticks of half the keep-alive time. Pure: it reads no clock.

/// Ticks without a byte from the broker: the first one pings, two more are the keep-alive time to answer.
const SILENT: u8 = 3;

/// Ticks in which nothing could be written although something waits.
const STUCK: u8 = 2;

/// What was seen on the connection since the last tick.
#[derive(Debug, Default)]
pub(crate) struct KeepAlive {
    read: bool,
    wrote: bool,
    silent: u8,
    stuck: u8,
}

/// Why a connection is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Dead {
    /// No byte came, not even the answer to a ping.
    #[error("the broker did not answer within the keep-alive time")]
    Silent,
    /// The broker stopped reading.
    #[error("the broker took nothing from us for the keep-alive time")]
    Stuck,
}

impl KeepAlive {
    /// Bytes came.
    pub(crate) fn read(&mut self) {
        self.read = true;
    }

    /// Bytes went out.
    pub(crate) fn wrote(&mut self) {
        self.wrote = true;
    }

    /// Half the keep-alive time has passed: whether to ping now. While we are not `reading`, silence proves nothing;
    /// while bytes of ours wait `unsent`, a ping would only wait behind them.
    pub(crate) fn tick(&mut self, reading: bool, unsent: bool) -> Result<bool, Dead> {
        let read = std::mem::take(&mut self.read);
        let wrote = std::mem::take(&mut self.wrote);
        self.silent = if read || !reading { 0 } else { self.silent + 1 };
        self.stuck = if wrote || !unsent { 0 } else { self.stuck + 1 };
        if self.silent >= SILENT {
            return Err(Dead::Silent);
        }
        if self.stuck >= STUCK {
            return Err(Dead::Stuck);
        }
        Ok(!unsent && (!wrote || self.silent == 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_pinged_and_lives_while_it_answers() {
        let mut keep_alive = KeepAlive::default();
        for _ in 0..10 {
            assert_eq!(keep_alive.tick(true, false), Ok(true));
            keep_alive.wrote();
            keep_alive.read();
            assert_eq!(keep_alive.tick(true, false), Ok(false));
        }
    }

    #[test]
    fn silence_after_a_ping_is_death() {
        let mut keep_alive = KeepAlive::default();
        assert_eq!(keep_alive.tick(true, false), Ok(true));
        keep_alive.wrote();
        assert_eq!(keep_alive.tick(true, false), Ok(false));
        keep_alive.wrote();
        assert_eq!(keep_alive.tick(true, false), Err(Dead::Silent));
    }

    #[test]
    fn a_paused_reader_still_pings_and_does_not_judge() {
        let mut keep_alive = KeepAlive::default();
        for _ in 0..10 {
            assert_eq!(keep_alive.tick(false, false), Ok(true));
        }
    }

    #[test]
    fn acknowledgements_alone_do_not_hide_a_silent_broker() {
        let mut keep_alive = KeepAlive::default();
        keep_alive.wrote();
        assert_eq!(keep_alive.tick(true, false), Ok(true));
    }

    #[test]
    fn bytes_that_do_not_move_are_death() {
        let mut keep_alive = KeepAlive::default();
        keep_alive.read();
        assert_eq!(keep_alive.tick(true, true), Ok(false));
        keep_alive.read();
        assert_eq!(keep_alive.tick(true, true), Err(Dead::Stuck));
    }
}

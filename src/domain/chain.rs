//! Escalation chains: whom each level tells, and when the next telling is due, counted from the announcement. Pure
//! arithmetic; resolves nobody and reads no clock.

use super::time::Millis;

/// How long after the announcement the second level begins, where nothing is said.
pub const SECOND_LEVEL: Millis = Millis(180_000);

/// How long after the announcement the third level begins, where nothing is said.
pub const THIRD_LEVEL: Millis = Millis(600_000);

/// How often the first level is told again, where nothing is said.
pub const FIRST_REPEAT: Millis = Millis(60_000);

/// How often the last level of several is told again, where nothing is said.
pub const LAST_REPEAT: Millis = Millis(600_000);

/// Whom a level tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressee {
    /// Whoever is on duty by this roster.
    Roster(String),
    /// This officer.
    Officer(String),
    /// This target, whoever reads it.
    Target(String),
}

/// One step up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Whom it tells.
    pub to: Vec<Addressee>,
    /// When it begins, counted from the announcement; zero for the first, then growing.
    pub after: Millis,
    /// How often it is told again until the next one begins, the last until somebody acknowledges; `None`: never.
    pub repeat: Option<Millis>,
}

/// Who is told next as long as nobody acknowledges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// Its name in routes.
    pub name: String,
    /// Its levels, the first first; at least one.
    pub levels: Vec<Level>,
}

/// The telling that follows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Its level, from 1.
    pub level: u8,
    /// How often that level was told before.
    pub repeat: u32,
    /// How long after the telling before it.
    pub after: Millis,
}

impl Chain {
    /// The level with this number, from 1.
    pub fn level(&self, level: u8) -> Option<&Level> {
        self.levels.get(usize::from(level).checked_sub(1)?)
    }

    /// When `level` is told for the `repeat`th time again (0: the first time), counted from the announcement; `None`
    /// when it never is.
    pub fn due(&self, level: u8, repeat: u32) -> Option<Millis> {
        let found = self.level(level)?;
        if repeat == 0 {
            return Some(found.after);
        }
        let every = found.repeat.filter(|every| *every > Millis::ZERO)?;
        let later = every.0.checked_mul(u64::from(repeat))?;
        let due = Millis(found.after.0.checked_add(later)?);
        // The next level takes the place of a repetition that would come with it.
        let next = level.checked_add(1).and_then(|next| self.level(next));
        next.is_none_or(|next| due < next.after).then_some(due)
    }

    /// Where one stands after `elapsed` who has been told up to `level`: the level that the chain has reached, at once, if it is a
    /// later one; else the first telling that is yet to come. `None`: there is none.
    pub fn resume(&self, level: u8, elapsed: Millis) -> Option<Wait> {
        let count = u8::try_from(self.levels.len()).unwrap_or(u8::MAX);
        let begun = |level: &u8| self.due(*level, 0).is_some_and(|due| due <= elapsed);
        let reached = (1..=count).rev().find(begun).unwrap_or(1);
        if reached > level {
            let after = self.due(reached, 0)?.0.saturating_sub(elapsed.0);
            return Some(Wait {
                level: reached,
                repeat: 0,
                after: Millis(after),
            });
        }
        let found = self.level(reached)?;
        let since = elapsed.0.saturating_sub(found.after.0);
        let passed = found.repeat.and_then(|every| since.checked_div(every.0));
        let again = passed.and_then(|passed| u32::try_from(passed).ok()?.checked_add(1));
        let again = again.map(|repeat| (reached, repeat));
        let next = reached.checked_add(1).map(|next| (next, 0));
        again.into_iter().chain(next).find_map(|(level, repeat)| {
            let due = self.due(level, repeat)?;
            Some(Wait {
                level,
                repeat,
                after: Millis(due.0.saturating_sub(elapsed.0)),
            })
        })
    }

    /// What follows when `level` was told for the `repeat`th time again and nobody has acknowledged; `None`: nothing.
    /// The first telling is `(1, 0)`, with the announcement.
    pub fn wait(&self, level: u8, repeat: u32) -> Option<Wait> {
        let told = self.due(level, repeat)?;
        let again = repeat.checked_add(1).map(|repeat| (level, repeat));
        let next = level.checked_add(1).map(|next| (next, 0));
        again.into_iter().chain(next).find_map(|(level, repeat)| {
            let due = self.due(level, repeat)?;
            Some(Wait {
                level,
                repeat,
                after: Millis(due.0.saturating_sub(told.0)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(levels: &[(u64, u64)]) -> Chain {
        let levels = levels.iter().map(|(after, repeat)| Level {
            to: Vec::new(),
            after: Millis(after * 1_000),
            repeat: (*repeat > 0).then_some(Millis(repeat * 1_000)),
        });
        Chain {
            name: "c".to_owned(),
            levels: levels.collect(),
        }
    }

    /// The first `count` tellings: level, repetition and the second at which they come.
    fn tellings(chain: &Chain, count: usize) -> Vec<(u8, u32, u64)> {
        let mut told = vec![(1, 0, 0)];
        while let Some(&(level, repeat, at)) = told.last().filter(|_| told.len() < count) {
            let Some(wait) = chain.wait(level, repeat) else {
                break;
            };
            let at = at + wait.after.0 / 1_000;
            assert_eq!(chain.due(wait.level, wait.repeat), Some(Millis(at * 1_000)));
            told.push((wait.level, wait.repeat, at));
        }
        told
    }

    #[test]
    fn the_usual_times_are_repeated_until_somebody_acknowledges() {
        let usual = chain(&[(0, 60), (180, 0), (600, 600)]);
        assert_eq!(
            tellings(&usual, 7),
            [
                (1, 0, 0),
                (1, 1, 60),
                (1, 2, 120),
                (2, 0, 180),
                (3, 0, 600),
                (3, 1, 1_200),
                (3, 2, 1_800)
            ]
        );
    }

    #[test]
    fn each_shape_of_chain_has_its_tellings() {
        for (levels, expected) in [
            (&[(0, 0)][..], &[(1, 0, 0)][..]),
            (&[(0, 30)], &[(1, 0, 0), (1, 1, 30), (1, 2, 60), (1, 3, 90)]),
            // A repetition that would come with or after the next level does not come.
            (&[(0, 100), (180, 0)], &[(1, 0, 0), (1, 1, 100), (2, 0, 180)]),
            (&[(0, 90), (180, 0)], &[(1, 0, 0), (1, 1, 90), (2, 0, 180)]),
            (&[(0, 300), (180, 0)], &[(1, 0, 0), (2, 0, 180)]),
            (
                &[(0, 0), (60, 45), (180, 0)],
                &[(1, 0, 0), (2, 0, 60), (2, 1, 105), (2, 2, 150)],
            ),
        ] {
            assert_eq!(tellings(&chain(levels), 4), expected, "{levels:?}");
        }
    }

    #[test]
    fn whoever_comes_to_a_chain_later_goes_on_where_it_stands_by_then() {
        for (levels, told, elapsed, expected) in [
            // A level that has begun meanwhile comes at once, the highest of them alone.
            (&[(0, 10), (25, 600)][..], 1, 26, Some((2, 0, 0))),
            (&[(0, 0), (10, 0), (20, 0)], 1, 26, Some((3, 0, 0))),
            (&[(0, 0)], 0, 26, Some((1, 0, 0))),
            // Else what is yet to come: a repetition, or the next level.
            (&[(0, 60), (180, 0)], 1, 26, Some((1, 1, 34))),
            (&[(0, 60), (180, 0)], 1, 60, Some((1, 2, 60))),
            (&[(0, 60), (180, 0)], 1, 170, Some((2, 0, 10))),
            (&[(0, 0), (180, 0)], 1, 26, Some((2, 0, 154))),
            (&[(0, 0), (25, 600)], 3, 26, Some((2, 1, 599))),
            (&[(0, 0), (25, 0)], 2, 26, None),
            (&[], 1, 26, None),
        ] {
            let chain = chain(levels);
            let wait = chain.resume(told, Millis(elapsed * 1_000));
            let found = wait.map(|wait| (wait.level, wait.repeat, wait.after.0 / 1_000));
            assert_eq!(found, expected, "{levels:?} {told} {elapsed}");
        }
    }

    #[test]
    fn what_is_not_in_the_chain_is_followed_by_nothing() {
        let two = chain(&[(0, 60), (180, 0)]);
        for (level, repeat) in [(0, 0), (3, 0), (1, 3), (2, 1), (255, 0), (1, u32::MAX)] {
            assert_eq!(two.wait(level, repeat), None, "{level} {repeat}");
            assert_eq!(two.due(level, repeat), None, "{level} {repeat}");
        }
        assert_eq!(chain(&[]).wait(1, 0), None);
        assert_eq!(
            chain(&[(0, 60)]).due(1, u32::MAX),
            Some(Millis(60_000 * u64::from(u32::MAX)))
        );
    }
}

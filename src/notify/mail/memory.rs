//! What is remembered of letters from one attempt to the next: who of `to` has theirs, and whom an attempt ended with.

use std::collections::{HashSet, VecDeque};

use super::letter::{Letter, Reader};

/// Of so many letters it is remembered that they were taken, for when others of the same message were not.
const REMEMBERED: usize = 4_096;

/// Of so many readers it is remembered that they were tried in vain.
const BEHIND: usize = 1_024;

/// The ids of letters to those who get what is for nobody in particular: taken while others of their message were owed still.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: HashSet<String>,
    order: VecDeque<String>,
    /// Who was tried in vain, the last one last: others go before them.
    behind: VecDeque<Reader>,
}

/// What is to be done about a letter.
#[derive(Debug)]
pub(super) enum Turn<'a> {
    /// Nothing: its reader has it.
    Taken(&'a Letter),
    /// It is to be posted.
    Owed(&'a Letter),
}

impl Memory {
    /// What of these is to be posted, in this order: who was not tried yet before who was, and what is urgent first.
    pub(super) fn in_turn<'a>(&self, letters: &'a [Letter]) -> Vec<Turn<'a>> {
        let mut letters: Vec<&Letter> = letters.iter().collect();
        letters.sort_by_cached_key(|letter| {
            let tried = self.behind.iter().position(|reader| *reader == letter.reader);
            (tried, !letter.urgent)
        });
        let turn = |letter: &'a Letter| {
            if self.known.contains(&letter.id) {
                Turn::Taken(letter)
            } else {
                Turn::Owed(letter)
            }
        };
        letters.into_iter().map(turn).collect()
    }

    /// A letter was posted, or it was tried in vain.
    pub(super) fn note(&mut self, letter: &Letter, is_taken: bool) {
        self.behind.retain(|reader| *reader != letter.reader);
        if !is_taken {
            self.behind.push_back(letter.reader.clone());
            if self.behind.len() > BEHIND {
                self.behind.pop_front();
            }
        } else if letter.reader.is_default() {
            // Officers who have theirs are told of: their notices are for the others from then on.
            self.remember(&letter.id);
        }
    }

    fn remember(&mut self, id: &str) {
        if self.known.insert(id.to_owned()) {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// All of these are settled: a resend goes out again.
    pub(super) fn forget(&mut self, letters: &[Letter]) {
        for letter in letters {
            if self.known.remove(&letter.id) {
                self.order.retain(|id| *id != letter.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_tried_goes_before_who_was() {
        let letters = ["a", "b", "c"].map(|name| Letter {
            id: name.to_owned(),
            reader: Reader::Officer(name.to_owned()),
            urgent: name == "c",
            to: "a@fire.example".parse().unwrap(),
            bytes: Vec::new(),
        });
        let mut memory = Memory::default();
        let order = |memory: &Memory| -> String {
            let turns = memory.in_turn(&letters).into_iter();
            turns
                .map(|turn| match turn {
                    Turn::Taken(_) => "",
                    Turn::Owed(letter) => letter.id.as_str(),
                })
                .collect()
        };
        assert_eq!(order(&memory), "cab", "what is urgent first");
        memory.note(&letters[2], false);
        assert_eq!(order(&memory), "abc");
        memory.note(&letters[0], false);
        assert_eq!(order(&memory), "bca");
        memory.note(&letters[2], true);
        assert_eq!(order(&memory), "cba");
    }
}

//! What came of the letters of one parcel: who has theirs, whom the server refuses, and what keeps it from the others. Pure.

use super::fault::MailError;
use super::letter::{Letters, Reader};
use crate::notify::parcel::{Fault, Told};
use crate::notify::target::{Apart, SendError, Taken};

/// What came of the letters of one parcel.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The officers who have theirs.
    told: Vec<String>,
    /// Of those who get what is for nobody in particular: how many have theirs.
    defaults: usize,
    /// Which of those cannot be written to.
    unknown: Vec<(usize, SendError)>,
    /// Who is refused, by fault.
    refused: Vec<Apart>,
    /// What came first of all that keeps it from the others.
    error: Option<SendError>,
}

/// Whether the server takes further letters after this.
pub(super) const fn goes_on(error: &SendError) -> bool {
    // 421: it closes the connection.
    let busy = matches!(error, SendError::Mail(MailError::Busy(code)) if *code != 421);
    busy || matches!(
        error,
        SendError::Mail(MailError::Recipient(_)) | SendError::Refused(_)
    )
}

impl Outcome {
    /// Before the first letter is posted.
    pub(super) fn of(letters: &Letters) -> Outcome {
        let mut outcome = Outcome::default();
        for reader in &letters.failed {
            outcome.note(reader, Err(MailError::Letter.into()));
        }
        outcome
    }

    pub(super) fn note(&mut self, reader: &Reader, posted: Result<(), SendError>) {
        match (reader, posted) {
            (Reader::Officer(officer), Ok(())) => self.told.push(officer.clone()),
            (Reader::Default(_), Ok(())) => self.defaults += 1,
            (
                Reader::Default(number),
                Err(error @ SendError::Mail(MailError::Recipient(_) | MailError::Letter)),
            ) => self.unknown.push((*number, error)),
            (Reader::Officer(officer), Err(error)) if is_of_one(&error) => {
                self.refuse(error, |people| people.officers.push(officer.clone()));
            }
            (Reader::Default(_), Err(error)) if is_of_one(&error) => {
                self.refuse(error, |people| people.rest = true);
            }
            (Reader::Officer(_) | Reader::Default(_), Err(error)) => self.keep(error),
        }
    }

    /// What is wrong for everybody who has none yet.
    pub(super) fn keep(&mut self, error: SendError) {
        self.error.get_or_insert(error);
    }

    /// Adds to those who are refused by the fault of this.
    fn refuse(&mut self, cause: SendError, whom: impl FnOnce(&mut Told)) {
        let fault = cause.fault();
        let mut known = self.refused.iter_mut();
        if let Some(known) = known.find(|apart| apart.cause.fault() == fault) {
            whom(&mut known.people);
            return;
        }
        let mut people = Told::default();
        whom(&mut people);
        self.refused.push(Apart { people, cause });
    }

    /// Whether nothing of it has to be remembered: all is taken, or everybody who gets what is for nobody in particular has theirs.
    pub(super) fn settles(&self, letters: &Letters) -> bool {
        (self.error.is_none() && self.refused.is_empty()) || self.rest(letters)
    }

    /// Whether everybody who gets what is for nobody in particular has theirs: all of `letters` that can be written to.
    fn rest(&self, letters: &Letters) -> bool {
        self.defaults > 0 && self.defaults + self.unknown.len() == letters.defaults()
    }

    /// What is said of it all.
    pub(super) fn said(mut self, letters: &Letters) -> Result<Taken, SendError> {
        let rest = self.rest(letters);
        if rest {
            self.told.extend_from_slice(&letters.through_others);
        }
        for (number, error) in &self.unknown {
            let place = number + 1;
            tracing::error!(%error, place, "one of `to` is not written to");
        }
        if !self.unknown.is_empty() && self.unknown.len() == letters.defaults() {
            // Nobody reads for all.
            if let Some((_, error)) = self.unknown.pop() {
                self.refuse(error, |people| people.rest = true);
            }
        }
        for apart in &mut self.refused {
            if apart.people.rest {
                apart.people.officers.extend_from_slice(&letters.through_others);
            }
        }
        let mut apart = self.refused;
        // With nothing else wrong, the last of the refusals is what is wrong for all that are left.
        let Some(cause) = self.error.or_else(|| Some(apart.pop()?.cause)) else {
            return Ok(Taken);
        };
        if self.told.is_empty() && !rest && apart.is_empty() {
            return Err(cause);
        }
        Err(SendError::Partly {
            told: Told {
                officers: self.told,
                rest,
            },
            apart,
            cause: Box::new(cause),
        })
    }
}

/// Whether it concerns one reader alone.
fn is_of_one(error: &SendError) -> bool {
    matches!(error.fault(), Fault::Notice | Fault::Reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::mail::letter::Letter;

    fn wang() -> Reader {
        Reader::Officer("wang".to_owned())
    }

    fn letter(reader: Reader) -> Letter {
        Letter {
            id: format!("<{reader:?}>"),
            reader,
            urgent: false,
            to: "wang@fire.example".parse().unwrap(),
            bytes: Vec::new(),
        }
    }

    /// What is said when `ready` are taken and those of `failed` could not be put together.
    fn said(ready: Vec<Reader>, failed: Vec<Reader>) -> Result<Taken, SendError> {
        let letters = Letters {
            ready: ready.into_iter().map(letter).collect(),
            failed,
            through_others: vec!["li".to_owned()],
        };
        let mut outcome = Outcome::of(&letters);
        for letter in &letters.ready {
            outcome.note(&letter.reader, Ok(()));
        }
        outcome.said(&letters)
    }

    fn partly(officers: &[&str], rest: bool) -> Result<Taken, SendError> {
        Err(SendError::Partly {
            told: Told {
                officers: officers.iter().map(|officer| (*officer).to_owned()).collect(),
                rest,
            },
            apart: Vec::new(),
            cause: Box::new(MailError::Letter.into()),
        })
    }

    #[test]
    fn a_letter_that_cannot_be_put_together_is_not_taken() {
        let alone = said(vec![], vec![wang()]);
        assert_eq!(alone, Err(MailError::Letter.into()));
        assert_eq!(MailError::Letter.fault(), Fault::Reader);
        let others = said(vec![Reader::Officer("ann".to_owned())], vec![wang()]);
        assert_eq!(others, partly(&["ann"], false));
        let one_of_to = said(vec![Reader::Default(1)], vec![Reader::Default(0)]);
        assert_eq!(one_of_to, Ok(Taken));
        assert_eq!(
            said(vec![], vec![Reader::Default(0)]),
            Err(MailError::Letter.into())
        );
        let rest = said(vec![Reader::Default(0)], vec![wang()]);
        assert_eq!(
            rest,
            partly(&["li"], true),
            "li is told through those who read for all"
        );
    }

    fn officers(names: &[&str]) -> Told {
        Told {
            officers: names.iter().map(|name| (*name).to_owned()).collect(),
            rest: false,
        }
    }

    #[test]
    fn who_is_refused_says_nothing_of_those_who_were_not_tried() {
        let letters = Letters {
            ready: ["ann", "wang", "li", "he"]
                .map(|name| letter(Reader::Officer(name.to_owned())))
                .into(),
            ..Letters::default()
        };
        let mut outcome = Outcome::of(&letters);
        let taken: [Result<(), SendError>; 3] = [
            Ok(()),
            Err(MailError::Recipient(550).into()),
            Err(SendError::Broken),
        ];
        for (letter, posted) in letters.ready.iter().zip(taken) {
            outcome.note(&letter.reader, posted);
        }
        let said = outcome.said(&letters).unwrap_err();
        assert_eq!(said.told(), &officers(&["ann"]));
        let refused = Apart {
            people: officers(&["wang"]),
            cause: MailError::Recipient(550).into(),
        };
        assert_eq!(said.apart(), [refused]);
        assert_eq!(said.fault(), Fault::Target);
    }
}

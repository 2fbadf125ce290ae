//! What is wrong with a condition, and the nearest right word. Never decides what is wrong.

use std::ops::Range;

/// What is wrong with a condition and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// The bytes of the source it speaks of.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write at `span` instead, if there is a near thing.
    pub suggestion: Option<String>,
}

impl ExpressionError {
    /// An error at `span` without a suggestion.
    pub(in super::super) fn new(span: Range<usize>, message: impl Into<String>) -> ExpressionError {
        ExpressionError {
            span,
            message: message.into(),
            suggestion: None,
        }
    }

    /// `self` with what to write instead.
    #[must_use]
    pub(in super::super) fn suggest(mut self, suggestion: Option<String>) -> ExpressionError {
        self.suggestion = suggestion;
        self
    }
}

/// The candidate that `word` most likely was meant to be; none when all are far from it.
pub(in super::super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .map(|candidate| {
            let distance = strsim::osa_distance(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

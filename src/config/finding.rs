//! What is wrong with the configuration, and how it is shown: one finding a problem, drawn under its line.
//! Decides nothing about what is right.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

/// One problem and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file as the user would open it.
    pub file: String,
    /// The bytes of the file it speaks of.
    pub span: Range<usize>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What is said right under the marked place.
    pub label: Option<String>,
    /// What to do about it.
    pub suggestion: Option<String>,
    pub(super) excerpt: Option<Excerpt>,
    pub(super) nature: Nature,
    pub(super) doubtful: bool,
    pub(super) file_number: usize,
}

/// The lines of the file that a finding shows, secrets already masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) text: String,
    pub(super) first_line: usize,
    pub(super) marked: Range<usize>,
}

/// What a finding depends on: after a syntax error some can no longer be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// The text is not TOML.
    Syntax,
    /// A value is wrong by itself.
    Value,
    /// A key is not one of those its table has.
    UnknownKey,
    /// Something is not there, in this file or in another.
    Missing,
}

impl Finding {
    /// A problem with a whole file, or one that has no better place.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Finding {
        Finding {
            file: file.to_owned(),
            span: 0..0,
            line: 1,
            column: 1,
            message: message.into(),
            label: None,
            suggestion: None,
            excerpt: None,
            nature: Nature::Value,
            doubtful: false,
            file_number: 0,
        }
    }

    /// A warning: allowed, and hardly meant.
    pub(super) const fn doubtful(mut self) -> Finding {
        self.doubtful = true;
        self
    }

    /// With these words under the marked place.
    pub(super) fn label(mut self, label: impl Into<String>) -> Finding {
        self.label = Some(label.into());
        self
    }

    /// With this advice.
    pub(super) fn help(mut self, suggestion: impl Into<Option<String>>) -> Finding {
        self.suggestion = suggestion.into();
        self
    }

    /// Of this nature.
    pub(super) fn nature(mut self, nature: Nature) -> Finding {
        self.nature = nature;
        self
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = if self.doubtful {
            Level::WARNING
        } else {
            Level::ERROR
        };
        let title = level.primary_title(self.message.as_str());
        let group = match &self.excerpt {
            Some(excerpt) => title.element(
                Snippet::source(excerpt.text.as_str())
                    .path(self.file.as_str())
                    .line_start(excerpt.first_line)
                    .annotation(
                        AnnotationKind::Primary
                            .span(excerpt.marked.clone())
                            .label(self.label.as_deref()),
                    ),
            ),
            None => title.element(
                Origin::path(self.file.as_str())
                    .line(self.line)
                    .char_column(self.column),
            ),
        };
        let help = self
            .suggestion
            .as_deref()
            .map(annotate_snippets::normalize_untrusted_str);
        let group = group.elements(help.map(|help| Level::HELP.message(help)));
        renderer.render(&[group])
    }
}

/// Everything that is wrong with a configuration, or doubtful in it, by file and line. Never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn new(findings: Vec<Finding>) -> Findings {
        Findings(findings)
    }

    /// All of them, in the order of files and lines.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them drawn under their lines, an empty line between two; with terminal colours if `colour`.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let drawn: Vec<String> = self.0.iter().map(|finding| finding.render(&renderer)).collect();
        drawn.join("\n\n")
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Findings {}

/// Advice for a `word` that is none of `known`: the nearest of them, else all when they are few.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const MOST_LISTED: usize = 16;
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(word, &known) {
        return Some(format!("did you mean `{near}`?"));
    }
    let listed = known
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ");
    (1..=MOST_LISTED)
        .contains(&known.len())
        .then(|| format!("known here: {listed}"))
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let most = (word.chars().count() / 3).clamp(1, 3);
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn the_nearest_word_is_offered_and_else_the_list() {
        let known = ["alarm", "warning", "fault", "hazard"];
        assert_eq!(did_you_mean("alarn", known).unwrap(), "did you mean `alarm`?");
        assert_eq!(
            did_you_mean("panic", known).unwrap(),
            "known here: `alarm`, `warning`, `fault`, `hazard`"
        );
        assert_eq!(did_you_mean("x", []), None);
    }
}

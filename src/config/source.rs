//! A configuration file's text, places in it, and the report that gathers what is wrong. Knows TOML's syntax, not
//! one key of ours.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use super::finding::{Excerpt, Finding, Findings, Nature};
use super::secrets;
use super::settings::counted;
use crate::domain::rule::ExpressionError;

/// The most findings that are told of one file.
const MOST_FINDINGS: usize = 100;

/// One file: its text, and the same text as it may be shown.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    directory: PathBuf,
    text: String,
    shown: String,
    line_starts: Vec<usize>,
    number: usize,
    form: Form,
}

/// What a file's text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Toml,
    Csv,
}

impl Source {
    /// The text as a tree, as far as it is TOML; what is not was reported when the file was opened.
    pub(super) fn tree(&self) -> Spanned<DeTable<'_>> {
        DeTable::parse_recoverable(&self.text).0
    }

    /// The whole text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What it is written in.
    pub(super) const fn form(&self) -> Form {
        self.form
    }

    /// The number of the line in which the byte at `offset` stands, from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    /// The folder that relative paths in this file start from.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn line_start(&self, line: usize) -> usize {
        self.line_starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(self.shown.len())
    }
}

/// Some bytes of a file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) source: Arc<Source>,
    pub(super) span: Range<usize>,
}

impl Place {
    /// A problem here.
    pub(super) fn problem(&self, message: impl Into<String>) -> Finding {
        let source = &self.source;
        let line = source.line_of(self.span.start);
        let start = source.line_start(line);
        let last_line = source.line_of(self.span.end.max(self.span.start + 1) - 1);
        let text = source
            .shown
            .get(start..source.line_start(last_line + 1))
            .unwrap_or_default();
        let before = source.shown.get(start..self.span.start).unwrap_or_default();
        Finding {
            file: source.name.clone(),
            span: self.span.clone(),
            line,
            column: before.chars().count() + 1,
            message: message.into(),
            label: None,
            suggestion: None,
            // A section that is not there has no line to show.
            excerpt: (self.span != (0..0)).then(|| excerpt(text, line, start, &self.span)),
            nature: Nature::Value,
            doubtful: false,
            file_number: source.number,
        }
    }

    /// The file, and the line from 1.
    pub(super) fn spot(&self) -> (String, usize) {
        (self.source.name.clone(), self.source.line_of(self.span.start))
    }

    /// Reports what is wrong with the condition `written` here, at its place in it.
    pub(super) fn explain(&self, written: &str, problem: &ExpressionError, report: &Report) {
        let exact = self.inside(written, &problem.span);
        let help = problem
            .suggestion
            .as_ref()
            .map(|near| format!("did you mean `{near}`?"));
        report.add(exact.problem(&*problem.message).help(help));
    }

    /// `range` of the string `value` written here, byte for byte; the whole when the text is not the value's own
    /// (escapes, a value from elsewhere).
    pub(super) fn inside(&self, value: &str, range: &Range<usize>) -> Place {
        let written = self.source.text.get(self.span.clone()).unwrap_or_default();
        let delimiter = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|delimiter| written.starts_with(delimiter));
        let content = delimiter
            .and_then(|delimiter| written.strip_prefix(delimiter)?.strip_suffix(delimiter))
            .map(|content| match delimiter {
                // TOML drops the line break right after an opening `"""`.
                Some("\"\"\"" | "'''") => {
                    let content = content.strip_prefix('\r').unwrap_or(content);
                    content.strip_prefix('\n').unwrap_or(content)
                }
                _ => content,
            });
        match (content, delimiter) {
            (Some(content), Some(delimiter)) if content == value && value.get(range.clone()).is_some() => {
                let start = self.span.end - delimiter.len() - content.len();
                Place {
                    source: Arc::clone(&self.source),
                    span: start + range.start..start + range.end,
                }
            }
            _ => self.clone(),
        }
    }
}

/// A file being read.
#[derive(Debug, Clone)]
pub(super) struct Scope<'r> {
    pub(super) source: Arc<Source>,
    pub(super) report: &'r Report,
}

impl Scope<'_> {
    /// `path` as written in this file, seen from the working directory.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.source.directory().join(path)
    }

    /// Some bytes of this file.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place {
            source: Arc::clone(&self.source),
            span,
        }
    }
}

/// `text` is what stands from `start`, where line `first_line` begins, to the end of the last line of `span`.
fn excerpt(text: &str, first_line: usize, start: usize, span: &Range<usize>) -> Excerpt {
    let text = text.trim_end_matches(['\n', '\r']).to_owned();
    let from = (span.start - start).min(text.len());
    let to = (span.end - start).min(text.len());
    // A masked secret is padded to its old length: mark what is left of it.
    let seen = text.get(from..to).map_or(0, |seen| seen.trim_end().len());
    let marked = from..from + seen;
    Excerpt {
        text,
        first_line,
        marked,
    }
}

/// Gathers the findings of one load.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
    files: RefCell<Vec<SyntaxErrors>>,
    incomplete: Cell<bool>,
}

/// Where a file is not TOML.
#[derive(Debug, Default)]
struct SyntaxErrors {
    first: Option<usize>,
    lines: Vec<usize>,
}

impl Report {
    /// Takes in a file and reports what in it is not TOML.
    pub(super) fn open(&self, name: String, directory: PathBuf, text: String) -> Arc<Source> {
        let (tree, errors) = DeTable::parse_recoverable(&text);
        let mut errors: Vec<(Range<usize>, String)> = errors
            .iter()
            .map(|error| (error.span().unwrap_or(0..0), error.message().to_owned()))
            .collect();
        errors.sort_by_key(|(span, _)| span.start);
        let shown = secrets::mask(&text, tree.get_ref(), !errors.is_empty());
        drop(tree);
        let source = self.source((name, directory), Form::Toml, (text, shown));
        // What follows on the same line is nearly always a consequence of the first.
        errors.dedup_by_key(|(span, _)| source.line_of(span.start));
        self.files.borrow_mut().push(SyntaxErrors {
            first: errors.first().map(|(span, _)| span.start),
            lines: errors
                .iter()
                .map(|(span, _)| source.line_of(span.start))
                .collect(),
        });
        for (span, message) in errors {
            let source = Arc::clone(&source);
            self.add(Place { source, span }.problem(message).nature(Nature::Syntax));
            self.mark_incomplete();
        }
        source
    }

    /// Takes in a CSV file, which has neither TOML's syntax nor secrets.
    pub(super) fn open_csv(&self, name: String, directory: PathBuf, text: String) -> Arc<Source> {
        let source = self.source((name, directory), Form::Csv, (text.clone(), text));
        self.files.borrow_mut().push(SyntaxErrors::default());
        source
    }

    fn source(
        &self,
        (name, directory): (String, PathBuf),
        form: Form,
        (text, shown): (String, String),
    ) -> Arc<Source> {
        Arc::new(Source {
            name,
            directory,
            line_starts: std::iter::once(0)
                .chain(text.match_indices('\n').map(|(at, _)| at + 1))
                .collect(),
            text,
            shown,
            number: self.files.borrow().len(),
            form,
        })
    }

    /// Adds a problem.
    pub(super) fn add(&self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }

    /// Adds what is allowed and hardly meant.
    pub(super) fn warn(&self, finding: Finding) {
        self.warnings.borrow_mut().push(finding.doubtful());
    }

    /// Some file could not be read (wholly): what it would have said is not known.
    pub(super) fn mark_incomplete(&self) {
        self.incomplete.set(true);
    }

    /// Whether every file so far was read wholly, so that a name not seen does not exist.
    pub(super) fn is_complete(&self) -> bool {
        !self.incomplete.get()
    }

    /// How many findings there are so far.
    pub(super) fn count(&self) -> usize {
        self.findings.borrow().len()
    }

    /// All findings in the order of files and lines, if there are any; without those that may be no more than
    /// the consequence of a syntax error in their file. Where nothing is wrong, the warnings.
    pub(super) fn finish(self) -> Result<Findings, Findings> {
        let files = self.files.into_inner();
        let is_sure = |finding: &Finding| {
            files
                .get(finding.file_number)
                .is_none_or(|errors| errors.leave_sure(finding))
        };
        let mut findings = self.findings.into_inner();
        findings.retain(is_sure);
        findings.sort_by_key(|finding| (finding.file_number, finding.span.start));
        shorten(&mut findings);
        if findings.is_empty() {
            let mut warnings = self.warnings.into_inner();
            warnings.sort_by_key(|finding| (finding.file_number, finding.span.start));
            Ok(Findings::new(warnings))
        } else {
            Err(Findings::new(findings))
        }
    }
}

/// Of each file the first findings: a column that is wrong in ten thousand lines is one mistake.
fn shorten(findings: &mut Vec<Finding>) {
    let mut kept = Vec::with_capacity(findings.len().min(MOST_FINDINGS));
    for of_file in findings.chunk_by(|a, b| a.file_number == b.file_number) {
        kept.extend(of_file.iter().take(MOST_FINDINGS).cloned());
        if let Some(next) = of_file.get(MOST_FINDINGS) {
            let more = counted(of_file.len() - MOST_FINDINGS, "more finding");
            kept.push(Finding {
                message: format!("{more} in this file, from here on"),
                label: None,
                suggestion: Some("mend those above first".to_owned()),
                ..next.clone()
            });
        }
    }
    *findings = kept;
}

impl SyntaxErrors {
    fn leave_sure(&self, finding: &Finding) -> bool {
        let Some(first) = self.first else {
            return true;
        };
        let on_broken_line = self.lines.binary_search(&finding.line).is_ok();
        match finding.nature {
            Nature::Syntax => true,
            Nature::Value => !on_broken_line,
            Nature::UnknownKey => !on_broken_line && finding.span.start < first,
            Nature::Missing => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::{Place, Report};

    /// What `inside` marks of the value of `x`, for the bytes of `needle` in it.
    fn marked(text: &str, needle: &str) -> String {
        let report = Report::default();
        let source = report.open("f".to_owned(), PathBuf::new(), text.to_owned());
        let tree = source.tree();
        let value = &tree.get_ref()["x"];
        let place = Place {
            source: Arc::clone(&source),
            span: value.span(),
        };
        let written = value.get_ref().as_str().unwrap_or(needle);
        let at = written.find(needle).unwrap();
        let exact = place.inside(written, &(at..at + needle.len()));
        text[exact.span].to_owned()
    }

    #[test]
    fn a_part_of_a_string_is_found_in_every_form_of_it() {
        for text in [
            "x = \"a && lel > 1\"",
            "x = 'a && lel > 1'",
            "x = \"\"\"a &&\n lel > 1\"\"\"",
            "x = \"\"\"\na &&\n lel > 1\n\"\"\"",
            "x = \"\"\"\r\n气 &&\n lel > 1\"\"\"",
            "x = '''\nlel > 1'''",
        ] {
            assert_eq!(marked(text, "lel > 1"), "lel > 1", "{text}");
        }
    }

    #[test]
    fn where_the_text_is_not_the_values_own_the_whole_is_marked() {
        for text in [
            "x = \"\\u0061 && lel\"",
            "x = \"\"\"a \\\n  lel\"\"\"",
            "x = { env = \"lel\" }",
        ] {
            assert_eq!(marked(text, "lel"), text[4..], "{text}");
        }
    }

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let report = Report::default();
        let text = "\n气 = 1\n".to_owned();
        let source = report.open("f".to_owned(), PathBuf::new(), text);
        let finding = Place { source, span: 7..8 }.problem("");
        assert_eq!((finding.line, finding.column), (2, 5));
    }
}

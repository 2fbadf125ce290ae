//! Reads a CSV file as one table a line, each cell with its place, so that lines are checked by the readers of TOML. Knows
//! no column by itself.

use std::ops::Range;

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::{Nature, did_you_mean};
use super::source::Scope;

/// What may separate cells: Excel takes `;` where `,` is the decimal point, and a tab in its Unicode text.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// What separates several values in one cell; spaces around them do not count.
const LIST: [char; 3] = ['|', ';', ' '];

/// How the cells of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// Yes or no.
    Flag,
    /// `2026-05-01`, or `2026/5/1` as Excel has it.
    Date,
    /// Texts with `|` or a space between them.
    List,
}

/// A column that a file may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its heading.
    pub(super) key: &'static str,
    /// The heading in Chinese.
    pub(super) zh: &'static str,
    pub(super) form: Form,
}

/// One line of the file: its cells that have something in them, by the column's key.
#[derive(Debug)]
pub(super) struct Line {
    /// From its first cell to its last.
    pub(super) span: Range<usize>,
    pub(super) cells: DeTable<'static>,
}

#[derive(Debug)]
struct Cell {
    text: String,
    span: Range<usize>,
}

/// The lines below the headings. Headings that are none of `columns`, and lines that are longer than the headings, are
/// reported.
pub(super) fn read(scope: &Scope<'_>, columns: &[Column]) -> Vec<Line> {
    let text = scope.source.text();
    let mut rows = rows(text).into_iter();
    let Some(headings) = rows.next() else {
        let problem = scope.place(0..0).problem("there is nothing in the file");
        scope.report.add(problem.nature(Nature::Missing));
        return Vec::new();
    };
    let headings = read_headings(&headings, columns, scope);
    rows.filter_map(|row| read_line(&row, &headings, scope)).collect()
}

fn read_headings(row: &[Cell], columns: &[Column], scope: &Scope<'_>) -> Vec<Option<Column>> {
    let mut headings: Vec<Option<Column>> = Vec::with_capacity(row.len());
    for cell in row {
        let name = cell.text.trim();
        let found = columns
            .iter()
            .find(|column| column.key.eq_ignore_ascii_case(name) || column.zh == name);
        let place = scope.place(cell.span.clone());
        let known = headings.iter().flatten();
        let twice = found.is_some_and(|found| known.into_iter().any(|known| known.key == found.key));
        if twice {
            scope
                .report
                .add(place.problem(format!("the column `{name}` stands twice")));
        } else if found.is_none() && !name.is_empty() {
            let help = did_you_mean(name, columns.iter().map(|column| column.key)).unwrap_or_else(|| {
                let keys: Vec<&str> = columns.iter().map(|column| column.key).collect();
                format!("known here: {}", keys.join(", "))
            });
            let problem = place.problem(format!("unknown column `{name}`"));
            scope.report.add(problem.nature(Nature::UnknownKey).help(help));
        }
        headings.push(found.copied().filter(|_| !twice));
    }
    headings
}

/// `None`: there is nothing in the line.
fn read_line(row: &[Cell], headings: &[Option<Column>], scope: &Scope<'_>) -> Option<Line> {
    let filled = || row.iter().filter(|cell| !cell.text.trim().is_empty());
    let span = filled().next()?.span.start..filled().next_back()?.span.end;
    let mut cells = DeTable::new();
    for (place, cell) in row.iter().enumerate() {
        let text = cell.text.trim();
        if text.is_empty() {
            continue;
        }
        let written = scope.source.text().get(cell.span.clone()).unwrap_or_default();
        if written.starts_with('"') && (written.len() == 1 || !written.ends_with('"')) {
            let problem = scope.place(cell.span.start..cell.span.start + 1);
            scope
                .report
                .add(problem.problem("the quote that opens here is never closed"));
            break;
        }
        match headings.get(place) {
            Some(Some(column)) => {
                let key = Spanned::new(cell.span.clone(), column.key.into());
                let value = value(column.form, text, &cell.span);
                cells.insert(key, Spanned::new(cell.span.clone(), value));
            }
            // The heading was reported, or is empty: then the column is somebody's own.
            Some(None) => {}
            None => {
                let message = format!("a cell without a heading: there are {} columns", headings.len());
                let problem = scope.place(cell.span.clone()).problem(message);
                let help = "put a text with the delimiter in it between quotes".to_owned();
                scope.report.add(problem.help(help));
                break;
            }
        }
    }
    Some(Line { span, cells })
}

/// What a cell says, as TOML would have it; as text where it does not fit, so that its reader says what it should be.
fn value(form: Form, text: &str, span: &Range<usize>) -> DeValue<'static> {
    let plain = || DeValue::String(text.to_owned().into());
    match form {
        Form::Text => plain(),
        Form::Flag => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" | "是" => DeValue::Boolean(true),
            "false" | "no" | "0" | "否" => DeValue::Boolean(false),
            _ => plain(),
        },
        Form::Date => {
            let mut parts = text.split(['/', '-', '.']).map(str::parse::<u16>);
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(Ok(year)), Some(Ok(month)), Some(Ok(day)), None) => {
                    DeValue::String(format!("{year:04}-{month:02}-{day:02}").into())
                }
                _ => plain(),
            }
        }
        Form::List => {
            let items = text.split(LIST).filter(|item| !item.is_empty());
            let items = items.map(|item| Spanned::new(span.clone(), DeValue::String(item.to_owned().into())));
            DeValue::Array(items.collect())
        }
    }
}

/// All cells of all lines, with the bytes that each stands in.
fn rows(text: &str) -> Vec<Vec<Cell>> {
    let mut reader = reader(text);
    let mut field = vec![0; text.len().max(1)];
    let (mut rows, mut row, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        if row.is_empty() {
            // The parser passes over empty lines; they belong to no cell.
            let rest = text.get(at..).unwrap_or_default();
            at += rest.len() - rest.trim_start_matches(['\r', '\n']).len();
        }
        let input = text.as_bytes().get(at..).unwrap_or_default();
        let (result, read, written) = reader.read_field(input, &mut field);
        let span = trimmed(text, at..at + read);
        at += read;
        let taken = field.get(..written).unwrap_or_default();
        let cell = || Cell {
            text: String::from_utf8_lossy(taken).into_owned(),
            span,
        };
        match result {
            ReadFieldResult::Field { record_end } => {
                row.push(cell());
                if record_end {
                    rows.push(std::mem::take(&mut row));
                }
            }
            // There is room for the whole text: what is left of it is the last cell, which only the next call ends.
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull if written > 0 => {
                row.push(cell());
                rows.push(std::mem::take(&mut row));
                return rows;
            }
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::End => {
                if !row.is_empty() {
                    rows.push(row);
                }
                return rows;
            }
        }
    }
}

/// A parser by the delimiter that the headings have most of.
fn reader(text: &str) -> Reader {
    let headings = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let count = |delimiter: u8| headings.bytes().filter(|byte| *byte == delimiter).count();
    let delimiter = DELIMITERS
        .into_iter()
        .rev()
        .max_by_key(|delimiter| count(*delimiter))
        .unwrap_or(b',');
    ReaderBuilder::new().delimiter(delimiter).build()
}

/// `span` without the delimiter or line end behind the cell, and without spaces around it.
fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let written = text.get(span.clone()).unwrap_or_default();
    let written = written.trim_end_matches(['\r', '\n']);
    let written = written.strip_suffix([',', ';', '\t']).unwrap_or(written);
    let start = span.start + written.len() - written.trim_start().len();
    start..(span.start + written.trim_end().len()).max(start)
}

#[cfg(test)]
mod tests {
    use super::rows;

    fn cells(text: &str) -> Vec<Vec<(String, &str)>> {
        let row = |row: Vec<super::Cell>| {
            row.into_iter()
                .map(|cell| (cell.text, &text[cell.span]))
                .collect()
        };
        rows(text).into_iter().map(row).collect()
    }

    #[test]
    fn each_cell_is_known_with_its_place() {
        let text = "a,b\r\n\r\n 1 ,\"x, \"\"y\"\"\"\r\n,\n2,气";
        let found = cells(text);
        let expected: Vec<Vec<(&str, &str)>> = vec![
            vec![("a", "a"), ("b", "b")],
            vec![(" 1 ", "1"), ("x, \"y\"", "\"x, \"\"y\"\"\"")],
            vec![("", ""), ("", "")],
            vec![("2", "2"), ("气", "气")],
        ];
        let found: Vec<Vec<(&str, &str)>> = found
            .iter()
            .map(|row| row.iter().map(|(text, place)| (text.as_str(), *place)).collect())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_delimiter_is_that_of_the_headings() {
        for text in ["a;b\n1,5;2", "a\tb\n1,5\t2"] {
            assert_eq!(cells(text)[1][0].0, "1,5", "{text}");
            assert_eq!(cells(text)[1].len(), 2);
        }
    }

    #[test]
    fn any_text_comes_to_an_end() {
        for text in ["", "\n", "\"", "a,\"b\nc,d", "\r\n\r\n", ",", "a\n\"\""] {
            let all = rows(text);
            assert!(all.len() <= 3, "{text:?}: {all:?}");
        }
    }
}

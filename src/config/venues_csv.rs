//! Venues and devices as CSV: a device a line, with the venue that it belongs to. What is said of a venue may stand in any
//! of its lines, or in all of them.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::csv::{self, Column, Form};
use super::document::Table;
use super::source::Scope;
use super::venues::{Draft, Keys};

const fn column(key: &'static str, zh: &'static str, form: Form) -> Column {
    Column { key, zh, form }
}

/// The columns about the venue; the first is its id.
const OF_VENUE: [Column; 7] = [
    column("venue", "场所编号", Form::Text),
    column("venue_name", "场所名称", Form::Text),
    column("venue_kind", "场所类型", Form::Text),
    column("address", "地址", Form::Text),
    column("district", "区县", Form::Text),
    column("time_zone", "时区", Form::Text),
    column("confirm_linkage", "联动确认", Form::Flag),
];

/// The columns about the device; the first is its id.
const OF_DEVICE: [Column; 12] = [
    column("device", "设备编号", Form::Text),
    column("kind", "设备类型", Form::Text),
    column("name", "设备名称", Form::Text),
    column("profile", "接入协议", Form::Text),
    column("parent", "上级设备", Form::Text),
    column("remote_open", "允许远程开启", Form::Flag),
    column("silent_after", "静默时限", Form::Text),
    column("exercise", "定期试动", Form::Text),
    column("installed", "安装日期", Form::Date),
    column("expires", "到期日期", Form::Date),
    column("retired", "已停用", Form::Flag),
    column("aliases", "曾用编号", Form::List),
];

const IN_CSV: Keys = Keys {
    venue: "venue",
    venue_name: "venue_name",
    venue_kind: "venue_kind",
    device: "device",
};

/// What lines say of one venue.
#[derive(Debug)]
struct Described {
    id: String,
    /// The first of its lines.
    span: Range<usize>,
    cells: DeTable<'static>,
}

/// Takes what the file of `scope` says into `draft`; each venue that it names and does not describe, and where.
pub(super) fn read(scope: &Scope<'_>, draft: &mut Draft<'_>) -> Vec<(String, Range<usize>)> {
    let columns: Vec<Column> = OF_VENUE.into_iter().chain(OF_DEVICE).collect();
    let mut venues: Vec<Described> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for line in csv::read(scope, &columns) {
        let title = format!("line {}", scope.source.line_of(line.span.start));
        let (of_venue, of_device) = halves(line.cells);
        let id = of_venue
            .get("venue")
            .and_then(|id| Some((id.get_ref().as_str()?.to_owned(), id.span())));
        let venue = id.as_ref().map_or("", |(id, _)| id.as_str());
        if id.is_none() {
            let place = scope.place(line.span.clone());
            scope.report.add(place.problem(format!("{title} names no venue")));
        }
        if !of_device.is_empty() {
            let place = scope.place(line.span.clone());
            draft.read_device(Table::new(scope, title, place, Some(&of_device)), venue, IN_CSV);
        }
        let Some((id, span)) = id else { continue };
        let place = *places.entry(id.clone()).or_insert_with(|| {
            venues.push(Described {
                id,
                span,
                cells: DeTable::new(),
            });
            venues.len() - 1
        });
        if let Some(described) = venues.get_mut(place) {
            described.add(of_venue, scope);
        }
    }
    describe(venues, scope, draft)
}

fn describe(venues: Vec<Described>, scope: &Scope<'_>, draft: &mut Draft<'_>) -> Vec<(String, Range<usize>)> {
    let mut named = Vec::new();
    for Described { id, span, cells } in venues {
        // Its id alone says nothing of it.
        if cells.len() < 2 {
            named.push((id, span));
            continue;
        }
        let title = format!("the venue `{id}`");
        let place = scope.place(span);
        draft.read_venue(Table::new(scope, title, place, Some(&cells)), IN_CSV);
    }
    named
}

fn halves(cells: DeTable<'static>) -> (DeTable<'static>, DeTable<'static>) {
    let (mut of_venue, mut of_device) = (DeTable::new(), DeTable::new());
    for (key, value) in cells {
        let half = if OF_VENUE.iter().any(|column| column.key == key.get_ref()) {
            &mut of_venue
        } else {
            &mut of_device
        };
        half.insert(key, value);
    }
    (of_venue, of_device)
}

impl Described {
    /// Takes over what another line says; what differs from an earlier one is reported.
    fn add(&mut self, cells: DeTable<'static>, scope: &Scope<'_>) {
        for (key, value) in cells {
            let Some(earlier) = self.cells.get(key.get_ref().as_ref()) else {
                self.cells.insert(key, value);
                continue;
            };
            if same(earlier, &value) {
                continue;
            }
            let line = scope.source.line_of(earlier.span().start);
            let message = format!(
                "`{}` of the venue `{}` is different in line {line}",
                key.get_ref(),
                self.id
            );
            let problem = scope.place(value.span()).problem(message);
            let help = "say it once, or the same in each line".to_owned();
            scope.report.add(problem.help(help));
        }
    }
}

fn same(one: &Spanned<DeValue<'static>>, other: &Spanned<DeValue<'static>>) -> bool {
    let (one, other) = (one.get_ref(), other.get_ref());
    one.as_str() == other.as_str() && one.as_bool() == other.as_bool()
}

//! Which rules of a kind can answer differently when values change: each slot with the numbers that rules compare it with,
//! and the rules that read it. A value that moves without passing such a number changes no answer, so nothing is evaluated,
//! however many rules there are. Never evaluates anything itself.

use super::super::kind::SlotSet;
use super::Rule;
use super::condition::{Relation, Test};
use super::program::Program;

/// So many numbers are compared at once; a slot that is compared with more is searched.
const LANES: usize = 4;

/// Every slot of a kind.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    rows: Box<[Row]>,
    /// The slots whose every change may count.
    used: SlotSet,
    /// How many words the sets of rules have.
    words: usize,
}

/// One slot.
#[derive(Debug, Clone)]
struct Row {
    /// The slot as a set.
    own: SlotSet,
    /// The edges, filled up with infinity.
    lanes: [f64; LANES],
    /// All edges in ascending order, where they are too many for `lanes`.
    many: Box<[f64]>,
    /// The rules that compare the slot with numbers.
    comparing: Box<[u64]>,
    /// The rules that use its value as it is.
    using: Box<[u64]>,
    /// The rules for which it is evidence.
    depending: Box<[u64]>,
}

/// Slots with news.
#[derive(Debug, Clone, Copy, Default)]
pub struct News {
    /// Those that were spoken of, or made from one that was.
    pub heard: SlotSet,
    /// Those of them that have another value.
    pub changed: SlotSet,
    /// Those of them whose value passed an edge.
    pub crossed: SlotSet,
}

impl News {
    /// Every one of `slots` may change answers.
    pub const fn all(slots: SlotSet) -> News {
        News {
            heard: slots,
            changed: slots,
            crossed: slots,
        }
    }

    /// This and the other.
    #[must_use]
    pub const fn union(self, other: News) -> News {
        News {
            heard: self.heard.union(other.heard),
            changed: self.changed.union(other.changed),
            crossed: self.crossed.union(other.crossed),
        }
    }
}

impl Grid {
    /// The grid of `rules` over so many slots, and of `feeds`, whose places come behind those of the rules.
    pub fn of(rules: &[Rule], feeds: &[&Program], slots: usize) -> Grid {
        let words = (rules.len() + feeds.len()).div_ceil(64);
        let nobody = || vec![0; words].into_boxed_slice();
        let mut edges: Vec<Vec<f64>> = vec![Vec::new(); slots];
        let slot = |slot| Row {
            own: SlotSet::EMPTY.with_slot(slot),
            lanes: [f64::INFINITY; LANES],
            many: Box::default(),
            comparing: nobody(),
            using: nobody(),
            depending: nobody(),
        };
        let mut rows: Vec<Row> = (0_u8..).take(slots).map(slot).collect();
        let mut used = SlotSet::EMPTY;
        let of_rules = rules
            .iter()
            .map(|rule| rule.conditions().flat_map(Program::probes).collect::<Vec<_>>());
        let of_feeds = feeds.iter().map(|feed| feed.probes());
        for (place, probes) in of_rules.chain(of_feeds).enumerate() {
            for probe in probes {
                match probe {
                    Probe::Edge(relation, slot, value) => {
                        if let Some(edges) = edges.get_mut(usize::from(slot)) {
                            edges.extend(relation.edges(value).into_iter().flatten());
                        }
                        enter(&mut rows, slot, place, |row| &mut row.comparing);
                    }
                    Probe::Whole(slot) => {
                        used = used.with_slot(slot);
                        enter(&mut rows, slot, place, |row| &mut row.using);
                    }
                }
            }
        }
        for (place, rule) in rules.iter().enumerate() {
            for slot in rule.depends.slots() {
                enter(&mut rows, slot, place, |row| &mut row.depending);
            }
        }
        for (row, mut edges) in rows.iter_mut().zip(edges) {
            edges.sort_by(f64::total_cmp);
            edges.dedup();
            if edges.len() <= LANES {
                for (lane, edge) in row.lanes.iter_mut().zip(edges) {
                    *lane = edge;
                }
            } else {
                row.many = edges.into();
            }
        }
        Grid {
            rows: rows.into(),
            used,
            words,
        }
    }

    /// Notes that `slot` was spoken of, and went from `old` to `new`.
    #[inline]
    pub fn note(&self, slot: u8, old: f64, new: f64, news: &mut News) {
        let Some(row) = self.rows.get(usize::from(slot)) else {
            return;
        };
        news.heard = news.heard.union(row.own);
        if old.to_bits() == new.to_bits() {
            return;
        }
        news.changed = news.changed.union(row.own);
        if row.crosses(old, new) {
            news.crossed = news.crossed.union(row.own);
        }
    }

    /// The places of the rules and feeds that may answer differently by this news, and of the rules for which it is
    /// evidence by way of a slot in `awaited`, in order.
    #[inline]
    pub fn due(&self, news: News, awaited: SlotSet) -> impl Iterator<Item = usize> {
        let evidence = news.heard.intersection(awaited);
        let changed = news.changed.intersection(self.used);
        let words = if evidence.is_empty() && changed.is_empty() && news.crossed.is_empty() {
            0
        } else {
            self.words
        };
        (0..words).flat_map(move |word| {
            let crossed = self.rules(news.crossed, word, |row| &row.comparing);
            let changed = self.rules(changed, word, |row| &row.using);
            let awaiting = self.rules(evidence, word, |row| &row.depending);
            places(crossed | changed | awaiting).map(move |place| word * 64 + place)
        })
    }

    #[inline]
    fn rules(&self, slots: SlotSet, word: usize, of: impl Fn(&Row) -> &[u64]) -> u64 {
        slots
            .slots()
            .filter_map(|slot| of(self.rows.get(usize::from(slot))?).get(word))
            .fold(0, |rules, more| rules | more)
    }
}

impl Row {
    /// Whether a condition that compares the slot with a number can answer differently. Between known and unknown
    /// every answer may change.
    #[inline]
    fn crosses(&self, old: f64, new: f64) -> bool {
        if old.is_nan() || new.is_nan() {
            return old.is_nan() != new.is_nan();
        }
        let lies_between = |edge: &f64| (old < *edge) ^ (new < *edge);
        if self.many.is_empty() {
            return self
                .lanes
                .iter()
                .fold(false, |crossed, edge| crossed | lies_between(edge));
        }
        let above = self.many.partition_point(|edge| *edge <= old);
        self.many
            .iter()
            .skip(above.saturating_sub(1))
            .take(2)
            .any(lies_between)
    }
}

fn enter(rows: &mut [Row], slot: u8, place: usize, of: impl Fn(&mut Row) -> &mut Box<[u64]>) {
    let row = rows.get_mut(usize::from(slot));
    if let Some(word) = row.and_then(|row| of(row).get_mut(place / 64)) {
        *word |= 1 << (place % 64);
    }
}

/// The places of the bits that are set.
#[inline]
fn places(bits: u64) -> impl Iterator<Item = usize> {
    let after = |bits: u64| bits & bits.wrapping_sub(1);
    std::iter::successors(Some(bits), move |bits| Some(after(*bits)))
        .take_while(|bits| *bits != 0)
        .map(|bits| bits.trailing_zeros() as usize)
}

/// What a program asks of the slots, one question at a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Probe {
    /// A slot is compared with a number.
    Edge(Relation, u8, f64),
    /// A slot's value counts as it is.
    Whole(u8),
}

impl Probe {
    /// What a test asks: of one slot or two.
    pub(super) const fn of(test: Test) -> [Probe; 2] {
        match test {
            Test::Constant(relation, slot, value) => [Probe::Edge(relation, slot, value); 2],
            // Each bound is compared in every way: it may be below, at or above the number.
            Test::Bounded(_, slot, value) => [
                Probe::Edge(Relation::EQUAL, slot, value),
                Probe::Edge(Relation::EQUAL, slot.saturating_add(1), value),
            ],
            Test::Slots(_, left, right) | Test::Difference(_, left, right, _) => {
                [Probe::Whole(left), Probe::Whole(right)]
            }
            Test::OneOf(slot, _) => [Probe::Whole(slot); 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::definitions::{DefinitionSource, Definitions};
    use super::super::super::kind::{Kind, SlotSet};
    use super::super::RuleDef;
    use super::super::tests::kind;
    use super::{Grid, News};

    fn grid(conditions: impl IntoIterator<Item = String>) -> Grid {
        let rules = conditions
            .into_iter()
            .enumerate()
            .map(|(place, when)| RuleDef::new(&place.to_string(), "gas", &when));
        let kinds = vec![Kind {
            id: "gas".to_owned(),
            ..kind()
        }];
        let source = DefinitionSource {
            kinds,
            rules: rules.collect(),
            ..DefinitionSource::default()
        };
        let definitions = Definitions::compile(source).expect("the rules are right");
        definitions.kinds().next().expect("a kind").grid.clone()
    }

    fn due(grid: &Grid, (slot, old, new): (u8, f64, f64), awaited: SlotSet) -> Vec<usize> {
        let mut news = News::default();
        grid.note(slot, old, new, &mut news);
        grid.due(news, awaited).collect()
    }

    #[test]
    fn only_the_way_past_a_compared_number_counts() {
        let nan = f64::NAN;
        for (when, old, new, counts) in [
            ("lel >= 25.0", 0.0, 24.9, false),
            ("lel >= 25.0", 24.9, 25.0, true),
            ("lel >= 25.0", 25.0, 25.1, false),
            ("lel > 25.0", 24.9, 25.0, false),
            ("lel > 25.0", 25.0, 25.1, true),
            ("lel <= 25.0", 25.1, 25.0, true),
            ("lel < 25.0", 25.1, 25.0, false),
            ("lel == 25.0", 24.0, 26.0, true),
            ("lel == 25.0", 25.0, 25.1, true),
            ("lel != 25.0", 25.1, 26.0, false),
            ("lel < 0.0", 0.0, -0.0, false),
            ("lel >= 25.0", nan, 1.0, true),
            ("lel >= 25.0", 1.0, nan, true),
            ("lel >= 25.0", nan, nan, false),
            ("temperature >= 25.0", 0.0, 99.0, false),
            ("lel > temperature", 1.0, 1.5, true),
            ("lel > temperature", 1.5, 1.5, false),
            ("lel * 2.0 > 90.0", 1.0, 1.5, true),
            ("lel - temperature > 90.0", 1.0, 1.5, true),
            ("lel * 2.0 > 90.0", 1.0, 1.0, false),
        ] {
            let due = due(&grid([when.to_owned()]), (1, old, new), SlotSet::EMPTY);
            assert_eq!(!due.is_empty(), counts, "{when}: {old} to {new}");
        }
    }

    #[test]
    fn many_edges_and_rules_are_found_as_few_are() {
        let rules = (0..100).map(|place| format!("lel >= {place}.0 && temperature > 0.0"));
        let grid = grid(rules.chain(["wet".to_owned(), "lel - temperature > 5.0".to_owned()]));
        for (old, new, edge) in [
            (-5.0, -1.0, false),
            (-5.0, 0.0, true),
            (0.0, 0.9, false),
            (50.0, 50.9, false),
            (50.9, 51.0, true),
            (50.0, 49.9, true),
            (3.0, 97.0, true),
            (97.0, 3.0, true),
            (99.0, 500.0, false),
            (500.0, 98.9, true),
            (f64::NAN, 500.0, true),
        ] {
            let due = due(&grid, (1, old, new), SlotSet::EMPTY);
            let expected: Vec<usize> = (0..102)
                .filter(|place| *place == 101 || (edge && *place < 100))
                .collect();
            assert_eq!(due, expected, "{old} to {new}");
        }
    }

    #[test]
    fn evidence_is_asked_for_by_its_slot() {
        let grid = grid(["lel >= 25.0", "temperature > 60.0", "lel > 5.0 && wet"].map(str::to_owned));
        let lel = SlotSet::EMPTY.with_slot(1);
        assert_eq!(due(&grid, (1, 7.0, 7.0), lel), [0, 2]);
        assert_eq!(due(&grid, (2, 7.0, 7.0), lel), [] as [usize; 0]);
    }
}

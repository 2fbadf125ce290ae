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
    /// For each slot in turn, `words` sets of rules and feeds.
    rules: Box<[Rules]>,
    /// How many words the sets have.
    words: usize,
    /// The slots whose every change may count.
    used: SlotSet,
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
}

/// The rules that have to do with one slot: 64 of them, by place.
#[derive(Debug, Clone, Copy, Default)]
struct Rules {
    /// Those that compare it with numbers.
    comparing: u64,
    /// Those that use its value as it is.
    using: u64,
    /// Those for which it is evidence.
    depending: u64,
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
        let mut grid = Grid {
            rows: (0_u8..).take(slots).map(Row::new).collect(),
            rules: vec![Rules::default(); slots * words].into(),
            words,
            used: SlotSet::EMPTY,
        };
        let mut edges: Vec<Vec<f64>> = vec![Vec::new(); slots];
        let of_rules = rules
            .iter()
            .map(|rule| rule.conditions().flat_map(Program::probes).collect::<Vec<_>>());
        let of_feeds = feeds.iter().map(|feed| feed.probes());
        for (place, probes) in of_rules.chain(of_feeds).enumerate() {
            let bit = 1 << (place % 64);
            for probe in probes {
                match probe {
                    Probe::Edge(relation, slot, value) => {
                        if let Some(edges) = edges.get_mut(usize::from(slot)) {
                            edges.extend(relation.edges(value).into_iter().flatten());
                        }
                        grid.enter(slot, place, |rules| rules.comparing |= bit);
                    }
                    Probe::Whole(slot) => {
                        grid.used = grid.used.with_slot(slot);
                        grid.enter(slot, place, |rules| rules.using |= bit);
                    }
                }
            }
        }
        for (place, rule) in rules.iter().enumerate() {
            for slot in rule.depends.slots() {
                grid.enter(slot, place, |rules| rules.depending |= 1 << (place % 64));
            }
        }
        for (row, edges) in grid.rows.iter_mut().zip(edges) {
            row.set(edges);
        }
        grid
    }

    fn enter(&mut self, slot: u8, place: usize, enter: impl Fn(&mut Rules)) {
        let found = self.rules.get_mut(usize::from(slot) * self.words + place / 64);
        if let Some(rules) = found {
            enter(rules);
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
    pub fn due(&self, news: News, awaited: SlotSet) -> Due<'_> {
        let evidence = news.heard.intersection(awaited);
        let changed = news.changed.intersection(self.used);
        let nothing = evidence.is_empty() && changed.is_empty() && news.crossed.is_empty();
        Due {
            grid: self,
            crossed: news.crossed,
            changed,
            evidence,
            word: if nothing { self.words } else { 0 },
            bits: 0,
        }
    }

    #[inline]
    fn rules(&self, slot: u8, word: usize) -> Rules {
        let found = self.rules.get(usize::from(slot) * self.words + word);
        found.copied().unwrap_or_default()
    }
}

/// The places of rules and feeds, in order.
#[derive(Debug)]
pub struct Due<'a> {
    grid: &'a Grid,
    crossed: SlotSet,
    changed: SlotSet,
    evidence: SlotSet,
    /// The next word.
    word: usize,
    /// What is left of the last one.
    bits: u64,
}

impl Iterator for Due<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            if self.word >= self.grid.words {
                return None;
            }
            for slot in self.crossed.slots() {
                self.bits |= self.grid.rules(slot, self.word).comparing;
            }
            for slot in self.changed.slots() {
                self.bits |= self.grid.rules(slot, self.word).using;
            }
            for slot in self.evidence.slots() {
                self.bits |= self.grid.rules(slot, self.word).depending;
            }
            self.word += 1;
        }
        let place = self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some((self.word - 1) * 64 + place)
    }
}

impl Row {
    fn new(slot: u8) -> Row {
        Row {
            own: SlotSet::EMPTY.with_slot(slot),
            lanes: [f64::INFINITY; LANES],
            many: Box::default(),
        }
    }

    fn set(&mut self, mut edges: Vec<f64>) {
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        if edges.len() > LANES {
            self.many = edges.into();
            return;
        }
        for (lane, edge) in self.lanes.iter_mut().zip(edges) {
            *lane = edge;
        }
    }

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

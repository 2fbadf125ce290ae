//! Where the answers of a kind's conditions can change: the numbers that they compare each slot with. A value that
//! moves without passing one of them changes no answer, so nothing needs to be evaluated. Never evaluates anything.

use super::condition::{Relation, Test};
use super::program::Program;

/// Up to so many edges are looked at one after the other, without a branch; more are searched.
const ROW: usize = 16;

/// The edges of every slot of a kind.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    rows: Box<[Edges]>,
}

/// What is compared with one slot.
#[derive(Debug, Clone, Default)]
struct Edges {
    /// Ascending. An answer differs only between values of which one is below an edge and the other is not.
    at: Vec<f64>,
    /// The slot is calculated with, or compared with another: every change may count.
    everywhere: bool,
}

impl Grid {
    /// The grid of these programs over so many slots.
    pub fn of<'a>(programs: impl Iterator<Item = &'a Program>, slots: usize) -> Grid {
        let mut rows = vec![Edges::default(); slots];
        for program in programs {
            for probe in program.probes() {
                probe.enter(&mut rows);
            }
        }
        for row in &mut rows {
            row.at.sort_by(f64::total_cmp);
            row.at.dedup();
        }
        Grid { rows: rows.into() }
    }

    /// Whether any condition can answer differently once `slot` has gone from `old` to `new`.
    #[inline]
    pub fn crosses(&self, slot: u8, old: f64, new: f64) -> bool {
        #[expect(clippy::float_cmp, reason = "the same value gives the same answers")]
        if old == new {
            return false;
        }
        let Some(row) = self.rows.get(usize::from(slot)) else {
            return false;
        };
        // Between known and unknown every answer may change.
        if row.everywhere || old.is_nan() || new.is_nan() {
            return !(old.is_nan() && new.is_nan());
        }
        let between = |crossed: bool, edge: &f64| crossed | ((old < *edge) != (new < *edge));
        if row.at.len() <= ROW {
            return row.at.iter().fold(false, between);
        }
        let above = row.at.partition_point(|edge| *edge <= old);
        let nearest = row.at.iter().skip(above.saturating_sub(1)).take(2);
        nearest.fold(false, between)
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
            Test::Slots(_, left, right) => [Probe::Whole(left), Probe::Whole(right)],
            Test::OneOf(slot, _) => [Probe::Whole(slot); 2],
        }
    }

    /// The slot that it is about.
    pub(super) const fn slot(self) -> u8 {
        match self {
            Probe::Edge(_, slot, _) | Probe::Whole(slot) => slot,
        }
    }

    fn enter(self, rows: &mut [Edges]) {
        match self {
            Probe::Edge(relation, slot, value) => {
                if let Some(row) = rows.get_mut(usize::from(slot)) {
                    row.at.extend(relation.edges(value).into_iter().flatten());
                }
            }
            Probe::Whole(slot) => {
                if let Some(row) = rows.get_mut(usize::from(slot)) {
                    row.everywhere = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::definitions::{DefinitionSource, Definitions};
    use super::super::tests::kind;
    use super::super::{Program, RuleDef, compile};
    use super::Grid;

    fn grid(conditions: &[&str]) -> Grid {
        let programs: Vec<Program> = conditions
            .iter()
            .map(|when| compile(when, &kind()).expect("a condition"))
            .collect();
        Grid::of(programs.iter(), kind().points.len())
    }

    #[test]
    fn only_the_way_past_a_compared_number_counts() {
        let nan = f64::NAN;
        for (when, old, new, crosses) in [
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
            ("lel * 2.0 > 90.0", 1.0, 1.5, true),
            ("lel * 2.0 > 90.0", 1.0, 1.0, false),
        ] {
            assert_eq!(
                grid(&[when]).crosses(1, old, new),
                crosses,
                "{when}: {old} to {new}"
            );
        }
    }

    #[test]
    fn many_edges_are_searched_as_few_are_looked_at() {
        let rules = (0..100).map(|place| RuleDef::new(&place.to_string(), "gas", &format!("lel >= {place}.0")));
        let kinds = vec![super::super::super::kind::Kind {
            id: "gas".to_owned(),
            ..kind()
        }];
        let source = DefinitionSource {
            kinds,
            rules: rules.collect(),
        };
        let definitions = Definitions::compile(source).expect("a hundred rules");
        let grid = &definitions.kinds().next().expect("a kind").grid;
        for (old, new, crosses) in [
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
        ] {
            assert_eq!(grid.crosses(1, old, new), crosses, "{old} to {new}");
        }
    }
}

//! What is left to watch of a device that is out of use: what it says is taken and may be a danger, but nobody waits for it,
//! counts it, or is told what is wrong with it.

use super::super::rule::{Class, Grid};
use super::KindRules;

impl KindRules {
    /// The rules for devices of the kind that are out of use. Points and derived values stay in their slots.
    pub(super) fn out_of_use(&self) -> KindRules {
        let mut left = KindRules {
            feeds: Vec::new(),
            stale: Vec::new(),
            ..self.clone()
        };
        left.rules.retain(|rule| match rule.def.class {
            Class::Alarm | Class::Warning => true,
            Class::Fault | Class::Hazard => false,
        });
        let places: Vec<Option<u16>> = self
            .rules
            .iter()
            .map(|rule| {
                let place = left.rules.iter().position(|kept| kept.def.id == rule.def.id)?;
                u16::try_from(place).ok()
            })
            .collect();
        for rule in &mut left.rules {
            let suppressors = rule.suppressors.iter();
            let moved = suppressors.filter_map(|place| places.get(usize::from(*place)).copied().flatten());
            rule.suppressors = moved.collect();
        }
        left.grid = Grid::of(&left.rules, &[], left.slots());
        left
    }
}

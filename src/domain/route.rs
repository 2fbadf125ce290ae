//! Which targets are told of an alarm: pure matching, no sending.

use super::alarm::AlarmView;
use super::rule::Class;

/// A route as configured: alarms of these classes go to these targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name, for a rule's `notify`.
    pub name: String,
    /// The classes it takes.
    pub classes: Vec<Class>,
    /// The names of the targets it leads to.
    pub targets: Vec<String>,
}

/// The targets that `routes` choose for `alarm`, each once, in configuration order. A rule that names a route
/// is told of by that route only; its classes count all the same.
pub fn targets<'a>(routes: &'a [Route], alarm: &AlarmView) -> Vec<&'a str> {
    let mut chosen: Vec<&str> = Vec::new();
    let matching = routes.iter().filter(|route| {
        route.classes.contains(&alarm.rule.class)
            && alarm.rule.notify.as_ref().is_none_or(|name| *name == route.name)
    });
    for target in matching.flat_map(|route| &route.targets) {
        if !chosen.contains(&target.as_str()) {
            chosen.push(target);
        }
    }
    chosen
}

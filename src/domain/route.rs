//! Which targets are told of an alarm or an order: pure matching, no sending.

use super::alarm::AlarmView;
use super::interlock::OrderView;
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
    chosen(routes, alarm.rule.class, alarm.rule.notify.as_deref())
}

/// The targets that `routes` choose for what happens to `order`: those of the first alarm that wants it. Where no alarm
/// does, a person or a proof test does, and that it failed concerns whoever is told of alarms.
pub fn order_targets<'a>(routes: &'a [Route], order: &OrderView) -> Vec<&'a str> {
    match order.alarm() {
        Some(alarm) => targets(routes, alarm),
        None => chosen(routes, Class::Alarm, None),
    }
}

fn chosen<'a>(routes: &'a [Route], class: Class, only: Option<&str>) -> Vec<&'a str> {
    let mut chosen: Vec<&str> = Vec::new();
    let matching = routes
        .iter()
        .filter(|route| route.classes.contains(&class) && only.is_none_or(|name| name == route.name));
    for target in matching.flat_map(|route| &route.targets) {
        if !chosen.contains(&target.as_str()) {
            chosen.push(target);
        }
    }
    chosen
}

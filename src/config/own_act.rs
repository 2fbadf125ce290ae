//! Steps of rule tests that the gateway takes by itself: the broker is lost or back, and what it knows of its store.

use super::document::Table;
use super::sample::read_points;
use crate::domain::kind::Kind;
use crate::domain::rehearsal::Act;

/// Reads `broker = …` or `gateway = { … }`. `None`: the step has neither; an empty list: it is wrong, and reported.
pub(super) fn read(table: &mut Table<'_>) -> Option<Vec<Act>> {
    if let Some(broker) = table.optional("broker") {
        return Some(broker.boolean().map(Act::Broker).into_iter().collect());
    }
    let own = table.optional("gateway")?;
    let points = read_points(&own, Some(&Kind::gateway()));
    Some(points.map(Act::Own).into_iter().collect())
}

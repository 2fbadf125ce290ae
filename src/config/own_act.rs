//! Steps of rule tests that the gateway takes by itself: the broker is lost or back, and what it knows of its store.

use super::document::Table;
use super::rule_tests::read_points;
use crate::domain::kind::Kind;
use crate::domain::rehearsal::Act;

/// Reads `broker = …` or `gateway = { … }`. `None`: the step has neither; `Some(None)`: it is wrong, and reported.
pub(super) fn read(table: &mut Table<'_>) -> Option<Option<Act>> {
    if let Some(broker) = table.optional("broker") {
        return Some(broker.boolean().map(Act::Broker));
    }
    let own = table.optional("gateway")?;
    Some(read_points(&own, Some(&Kind::gateway())).map(Act::Own))
}

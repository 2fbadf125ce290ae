//! Whether a notice asks somebody to acknowledge, which raise of its alarm, and by which address. Reads the stored body;
//! decides neither who is told nor when.

use serde::Deserialize;

use super::parcel::Parcel;
use crate::domain::time::Timestamp;
use crate::link::{Link, Links};
use crate::store::PendingNotice;

/// What decides it. Members that are missing are empty.
#[derive(Deserialize)]
struct Body<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    alarm: Option<Alarm<'a>>,
}

#[derive(Deserialize)]
struct Alarm<'a> {
    #[serde(default)]
    state: &'a str,
    #[serde(default)]
    raised_at: &'a str,
    #[serde(default)]
    latched: bool,
}

/// What `notice` asks to be acknowledged; `None`: it asks for nothing.
pub(super) fn asked(notice: &PendingNotice) -> Option<Link> {
    let body: Body<'_> = serde_json::from_str(&notice.body).ok()?;
    let alarm = body.alarm?;
    let waits = match body.r#type {
        "alarm.raised" | "alarm.chattering" | "alarm.escalated" => true,
        // One that does not latch ends with its recovery.
        "alarm.recovered" => alarm.latched,
        _ => false,
    };
    if !waits || !alarm.state.ends_with("_unacknowledged") {
        return None;
    }
    let raised_at: jiff::Timestamp = alarm.raised_at.parse().ok()?;
    Some(Link {
        alarm: notice.alarm,
        notice: notice.id,
        raised_at: Timestamp(raised_at.as_millisecond()),
    })
}

/// For whom the address in a message to these officers is: for the only one, else for nobody in particular.
pub(super) fn addressee<'a>(mut officers: impl Iterator<Item = &'a str>) -> &'a str {
    let first = officers.next().unwrap_or_default();
    if officers.all(|other| other == first) {
        first
    } else {
        ""
    }
}

/// The address for the text of `parcel`: it is about one alarm, and its last notice asks. Of several alarms each would need
/// its own.
pub(super) fn address(links: &Links, parcel: &Parcel) -> Option<String> {
    let alarm = parcel.first().alarm;
    if parcel.notices().any(|notice| notice.alarm != alarm) {
        return None;
    }
    let last = parcel.notices().max_by_key(|notice| notice.id)?;
    let officers = parcel.notices().flat_map(|notice| {
        let people = notice.people.iter().map(|person| person.officer.as_str());
        // What is for nobody in particular is for others too.
        people.chain(notice.people.is_empty().then_some(""))
    });
    links.for_people(asked(last)?, addressee(officers))
}

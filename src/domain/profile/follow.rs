//! A new topic → who speaks on it, by the compiled routes. Done once a topic.

use smallvec::SmallVec;

use super::Reject;
use super::codecs::Coded;
use super::compile::program::{Body, Program};
use super::compile::{Meaning, Route, VenueSource};
use super::devices::{Devices, SlotId, Spoken};
use super::general::General;
use super::source::captured;
use super::text::{Origin, TextTemplate, sound};
use super::topic::{Ranges, filter_covers};

/// A topic seen before.
#[derive(Debug)]
pub(super) struct Topic {
    /// Place of the profile.
    pub(super) profile: usize,
    /// Empty when no message asks for it.
    pub(super) text: Box<str>,
    /// What the template took from it.
    pub(super) captures: Ranges,
    /// Who speaks.
    pub(super) speakers: SmallVec<[Speaker; 1]>,
    /// Read by a codec, not by speakers.
    pub(super) coded: Option<Coded>,
}

/// A message that a topic brings.
#[derive(Debug)]
pub(super) struct Speaker {
    /// Place of the program.
    pub(super) program: usize,
    /// The device, when the topic alone says it.
    pub(super) slot: Option<SlotId>,
    /// `None`: the topic's device is all there is.
    pub(super) place: Option<Box<Placed>>,
}

/// What the topic says to a message that reads more than fixed places.
#[derive(Debug)]
pub(super) struct Placed {
    /// Where devices named by the payload stand.
    pub(super) spoken: Spoken,
    /// The parent, when the topic alone says it.
    pub(super) parent: Option<SlotId>,
    /// The points' places, when the topic names its point.
    pub(super) chosen: Option<Box<[usize]>>,
    /// The point's place, when the payload is its value and nothing else.
    pub(super) bare: Option<usize>,
}

/// What is remembered of `topic`.
pub(super) fn topic_of(
    profile: usize,
    topic: &str,
    route: &Route,
    speakers: SmallVec<[Speaker; 1]>,
) -> Topic {
    // What only reads fixed places never asks what the topic was.
    let asks = speakers.iter().any(|speaker| speaker.place.is_some());
    let captures = route.template.captures(topic).filter(|_| asks);
    Topic {
        profile,
        text: if asks { topic.into() } else { Box::default() },
        captures: captures.unwrap_or_default(),
        speakers,
        coded: None,
    }
}

/// What is remembered of a topic that a codec reads.
pub(super) fn topic_of_codec(profile: usize, coded: Coded) -> Topic {
    Topic {
        profile,
        text: Box::default(),
        captures: Ranges::default(),
        speakers: SmallVec::new(),
        coded: Some(coded),
    }
}

/// Who speaks on `topic` by `route`; nobody: it is not meant. `None`: it is another topic.
pub(super) fn follow(
    route: &Route,
    topic: &str,
    programs: &[Program],
    devices: &mut Devices,
) -> Option<Result<SmallVec<[Speaker; 1]>, Reject>> {
    let captures = route.template.captures(topic)?;
    let mut speakers = SmallVec::new();
    let mut refused = None;
    for meaning in &route.messages {
        if meaning.except.iter().any(|filter| filter_covers(filter, topic)) {
            continue;
        }
        match speaker((route, meaning), (topic, &captures), programs, devices) {
            Ok(speaker) => speakers.extend(speaker),
            Err(reject) => {
                refused.get_or_insert(reject);
            }
        }
    }
    match refused {
        Some(reject) if speakers.is_empty() => Some(Err(reject)),
        Some(_) | None => Some(Ok(speakers)),
    }
}

fn speaker(
    (route, meaning): (&Route, &Meaning),
    (topic, captures): (&str, &Ranges),
    programs: &[Program],
    devices: &mut Devices,
) -> Result<Option<Speaker>, Reject> {
    let named = |name: &str| captured(topic, captures, route.template.place(name)?);
    let kind_id = named("kind");
    let kind = meaning.kind.or_else(|| {
        devices
            .kind_ids()
            .iter()
            .position(|kind| Some(kind.as_str()) == kind_id)
    });
    let Some(kind) = kind else {
        return Err(Reject::UnknownKind(kind_id.unwrap_or_default().to_owned()));
    };
    let place = meaning.programs.get(kind).copied().flatten();
    let Some((at, program)) = place.and_then(|at| Some((at, programs.get(at)?))) else {
        return Ok(None);
    };
    let venue = match &meaning.venue {
        VenueSource::Topic => named("venue"),
        VenueSource::Fixed(venue) => Some(venue.as_str()),
        VenueSource::Registry => None,
    };
    if let Some(venue) = venue {
        sound(venue).map_err(|_| Reject::UnknownTopic)?;
    }
    let address = program.address.clone().map(|mut address| {
        let all = route.template.names().iter();
        let texts = all.filter_map(|name| Some((name.clone(), named(name)?.to_owned())));
        address.captures.extend(texts);
        address
    });
    let spoken = Spoken {
        place: devices.place(at, venue),
        kind,
        venue: venue.map(Into::into),
        address,
        names: program.names.clone(),
    };
    let texts = (topic, captures);
    let slot = match by_topic(&meaning.device, texts) {
        None => None,
        Some(id) => Some(devices.child(&spoken, &id?, |_| None)?),
    };
    let place = match &program.body {
        Body::General(general) => Some(Box::new(placed(general, spoken, texts, devices))),
        Body::Flat { .. } | Body::Text(_) => None,
    };
    Ok(Some(Speaker {
        program: at,
        slot,
        place,
    }))
}

fn placed(general: &General, spoken: Spoken, texts: (&str, &Ranges), devices: &mut Devices) -> Placed {
    let parent = general
        .parent
        .as_ref()
        .and_then(|parent| Some((parent.kind, by_topic(&parent.device, texts)?)));
    let parent = match parent {
        None => None,
        Some((kind, id)) => id.and_then(|id| devices.relative(&spoken, kind, &id)).ok(),
    };
    let name = general.name.as_ref().filter(|name| !name.uses_payload());
    let mut text = String::new();
    let name = name.and_then(|name| name.write(&mut text, |origin| of_topic(origin, texts)));
    let chosen = name.map(|()| general.called(&text));
    let bare = chosen.as_ref().and_then(|chosen| general.bare(chosen));
    Placed {
        spoken,
        parent,
        chosen,
        bare,
    }
}

/// The id that `template` makes of the topic; `None`: the payload has a part in it.
fn by_topic(template: &TextTemplate, texts: (&str, &Ranges)) -> Option<Result<String, Reject>> {
    if template.uses_payload() {
        return None;
    }
    let mut id = String::new();
    let written = template.write(&mut id, |origin| of_topic(origin, texts));
    let sound = written.is_some() && sound(&id).is_ok();
    Some(sound.then_some(id).ok_or(Reject::UnknownTopic))
}

fn of_topic<'t>(origin: Origin, (topic, captures): (&'t str, &Ranges)) -> Option<&'t str> {
    match origin {
        Origin::Topic(place) => captured(topic, captures, place),
        Origin::Payload(_) => None,
    }
}

//! Many notices → one message: several of one matter count as one, the most urgent are listed, the rest is counted. What is
//! listed and what is counted are together all that was given.

use std::collections::HashMap;

use serde::Serialize;

use super::say;
use super::told::{Line, Manner, Matter, Told};
use crate::domain::officer::Language;
use crate::domain::rule::Class;
use crate::domain::time::Timestamp;

/// The most matters listed one by one.
pub(super) const LISTED: usize = 20;

/// So few matters are all listed, whatever they are.
const FEW: usize = 6;

/// The most places counted by name.
pub(super) const PLACES: usize = 8;

/// With more venues than this the rest is counted by district, where districts are known.
const VENUES: usize = 12;

/// How many, of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    /// A class, venue or district in words.
    pub(super) name: String,
    /// How many matters.
    pub(super) count: usize,
}

/// Many notices in one. `total` = items + standing + over + done + unreadable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Digest {
    /// `digest`, where a single one has its event's type.
    pub(super) r#type: &'static str,
    /// How many matters it is about.
    pub(super) total: usize,
    /// How many of them are critical and not over.
    pub(super) critical: usize,
    /// How many are not over.
    pub(super) active: usize,
    /// Those that are listed, most urgent first.
    pub(super) items: Vec<Told>,
    /// How many that are not over are not listed.
    pub(super) standing: usize,
    /// These by class.
    pub(super) classes: Vec<Count>,
    /// These by venue or district, most first.
    pub(super) places: Vec<Count>,
    /// How many further places there are.
    pub(super) other_places: usize,
    /// How many of the standing ones are in those.
    pub(super) elsewhere: usize,
    /// How many alarms that are over are not listed.
    pub(super) over: usize,
    /// How many orders that were obeyed, heartbeats and the like are not listed.
    pub(super) done: usize,
    /// How many notices could not be read.
    pub(super) unreadable: usize,
    /// The first and the last time in it.
    pub(super) from: String,
    /// See `from`.
    pub(super) to: String,
}

/// Every matter in the state it was last told of, most urgent first, and how many bodies could not be read.
pub(super) fn matters(bodies: &[&str], manner: Manner<'_>) -> (Vec<Told>, usize) {
    let mut last: Vec<Told> = Vec::new();
    let mut known: HashMap<Matter, usize> = HashMap::new();
    let mut unreadable = 0;
    for body in bodies {
        let Some(told) = Told::new(body, manner) else {
            unreadable += 1;
            continue;
        };
        // Without an id nothing is the same as anything.
        let named = match &told.matter {
            Matter::Alarm(id) | Matter::Command(id) => !id.is_empty(),
            Matter::Other => false,
        };
        let place = named.then(|| known.get(&told.matter).copied()).flatten();
        if let Some(before) = place.and_then(|place| last.get_mut(place)) {
            if before.order <= told.order {
                *before = told;
            }
            continue;
        }
        if named {
            known.insert(told.matter.clone(), last.len());
        }
        last.push(told);
    }
    last.sort_by_key(|told| (told.over, rank(told), told.happened));
    (last, unreadable)
}

/// Its place among the urgent ones: smaller is more urgent. That a command was not obeyed comes before the alarms of its priority: the
/// danger goes on.
fn rank(told: &Told) -> (usize, bool, usize) {
    const URGENCIES: [&str; 4] = ["critical", "high", "medium", "low"];
    let urgency = URGENCIES.iter().position(|urgency| *urgency == told.urgency);
    let class = Class::ALL.iter().position(|class| class.as_str() == told.class);
    (
        urgency.unwrap_or(URGENCIES.len()),
        !matches!(told.matter, Matter::Command(_)),
        class.unwrap_or(Class::ALL.len()),
    )
}

impl Digest {
    /// The digest of `matters`, in their order, with at most `listed` of them listed and `places` places counted by name.
    pub(super) fn new(
        matters: &[Told],
        unreadable: usize,
        (listed, places): (usize, usize),
        manner: Manner<'_>,
    ) -> Digest {
        let (language, zone, now) = (manner.language, manner.zone, manner.now);
        let few = matters.len() <= FEW;
        let is_listed = |told: &Told| few || (told.urgency == "critical" && !told.over);
        let (items, rest): (Vec<_>, Vec<_>) = matters
            .iter()
            .enumerate()
            .partition(|(at, told)| *at < listed && is_listed(told));
        let rest: Vec<&Told> = rest.into_iter().map(|(_, told)| told).collect();
        let standing: Vec<&Told> = rest.iter().copied().filter(|told| !told.over).collect();
        let is_alarm = |told: &&&Told| matches!(told.matter, Matter::Alarm(_));
        let over = rest.iter().filter(|told| told.over).filter(is_alarm).count();
        let (named, others) = by_place(&standing, places);
        let times = || matters.iter().map(|told| told.happened);
        let time = |at: Option<i64>| say::when(language, Timestamp(at.unwrap_or(now.0)), now, zone);
        Digest {
            r#type: "digest",
            total: matters.len() + unreadable,
            critical: matters
                .iter()
                .filter(|told| told.urgency == "critical" && !told.over)
                .count(),
            active: matters.iter().filter(|told| !told.over).count(),
            items: items.into_iter().map(|(_, told)| told.clone()).collect(),
            classes: by_class(&standing, language),
            other_places: others.len(),
            elsewhere: others.iter().map(|place| place.count).sum(),
            places: named,
            over,
            done: rest.len() - standing.len() - over,
            standing: standing.len(),
            unreadable,
            from: time(times().min()),
            to: time(times().max()),
        }
    }

    /// How bad it is, in a few words.
    fn tag(&self, language: Language) -> String {
        match (language, self.critical, self.active) {
            (Language::Zh, 0, 0) => "均已恢复".to_owned(),
            (Language::Zh, 0, active) => format!("未恢复 {active} 条"),
            (Language::Zh, critical, _) => format!("紧急 {critical} 条"),
            (Language::En, 0, 0) => "ALL OVER".to_owned(),
            (Language::En, 0, active) => format!("{active} ACTIVE"),
            (Language::En, critical, _) => format!("{critical} CRITICAL"),
        }
    }

    /// The line that says the most.
    pub(super) fn headline(&self, first: Option<&Told>, language: Language) -> String {
        let (tag, total) = (self.tag(language), self.total);
        let first = first.map_or_else(String::new, |told| match &told.matter {
            Matter::Command(_) => format!("{} {} {}", told.venue, told.tag, told.title),
            Matter::Alarm(_) | Matter::Other => format!("{} {}", told.venue, told.title),
        });
        match language {
            Language::Zh => format!("【{tag}】{first} 等共 {total} 条"),
            Language::En => format!("{tag}: {first}, {total} in all"),
        }
    }

    /// What is counted, in lines.
    pub(super) fn lines(&self, language: Language) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut line = |label, text| lines.push(Line { label, text });
        if self.standing > 0 {
            let count = self.standing;
            let label = match (language, self.items.is_empty()) {
                (Language::Zh, true) => "未恢复：",
                (Language::Zh, false) => "另有未恢复：",
                (Language::En, true) => "Active: ",
                (Language::En, false) => "And active: ",
            };
            let classes = counts(&self.classes, language);
            line(
                label,
                match language {
                    Language::Zh => format!("{count} 条（{classes}）"),
                    Language::En => format!("{count} ({classes})"),
                },
            );
            let (others, elsewhere) = (self.other_places, self.elsewhere);
            let others = match language {
                _ if others == 0 => String::new(),
                Language::Zh => format!("其他 {others} 处共 {elsewhere}"),
                Language::En => format!("{others} other places {elsewhere}"),
            };
            let mut places = vec![counts(&self.places, language), others];
            places.retain(|part| !part.is_empty());
            let places = places.join(say::comma(language));
            line(language.of("分布：", "Where: "), places);
        }
        for (count, zh, en) in [
            (self.over, "已恢复：", "Recovered: "),
            (self.done, "已完成：", "Done: "),
            (self.unreadable, "无法读取：", "Unreadable: "),
        ] {
            if count > 0 {
                line(
                    language.of(zh, en),
                    match language {
                        Language::Zh => format!("{count} 条"),
                        Language::En => count.to_string(),
                    },
                );
            }
        }
        line(
            language.of("时间：", "Time: "),
            match language {
                _ if self.from == self.to => self.from.clone(),
                Language::Zh => format!("{} 至 {}", self.from, self.to),
                Language::En => format!("{} to {}", self.from, self.to),
            },
        );
        lines
    }
}

fn counts(counts: &[Count], language: Language) -> String {
    let counts: Vec<String> = counts
        .iter()
        .map(|Count { name, count }| format!("{name} {count}"))
        .collect();
    counts.join(say::comma(language))
}

fn by_class(standing: &[&Told], language: Language) -> Vec<Count> {
    let mut classes: Vec<Count> = Vec::new();
    let order = Class::ALL.map(|class| say::class(language, class.as_str()));
    for name in order {
        let count = standing.iter().filter(|told| told.class_name == name).count();
        classes.push(Count {
            name: name.to_owned(),
            count,
        });
    }
    let known: usize = classes.iter().map(|class| class.count).sum();
    classes.push(Count {
        name: say::class(language, "").to_owned(),
        count: standing.len() - known,
    });
    classes.retain(|class| class.count > 0);
    classes
}

/// The places of `standing`, most first: at most `most` of them, and the others.
fn by_place(standing: &[&Told], most: usize) -> (Vec<Count>, Vec<Count>) {
    let count = |place: fn(&Told) -> &str| {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for told in standing {
            *counts.entry(place(told)).or_default() += 1;
        }
        counts
    };
    let venues = count(|told| &told.venue);
    let districts_known = standing.iter().all(|told| !told.district.is_empty());
    let counted = if venues.len() > VENUES && districts_known {
        count(|told| &told.district)
    } else {
        venues
    };
    let mut places: Vec<Count> = counted
        .into_iter()
        .map(|(name, count)| Count {
            name: name.to_owned(),
            count,
        })
        .collect();
    places.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    let others = places.split_off(most.min(places.len()));
    (places, others)
}

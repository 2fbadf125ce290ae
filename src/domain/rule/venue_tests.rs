//! Conditions on venues: which part of the source a finding or a count speaks of, and how many counts there may be.

use super::super::kind::Kind;
use super::super::text::Text;
use super::tests::kind;
use super::{Derivations, Derived, ExpressionError, Feed, Members, Rule, RuleDef};

/// What a rule on a venue came to.
pub(super) struct OnVenue {
    pub(super) rule: Rule,
    pub(super) counts: Vec<Derived>,
    /// What the devices of the kinds `gas_detector` and `valve` tell.
    pub(super) feeds: Vec<Vec<Feed>>,
}

/// Compiles `source` on a venue with two kinds of device, which have the same points.
pub(super) fn compile_on_venue(source: &str) -> Result<OnVenue, ExpressionError> {
    let valve = Kind {
        id: "valve".to_owned(),
        ..kind()
    };
    let kinds = [kind(), valve];
    let venue = Kind {
        id: "venue".to_owned(),
        title: Text::default(),
        points: Vec::new(),
        faulty: None,
        commands: Vec::new(),
    };
    let mut counts = Derivations::new(&venue);
    let mut derived: Vec<Derivations> = kinds.iter().map(Derivations::new).collect();
    let mut feeds = vec![Vec::new(); kinds.len()];
    let members = Members {
        kinds: &kinds,
        derived: &mut derived,
        feeds: &mut feeds,
    };
    let def = RuleDef::new("rule", "venue", source);
    let rule = Rule::compile_on_venue(&def, &venue, &mut counts, members, None);
    match rule {
        Ok(rule) => Ok(OnVenue {
            rule,
            counts: counts.into_list(),
            feeds,
        }),
        Err(errors) => Err(errors.into_iter().next().expect("an error says so").1),
    }
}

#[test]
fn each_different_question_is_counted_once_and_by_itself() {
    for (source, expected) in [
        (
            "gas_detector.exists(d, d.lel > 5) && gas_detector.filter(d, d.lel > 5).size() < 3",
            &["gas_detector.filter(d, d.lel > 5).size()"][..],
        ),
        (
            "gas_detector.exists(d, d.lel > 5) && gas_detector.exists(d, d.lel > 50)",
            &[
                "gas_detector.filter(d, d.lel > 5).size()",
                "gas_detector.filter(d, d.lel > 50).size()",
            ],
        ),
        (
            "gas_detector.all(d, d.wet) || gas_detector.exists(d, d.wet)",
            &[
                "gas_detector.exclude(d, d.wet).size()",
                "gas_detector.filter(d, d.wet).size()",
            ],
        ),
        (
            "gas_detector.exists(d, d.wet) || valve.exists(d, d.wet) || devices.exists(d, d.wet)",
            &[
                "gas_detector.filter(d, d.wet).size()",
                "valve.filter(d, d.wet).size()",
                "devices.filter(d, d.wet).size()",
            ],
        ),
        (
            "devices.exists(d, (d.wet || d.lel > 5) && rate(d.lel, '30s') > (1)) && valve.size() > 1",
            &[
                "devices.filter(d, (d.wet || d.lel > 5) && rate(d.lel, '30s') > (1)).size()",
                "valve.size()",
            ],
        ),
        (
            "valve.all(d, d.state in ['fault', '故障']) && valve.all(d, !(age(d) >= '5m'))",
            &[
                "valve.exclude(d, d.state in ['fault', '故障']).size()",
                "valve.exclude(d, !(age(d) >= '5m')).size()",
            ],
        ),
    ] {
        let compiled = compile_on_venue(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let names: Vec<&str> = compiled.counts.iter().map(Derived::shown).collect();
        assert_eq!(names, expected, "{source}");
    }
}

/// A source, the part that the finding speaks of, a part of its message, and the suggestion.
const FINDINGS: &[(&str, &str, &str, Option<&str>)] = &[
    ("gas_detector.exists(d, d.lel)", "d.lel", "a number", None),
    (
        "gas_detector.exists(d, '故障' == d.state && (d.lel))",
        "d.lel",
        "a number",
        None,
    ),
    (
        "gas_detector.exists(d, d.state == fault)",
        "fault",
        "put it in quotes",
        Some("'fault'"),
    ),
    (
        "gas_detector.exists(d, tempratur > 5)",
        "tempratur",
        "no point",
        Some("d.temperature"),
    ),
    (
        "gas_detector . exists ( d , d . lell > 5 )",
        "d . lell",
        "no point",
        Some("d.lel"),
    ),
    (
        "online && gas_detector.exists(d, d.wet)",
        "online",
        "no points of its own",
        None,
    ),
    (
        "valve.filter(d, d.wet).size()",
        "valve.filter(d, d.wet).size()",
        "a number",
        None,
    ),
    ("-valve.size() + 1", "-valve.size() + 1", "a number", None),
    ("(valve.size())", "valve.size()", "a number", None),
    (
        "valve.exists(d, d.wet) ? valve.size() : devices.size()",
        "valve.exists(d, d.wet) ? valve.size() : devices.size()",
        "a number",
        None,
    ),
    (
        "valve.all(d, d.wet) && valve.filter(d, d.wet)",
        "valve.filter(d, d.wet)",
        "only be counted",
        Some("valve.filter(d, d.wet).size()"),
    ),
    ("held('2m', valve.exists(d, d.lel)) ", "d.lel", "a number", None),
    (
        "rate(valve.lel, '30s') > 1",
        "valve.lel",
        "no points of its own",
        None,
    ),
    (
        "valve.exists(d, rate(d, '30s') > 1)",
        "d",
        "`d` is the device",
        None,
    ),
    (
        "valve.exists(d, max(d.state, '30s') > 1)",
        "d.state",
        "point with numbers",
        None,
    ),
    (
        "valve.exists(d, age(d) < '10m')",
        "age(d) < '10m'",
        "age",
        Some("!(age(d) >= '10m')"),
    ),
];

#[test]
fn findings_underline_what_they_speak_of() {
    for &(source, span, message, suggestion) in FINDINGS {
        let Err(error) = compile_on_venue(source) else {
            panic!("{source} is wrong");
        };
        assert_eq!(source.get(error.span.clone()), Some(span), "{source}: {error}");
        assert!(error.message.contains(message), "{source}: {error}");
        assert_eq!(error.suggestion.as_deref(), suggestion, "{source}: {error}");
    }
}

#[test]
fn there_is_an_end_to_what_can_be_counted() {
    let question = |number: usize| format!("valve.exists(d, d.lel > {number})");
    let asked = |many: std::ops::Range<usize>| many.map(question).collect::<Vec<_>>().join("||");
    assert!(compile_on_venue(&asked(0..16)).is_ok());
    let kinds = [kind()];
    let venue = Kind {
        id: "venue".to_owned(),
        title: Text::default(),
        points: Vec::new(),
        faulty: None,
        commands: Vec::new(),
    };
    let mut counts = Derivations::new(&venue);
    let mut derived: Vec<Derivations> = kinds.iter().map(Derivations::new).collect();
    let mut feeds = vec![Vec::new(); kinds.len()];
    let mut refused = Vec::new();
    for number in 0..70 {
        let source = format!("gas_detector.exists(d, d.lel > {number})");
        let def = RuleDef::new("rule", "venue", &source);
        let members = Members {
            kinds: &kinds,
            derived: &mut derived,
            feeds: &mut feeds,
        };
        if let Err(errors) = Rule::compile_on_venue(&def, &venue, &mut counts, members, None) {
            refused.push((number, errors[0].1.message.clone()));
        }
    }
    assert_eq!(refused.len(), 6, "two slots of 128 each: {refused:?}");
    assert!(
        refused[0].1.contains("rules on venues ask too many"),
        "{refused:?}"
    );
}

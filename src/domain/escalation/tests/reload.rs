//! What becomes of chains that run when other directions come into force.

use proptest::prelude::*;

use super::*;

fn seconds(told: &[(u64, Vec<String>)]) -> Vec<u64> {
    told.iter().map(|(second, _)| *second).collect()
}

#[test]
fn a_shorter_chain_goes_on_with_the_level_that_it_has_reached() {
    let mut scene = Scene::new();
    scene.directions.chains[0].levels = vec![level(0, 10, &["wang"]), level(70, 0, &["li"])];
    scene.raise(0);
    assert_eq!(seconds(&scene.until(26)), [10, 20]);
    scene.reload(vec![level(0, 10, &["wang"]), level(25, 0, &["li"])], 26);
    let told = scene.until(1_000);
    assert_eq!(told, [(26, vec!["record".to_owned(), "group: li".to_owned()])]);
    // It has ended, and is not begun again.
    scene.renew(1_001);
    assert_eq!(scene.until(2_000), []);
}

#[test]
fn where_the_next_level_is_gone_the_one_reached_is_told_at_once_also_after_a_restart() {
    for repeat in [0, 600] {
        let mut scene = Scene::new();
        scene.raise(0);
        assert_eq!(seconds(&scene.until(200)), [60, 120, 180]);
        scene.restart(at(200));
        scene.reload(vec![level(0, 60, &["wang"]), level(180, repeat, &["chief"])], 200);
        let expected: &[u64] = if repeat == 0 { &[200] } else { &[200, 800, 1_400] };
        let told = scene.until(1_500);
        assert_eq!(seconds(&told), expected);
        assert!(told.iter().all(|(_, owed)| owed[1] == "phone: chief"), "{told:?}");
    }
}

#[test]
fn a_chain_that_had_no_more_goes_on_with_what_is_added() {
    let mut scene = Scene::new();
    scene.directions.chains[0].levels = vec![level(0, 0, &["wang"])];
    scene.raise(0);
    scene.reload(vec![level(0, 0, &["wang"]), level(30, 0, &["li"])], 20);
    assert_eq!(seconds(&scene.until(100)), [30]);
    scene.reload(
        vec![
            level(0, 0, &["wang"]),
            level(30, 0, &["li"]),
            level(60, 0, &["chief"]),
        ],
        100,
    );
    assert_eq!(seconds(&scene.until(200)), [100]);
}

#[test]
fn news_goes_to_the_channels_of_now_and_to_nobody_who_is_gone() {
    let mut scene = Scene::new();
    let mut levels = vec![level(0, 0, &["wang", "li", "chief"])];
    levels[0].to.push(Addressee::Target("siren".to_owned()));
    scene.directions.chains[0].levels = levels;
    assert_eq!(
        scene.raise(0),
        ["record", "group: wang li", "phone: chief", "siren"]
    );
    let officers = &mut scene.directions.officers;
    officers.retain(|officer| officer.id != "li");
    officers[0].contact.mobile = Some("13800002222".to_owned());
    officers[1].channels = words(&["group", "phone"]);
    scene.directions.targets.retain(|target| target != "siren");
    let told = scene.step(acknowledged(), AlarmState::ActiveAcknowledged, 5);
    assert_eq!(told, ["record", "group: wang chief"]);
    let run = &scene.escalations.runs[&Id::from_bits(7)][0];
    let registry = Registry::default();
    let alarm = view(AlarmState::ActiveUnacknowledged);
    let subject = Subject::of_alarm(&alarm, &AlarmStep::Raised, &registry);
    let again = scene.directions.again(&run.told, &subject, Timestamp(0));
    assert_eq!(again[0].people[0].contact.mobile.as_deref(), Some("13800002222"));
    assert_eq!(again[0].people[1].next, ["phone"]);
}

proptest! {
    /// Whatever a reload makes of a chain: as long as nobody acknowledges there is a next telling where the chain has one yet to
    /// come, and its last level is told.
    #[test]
    fn no_reload_ends_a_chain_that_is_not_over(
        before in levels(), after in levels(), reload in 0_u64..400,
    ) {
        let mut scene = Scene::new();
        scene.directions.chains[0].levels = before;
        scene.raise(0);
        scene.until(reload);
        let last = after.last().cloned().unwrap_or_else(|| level(0, 0, &[]));
        scene.reload(after, reload);
        let to_come = last.repeat.is_some() || last.after > Millis(reload * 1_000);
        let next = scene.escalations.next_deadline();
        prop_assert!(next.is_some() || !to_come);
        let told = scene.until(3_000);
        prop_assert!(!to_come || told.iter().any(|(_, owed)| owed[1] == "phone: chief"), "{:?}", told);
    }
}

/// One to four levels; the last tells the chief.
fn levels() -> impl Strategy<Value = Vec<Level>> {
    let one = (1_u64..200, prop_oneof![Just(0_u64), 5_u64..100]);
    proptest::collection::vec(one, 1..5).prop_map(|levels| {
        let (mut after, count) = (0, levels.len());
        let one = |(index, (wait, repeat))| {
            if index > 0 {
                after += wait;
            }
            level(
                after,
                repeat,
                &[if index + 1 == count { "chief" } else { "wang" }],
            )
        };
        levels.into_iter().enumerate().map(one).collect()
    })
}

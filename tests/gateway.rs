//! The gateway's task, with a test that plays ingest, the configuration and the store.

#![cfg(test)]

#[path = "gateway/opening.rs"]
mod opening;
#[path = "gateway/parents.rs"]
mod parents;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ninewatch::clock::Clock;
use ninewatch::config::{self, Settings};
use ninewatch::domain::alarm::Operator;
use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::engine::{Engine, Refusal, Survey};
use ninewatch::domain::journal::{self, CommandInput, Entry};
use ninewatch::domain::registry::{RegisteredDevice, Registry};
use ninewatch::domain::time::Moment;
use ninewatch::gateway::{Due, Gateway, GatewayError, Lines, Reconfiguration};
use ninewatch::handoff::{
    AlarmCommit, Batch, CommandMessage, Directory, Envelope, OperatorAct, OperatorRequest, Work,
};
use ninewatch::lifecycle::Health;
use ninewatch::metrics::Metrics;
use ninewatch::reload::configured;
use ninewatch::series::Names;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);
/// Settings with one rule, `id` from `limit` ℃ on, and one route, to `target`.
fn settings(folder: &Path, (id, limit): (&str, u32), target: &str) -> Settings {
    let rule = format!(
        "[[rule]]\nid = '{id}'\non = 'gas_detector'\nwhen = 'temperature >= {limit}.0'\nclass = 'alarm'\n\
         priority = 'high'\ntitle = {{ zh = '热', en = 'Hot' }}\n"
    );
    std::fs::write(folder.join("rules.toml"), rule).expect("a file");
    let hook = |name| format!("[[target]]\nname = '{name}'\nkind = 'webhook'\nurl = 'http://127.0.0.1:1/'\n");
    let text = format!(
        "[gateway]\nid = 'test'\nmax_devices = 1\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
         [files]\nrules = ['rules.toml']\n{}{}[[route]]\nname = 'only'\ntargets = ['{target}']\n",
        hook("duty"),
        hook("night"),
    );
    config::load_str("t", &text, folder).expect("a sound configuration")
}

fn envelope(device: &str, payload: Vec<u8>, received: Moment) -> Envelope {
    Envelope {
        topic: format!("ninewatch/v1/gas_detector/{device}/telemetry"),
        payload: Bytes::from(payload),
        received,
        duplicate: false,
        retained: false,
        oversize: None,
        receipt: None,
    }
}

/// A gateway whose batches stay open until the test lets one go.
struct Running {
    envelopes: mpsc::Sender<Vec<Envelope>>,
    reconfigurations: mpsc::Sender<Reconfiguration>,
    work: mpsc::Receiver<Work>,
    commands: mpsc::Receiver<CommandMessage>,
    answers: Vec<oneshot::Receiver<usize>>,
    clock: Clock,
    metrics: Metrics,
    _others: (mpsc::Sender<ninewatch::handoff::OperatorRequest>, Health),
    _task: JoinSet<Result<(), GatewayError>>,
}

impl Running {
    async fn start(settings: &Settings) -> Running {
        let (decoder, surroundings) = configured(settings).expect("they fit");
        let clock = Clock::new();
        let metrics = Metrics::new();
        let gateway = Gateway::new(Engine::new("test"), decoder, surroundings, metrics.clone());
        let (envelope_tx, envelopes) = mpsc::channel(1);
        let (operator_tx, operators) = mpsc::channel(1);
        let (reconfigure_tx, reconfigurations) = mpsc::channel(1);
        let (work_tx, work) = mpsc::channel(1);
        let (command_tx, commands) = mpsc::channel(1);
        let full = Work::Batch(Box::default());
        work_tx.send(full).await.expect("room for one");
        let health = Health::new();
        let lines = Lines {
            envelopes,
            operators,
            reconfigurations,
            listening: health.follow_broker(),
            command_link: watch::channel(false).1,
            store: health.follow_store(),
            committed: watch::channel(0).1,
            probes: mpsc::channel(1).1,
            commands: command_tx,
            sent: mpsc::channel(1).1,
            work: work_tx,
        };
        let mut task = JoinSet::new();
        task.spawn(gateway.run(clock, lines));
        Running {
            envelopes: envelope_tx,
            reconfigurations: reconfigure_tx,
            work,
            commands,
            answers: Vec::new(),
            clock,
            metrics,
            _others: (operator_tx, health),
            _task: task,
        }
    }

    /// Sends a device's reading, and waits until it has been taken.
    async fn hot(&mut self, device: &str, temperature: u32) {
        let payload = format!(r#"{{"temperature":{temperature}.0}}"#);
        let envelope = envelope(device, payload.into(), self.clock.now());
        self.envelopes.send(vec![envelope]).await.expect("it runs");
        let taken = timeout(DEADLINE, self.envelopes.reserve()).await;
        drop(taken.expect("it is taken").expect("it runs"));
    }

    /// Hands over a configuration, and waits until it has been taken.
    async fn reconfigure(&mut self, settings: &Settings) {
        let (decoder, surroundings) = configured(settings).expect("they fit");
        let (done, answer) = oneshot::channel();
        self.answers.push(answer);
        let wanted = Reconfiguration {
            registered: None,
            decoder,
            surroundings,
            done,
        };
        self.reconfigurations.send(wanted).await.expect("it runs");
        let taken = timeout(DEADLINE, self.reconfigurations.reserve()).await;
        drop(taken.expect("it is taken").expect("it runs"));
    }

    /// The batch that was open all the while.
    async fn batch(&mut self) -> Batch {
        drop(
            timeout(DEADLINE, self.work.recv())
                .await
                .expect("what was in the way"),
        );
        match timeout(DEADLINE, self.work.recv()).await.expect("a batch") {
            Some(Work::Batch(batch)) => *batch,
            other => panic!("{other:?}"),
        }
    }
}

/// The targets that are owed an event.
fn names(alarm: &AlarmCommit) -> Vec<&str> {
    alarm.owed.iter().map(|owed| owed.target.as_str()).collect()
}

#[tokio::test]
async fn many_configurations_in_one_batch_leave_a_journal_that_can_be_replayed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(&settings(folder.path(), ("hot", 60), "duty")).await;
    running.hot("g1", 50).await;
    let mut last = None;
    for limit in [70, 80, 40] {
        let settings = settings(folder.path(), ("hot", limit), "duty");
        running.reconfigure(&settings).await;
        last = Some(settings.definitions.source().stored().expect("it is JSON").1);
    }
    let batch = running.batch().await;
    assert_eq!(
        batch.definitions.len(),
        4,
        "those of the start and of each change"
    );
    let find = |hash: &[u8; 32]| {
        let stored = batch.definitions.iter().find(|stored| stored.hash == *hash);
        let source = DefinitionSource::from_stored(&stored.ok_or("lost")?.source);
        let compiled = Definitions::compile(source.map_err(|error| error.to_string())?);
        compiled.map(Arc::new).map_err(|errors| format!("{errors:?}"))
    };
    let mut engine = Engine::new("test");
    journal::replay(&mut engine, batch.first_input, &batch.journal, find).expect("a whole journal");
    assert_eq!(engine.definitions_hash(), last);
    assert_eq!(engine.standing_count(), 1, "50 ℃ is over the last limit");

    assert_eq!(batch.answers.len(), 3);
    for answer in &mut running.answers {
        assert!(answer.try_recv().is_err(), "answered before the commit");
    }
    for (answer, to) in batch.answers.into_iter().zip(&mut running.answers) {
        answer.give();
        assert_eq!(to.try_recv(), Ok(0), "no rule is gone");
    }
}

#[tokio::test]
async fn an_end_goes_where_the_alarm_went_and_a_new_alarm_where_the_new_routes_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(&settings(folder.path(), ("hot", 60), "duty")).await;
    running.hot("g1", 65).await;
    running
        .reconfigure(&settings(folder.path(), ("warm", 20), "night"))
        .await;
    running.hot("g1", 10).await;
    running.hot("g2", 65).await;
    let batch = running.batch().await;
    let told: Vec<String> = batch
        .alarms
        .iter()
        .map(|alarm| {
            let event = &alarm.event;
            format!(
                "{} {} → {}",
                event.alarm.rule.id,
                event.step.as_str(),
                names(alarm).join(" ")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "hot raised → duty",
            "hot cleared → duty",
            "warm raised → night",
            "warm recovered → night",
            "warm cleared → night"
        ]
    );
    assert_eq!(batch.dead_letters.len(), 1, "max_devices holds on");
    for answer in batch.answers {
        answer.give();
    }
    assert_eq!(running.answers[0].try_recv(), Ok(1), "of the rule that is gone");
}

#[test]
fn a_flood_of_rubbish_fills_a_batch_by_its_bytes_and_only_the_head_of_each_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path(), ("hot", 60), "duty");
    let (decoder, surroundings) = configured(&settings).expect("they fit");
    let mut gateway = Gateway::new(Engine::new("test"), decoder, surroundings, Metrics::new());
    let now = Clock::new().now();
    gateway.start(now).expect("it starts");
    let mut taken = 0;
    while gateway.has_room() {
        let rubbish = vec![envelope("g1", vec![b'x'; 8192], now); 64];
        gateway.receive(rubbish).expect("rubbish is no error");
        taken += 64;
        if taken > 1_000 {
            assert_eq!(gateway.due(), Some(Due::AtOnce), "it is full");
        }
        assert!(
            taken < 4_000,
            "the next is not taken, also while the writer takes none"
        );
    }
    let batch = gateway.close(now);
    assert_eq!(batch.dead_letters.len(), taken, "what was taken is kept");
    for letter in &batch.dead_letters {
        assert_eq!((letter.payload.len(), letter.size), (4096, 8192));
    }
    assert!(batch.bytes >= 4096 * taken, "{} bytes", batch.bytes);
    assert!(gateway.has_room(), "the next batch is empty");
}

#[tokio::test]
async fn a_command_leaves_before_what_led_to_it_goes_to_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let _rules = settings(folder.path(), ("hot", 60), "duty");
    let text = std::fs::read_to_string(folder.path().join("rules.toml")).expect("the rules");
    let close = "[[rule.then]]\ncommand = 'close'\nto = 'shutoff_valve'\n";
    std::fs::write(folder.path().join("rules.toml"), text + close).expect("a file");
    let venue = "[[venue]]\nid = 'v1'\nname = 'v1'\nkind = 'restaurant'\n[[venue.device]]\nid = 's1'\nkind = 'shutoff_valve'\n";
    std::fs::write(folder.path().join("venues.toml"), venue).expect("a file");
    let text = "[gateway]\nid = 'test'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
                [files]\nrules = ['rules.toml']\nvenues = ['venues.toml']\n";
    let settings = config::load_str("t", text, folder.path()).expect("a sound configuration");
    let mut running = Running::start(&settings).await;
    running.batch().await;
    let danger = envelope("g1", br#"{"temperature":70.0}"#.into(), running.clock.now());
    running.envelopes.send(vec![danger]).await.expect("it runs");
    // This task and the gateway's take turns: it must not have put its batch on the way yet.
    let command = timeout(DEADLINE, running.commands.recv()).await.expect("in time");
    assert!(running.work.try_recv().is_err(), "the batch went first");
    assert_eq!(
        command.expect("a command").topic,
        "ninewatch/v1/shutoff_valve/s1/command"
    );
}

#[test]
fn an_operators_command_is_journalled_with_what_the_registration_said_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path(), ("hot", 60), "duty");
    let (decoder, mut surroundings) = configured(&settings).expect("they fit");
    let key = |device: &str| DeviceKey {
        venue: "v1".to_owned(),
        kind: "gas_detector".to_owned(),
        device: device.to_owned(),
    };
    let openable = RegisteredDevice {
        key: key("g1"),
        remote_open: true,
        ..RegisteredDevice::default()
    };
    surroundings.registry = Registry::new(Vec::new(), vec![openable]);
    let mut gateway = Gateway::new(Engine::new("test"), decoder, surroundings, Metrics::new());
    let now = Clock::new().now();
    let mut answers = Vec::new();
    for device in ["g1", "g2"] {
        let (answer, answered) = oneshot::channel();
        let operator = Operator {
            by: "Wang".to_owned(),
            note: None,
        };
        let input = CommandInput {
            device: key(device),
            command: "open".to_owned(),
            remote_open: false,
            operator,
        };
        let act = OperatorAct::Command(input);
        gateway
            .operate(OperatorRequest { act, answer }, now)
            .expect("it is taken");
        answers.push(answered);
    }
    let batch = gateway.close(now);
    let entries = journal::entries(batch.first_input, &batch.journal);
    let allowed: Vec<(String, bool)> = entries
        .map(|entry| {
            let (_, entry) = entry.expect("it is whole");
            let Entry::Command(input) = entry else {
                panic!("{entry:?}");
            };
            (input.device.device, input.remote_open)
        })
        .collect();
    assert_eq!(allowed, [("g1".to_owned(), true), ("g2".to_owned(), false)]);
    for answered in &mut answers {
        assert!(answered.try_recv().is_err(), "answered before the commit");
    }
    for (answer, answered) in batch.answers.into_iter().zip(&mut answers) {
        answer.give();
        assert_eq!(
            answered.try_recv().expect("an answer"),
            Err(Refusal::NoSuchDevice),
            "neither has spoken"
        );
    }
}

#[tokio::test]
async fn a_configuration_with_the_same_rules_is_no_input_and_is_answered_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let same = settings(folder.path(), ("hot", 60), "night");
    let mut running = Running::start(&settings(folder.path(), ("hot", 60), "duty")).await;
    running.reconfigure(&same).await;
    running.hot("g1", 65).await;
    let batch = running.batch().await;
    assert_eq!(batch.definitions.len(), 1, "those of the start");
    assert_eq!(batch.answers.len(), 1);
    assert_eq!(names(&batch.alarms[0]), ["night"], "the routes are new");
}

/// A gateway whose venues files have `v1` with `g1` and `g2`, and that takes in two devices more.
fn registering(folder: &Path) -> (Gateway, Metrics, Arc<Directory>) {
    let venues = "[[venue]]\nid = 'v1'\nname = 'v'\nkind = 'shop'\n\
        [[venue.device]]\nid = 'g1'\nkind = 'gas_detector'\n[[venue.device]]\nid = 'g2'\nkind = 'gas_detector'\n";
    std::fs::write(folder.join("venues.toml"), venues).expect("a file");
    let text = "[gateway]\nid = 'test'\nmax_devices = 2\nmax_unregistered = 2\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n\
        [http]\nauth = 'none'\n[files]\nvenues = ['venues.toml']\n";
    let settings = config::load_str("t", text, folder).expect("a sound configuration");
    let (decoder, surroundings) = configured(&settings).expect("they fit");
    let metrics = Metrics::new();
    let engine = Engine::new("test");
    let directory = Arc::new(surroundings.directory());
    let gateway = Gateway::new(engine, decoder, surroundings, metrics.clone());
    (gateway, metrics, directory)
}

#[test]
fn a_flood_of_invented_ids_is_bounded_and_keeps_no_registered_device_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut gateway, metrics, _) = registering(folder.path());
    let now = Clock::new().now();
    gateway.start(now).expect("it starts");
    let message = |device: &str| envelope(device, br#"{"lel":1.0}"#.to_vec(), now);
    for run in 0..100 {
        let invented = (0..1_000).map(|at| message(&format!("x{run}-{at}")));
        let known = (run > 0).then(|| message("g1"));
        gateway
            .receive(invented.chain(known).collect())
            .expect("no error");
        let batch = gateway.close(now);
        // Registered or known, whoever was let in is heard on.
        assert_eq!(
            batch.dead_letters.len(),
            if run == 0 { 998 } else { 1_000 },
            "{run}"
        );
        let reasons: Vec<&str> = batch
            .dead_letters
            .iter()
            .map(|letter| letter.reject.reason())
            .collect();
        assert!(reasons.iter().all(|reason| *reason == "too_many_unregistered"));
    }
    gateway
        .receive(vec![message("g2"), message("x0-0"), message("x0-1")])
        .expect("no error");
    assert!(gateway.close(now).dead_letters.is_empty());
    assert_eq!(gateway.engine().device_count(), 4);
    assert_eq!(metrics.dead_letters_of("too_many_unregistered"), 99_998);
}

#[tokio::test]
async fn the_gateway_gives_a_survey_to_whoever_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(&settings(folder.path(), ("hot", 60), "duty")).await;
    running.hot("g1", 50).await;
    let survey = running.metrics.surveys.ask().await.expect("it has time");
    let devices: Vec<(String, bool)> = survey
        .devices()
        .map(|device| (device.key.device.clone(), device.up))
        .collect();
    assert_eq!(devices, [("test".to_owned(), true), ("g1".to_owned(), true)]);
}

#[test]
fn registered_devices_have_series_and_there_are_no_more_than_may_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut gateway, _, directory) = registering(folder.path());
    let now = Clock::new().now();
    gateway.start(now).expect("it starts");
    let payload = br#"{"lel":1.5,"state":"warmup"}"#;
    let run = ["g1", "x1"].map(|device| envelope(device, payload.to_vec(), now));
    gateway.receive(run.into()).expect("no error");
    let mut survey = Survey::default();
    assert!(
        !gateway.engine().survey(&mut survey, 2),
        "the gateway is one of three"
    );
    assert!(gateway.engine().survey(&mut survey, 2));
    let mut names = Names::default();
    let mut write = |directory: &Arc<Directory>, most| {
        let mut text = String::new();
        let dropped = names.write(&survey, directory, most, &mut text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        (lines.map(str::to_owned).collect::<Vec<String>>(), dropped)
    };
    let up = |device, up| {
        format!(r#"ninewatch_device_up{{venue="v1",device="{device}",kind="gas_detector"}} {up}"#)
    };
    let value = |point, value| {
        format!(
            r#"ninewatch_point_value{{venue="v1",device="g1",kind="gas_detector",point="{point}"}} {value}"#
        )
    };
    let (lines, dropped) = write(&directory, 100);
    assert_eq!(dropped, 0);
    assert_eq!(
        lines[..2],
        [up("g1", 1), up("g2", 0)],
        "one that never spoke is not up"
    );
    assert!(lines.contains(&value("lel", "1.5")) && lines.contains(&value("state", "1")));
    assert!(
        lines
            .iter()
            .all(|line| !line.contains("x1") && !line.contains("NaN"))
    );
    let all = lines.len();
    assert_eq!(write(&directory, 3), (lines[..3].to_vec(), all - 3));
    assert_eq!(write(&directory, 0), (Vec::new(), all));

    // Ids that the text format has to escape.
    let odd = RegisteredDevice {
        key: DeviceKey {
            venue: "a\"b\\c\nd".to_owned(),
            kind: "gas_detector".to_owned(),
            device: "g".to_owned(),
        },
        ..RegisteredDevice::default()
    };
    let odd = Arc::new(Directory {
        registry: Registry::new(Vec::new(), vec![odd]),
        ..Directory::clone(&directory)
    });
    let expected = r#"ninewatch_device_up{venue="a\"b\\c\nd",device="g",kind="gas_detector"} 0"#;
    assert_eq!(write(&odd, 100), (vec![expected.to_owned()], 0));
}

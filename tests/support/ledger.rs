//! The ledger of a fault: what the broker took from the devices, against what stands in the journal, became an
//! alarm and was delivered. Every message is from a device of its own and carries its number as `seq`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ninewatch::clock::monotonic;
use ninewatch::domain::journal::{Entry, entries};
use ninewatch::store::{History, Verified, verify};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::eventually;
use super::gateway::Gateway;
use super::publisher::Publisher;
use super::reference;
use super::replica;
use super::sink::Sink;

/// One message in this many is worth an alarm.
const ALARM_EVERY: u64 = 3;

/// A backlog of thousands of messages and deliveries on a loaded machine.
const CATCH_UP: Duration = Duration::from_mins(4);

/// The rule of the test that a message worth an alarm raises.
const RULE: &str = "test-high";

/// Publishes the next message of the ledger's form.
pub(crate) async fn publish(devices: &mut Publisher) {
    publish_padded(devices, "").await;
}

/// Like [`publish`], with this text in a member that no rule looks at.
pub(crate) async fn publish_padded(devices: &mut Publisher, padding: &str) {
    let number = devices.published();
    let lel = if is_alarm(number) { 55 } else { 5 };
    let payload = format!(r#"{{"lel":{lel}.0,"seq":{number},"note":"{padding}"}}"#);
    devices.gas(&device(number), &payload).await;
}

fn is_alarm(number: u64) -> bool {
    number.is_multiple_of(ALARM_EVERY)
}

fn device(number: u64) -> String {
    format!("c{number}")
}

/// What is noted of one fault.
pub(crate) struct Ledger {
    fault: &'static str,
    injected: u32,
    recoveries: Vec<Duration>,
    broker_may_lose: bool,
    kept: Vec<PathBuf>,
}

impl Ledger {
    /// An empty one. The name is that of the row in the table.
    pub(crate) fn of(fault: &'static str) -> Ledger {
        Ledger {
            fault,
            injected: 0,
            recoveries: Vec::new(),
            broker_may_lose: false,
            kept: Vec::new(),
        }
    }

    /// What the broker acknowledged to a device and then forgot is counted, and no loss of the gateway's.
    pub(crate) fn with_a_forgetful_broker(mut self) -> Ledger {
        self.broker_may_lose = true;
        self
    }

    /// What stands in the store in `folder`, which was set aside and has been rescued, counts as well.
    pub(crate) fn keep(&mut self, folder: PathBuf) {
        self.kept.push(folder);
    }

    /// The fault has happened once more.
    pub(crate) fn inject(&mut self) {
        self.injected += 1;
    }

    /// Notes how long `work` takes: from the end of a fault until all is as before.
    pub(crate) async fn recovering<T>(&mut self, work: impl Future<Output = T>) -> T {
        let started = monotonic();
        let outcome = work.await;
        self.recoveries.push(started.elapsed());
        outcome
    }

    /// [`Ledger::check`]; then stops the gateway and compares its state with that of one which never stopped.
    pub(crate) async fn settle(self, gateway: &mut Gateway, devices: &Publisher, sinks: &[&Sink]) {
        self.check(gateway, devices, sinks).await;
        let status = gateway.terminate().await;
        assert!(status.success(), "SIGTERM ends with 0: {status}");
        reference::assert_like_never_stopped(&gateway.data());
    }

    /// Waits until nothing is missing, compares, writes the row, and panics when anything was lost or doubled.
    pub(crate) async fn check(self, gateway: &mut Gateway, devices: &Publisher, sinks: &[&Sink]) {
        self.wait_complete(gateway, devices, sinks).await;
        let account = self.account(gateway, devices, sinks).await;
        self.write(&account);
        account.check(self.broker_may_lose);
        let intact = verify(&gateway.data()).expect("the events can be read");
        assert!(matches!(intact, Verified::Intact { .. }), "{intact:?}");
    }

    /// Waits until nothing is missing, or for so long that something is lost.
    pub(crate) async fn wait_complete(&self, gateway: &mut Gateway, devices: &Publisher, sinks: &[&Sink]) {
        gateway.wait_ready().await;
        if !self.broker_may_lose {
            devices.flush().await;
        }
        // When something is lost this waits in vain; the account then says what.
        let complete = eventually("all is stored and delivered", CATCH_UP * 2, async || {
            let waiting = gateway.metric("ninewatch_notices_pending", &[]).await;
            let settled = waiting == 0 && {
                let account = self.account(gateway, devices, sinks).await;
                account.lost == 0 && account.arrived
            };
            settled.then_some(())
        });
        let _ = timeout(CATCH_UP, complete).await;
    }

    async fn account(&self, gateway: &Gateway, devices: &Publisher, sinks: &[&Sink]) -> Account {
        let mut account = Account::take(gateway, &self.kept, sinks).await;
        let published = devices.published();
        account.published = published;
        let missing = |number: &u64| !account.journalled.contains_key(number);
        if self.broker_may_lose {
            // Such a broker forgets devices' sessions too, and their clients what was on its way: no acknowledgement
            // counts. What it has forgotten never comes; but what was published last comes last.
            account.lost_by_broker = (0..published).filter(missing).count();
            account.arrived = published.checked_sub(1).is_some_and(|last| !missing(&last));
        } else {
            account.lost_by_broker = devices.acked().iter().filter(|number| missing(number)).count();
            account.arrived = account.lost_by_broker == 0;
        }
        account
    }

    fn write(&self, account: &Account) {
        assert!(self.injected > 0, "the fault never happened");
        let mut recoveries = self.recoveries.clone();
        recoveries.sort();
        let p50 = recoveries.get(recoveries.len() / 2).map(Duration::as_millis);
        let max = recoveries.last().map(Duration::as_millis);
        let row = json!({
            "fault": self.fault,
            "injected": self.injected,
            "published": account.published,
            "alarms": account.alarms,
            "lost": account.lost + if self.broker_may_lose { 0 } else { account.lost_by_broker },
            "lost_by_broker": if self.broker_may_lose { account.lost_by_broker } else { 0 },
            "duplicated": account.doubled.len(),
            "redelivered": account.redelivered,
            "repeated": account.repeated,
            "recovery_p50_ms": p50,
            "recovery_max_ms": max,
        });
        append(&row);
    }
}

/// One line for whoever looks on, also of a test that passes, and one into `target/faults/results.jsonl`.
fn append(row: &Value) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("faults");
    fs::create_dir_all(&folder).expect("a folder for the results");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("results.jsonl"))
        .expect("a file for the results");
    let line = format!("{row}\n");
    file.write_all(line.as_bytes()).expect("the results take a line");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error takes a line");
}

/// How everything stands at one moment.
#[derive(Default)]
struct Account {
    published: u64,
    alarms: usize,
    /// Messages in the journal, and what is missing behind it.
    lost: usize,
    /// Taken by the broker, and never seen by the gateway.
    lost_by_broker: usize,
    /// Nothing more will come from the broker.
    arrived: bool,
    /// How often each message stands in the journal, by its number.
    journalled: HashMap<u64, u64>,
    /// Journalled more than once: the broker sent it again.
    redelivered: u64,
    /// Deliveries of a notice that the sink had already: the receiver knows it by its id.
    repeated: usize,
    /// What there is twice, or should not be at all.
    doubled: Vec<String>,
    missing: Vec<String>,
}

impl Account {
    async fn take(gateway: &Gateway, kept: &[PathBuf], sinks: &[&Sink]) -> Account {
        let mut account = Account::default();
        let mut journalled = journalled(&gateway.data());
        let mut alarms: HashMap<String, u32> = HashMap::new();
        for folder in kept {
            for (number, count) in self::journalled(folder) {
                *journalled.entry(number).or_default() += count;
            }
            for device in alarmed(folder) {
                *alarms.entry(device).or_default() += 1;
            }
        }
        account.redelivered = journalled.values().map(|count| count - 1).sum();
        let expected: BTreeSet<String> = journalled
            .keys()
            .filter(|number| is_alarm(**number))
            .map(|number| device(*number))
            .collect();
        for alarm in gateway.alarms("state=all").await {
            if alarm["rule"] == RULE {
                *alarms.entry(device_of(&alarm)).or_default() += 1;
            }
        }
        account.alarms = alarms.len();
        account.compare("raised", &expected, &alarms);
        for sink in sinks {
            let mut notices: HashMap<String, HashSet<String>> = HashMap::new();
            let mut accepted = 0;
            for attempt in sink.attempts().into_iter().filter(|attempt| attempt.accepted) {
                let body = attempt.json();
                if body["type"] == "alarm.raised" && body["alarm"]["rule"] == RULE {
                    accepted += 1;
                    notices
                        .entry(device_of(&body["alarm"]))
                        .or_default()
                        .insert(attempt.id);
                }
            }
            let ids: HashMap<String, u32> = notices
                .into_iter()
                .map(|(device, ids)| (device, u32::try_from(ids.len()).expect("few ids")))
                .collect();
            account.repeated += accepted - ids.values().sum::<u32>() as usize;
            account.compare("announced", &expected, &ids);
        }
        account.journalled = journalled;
        account
    }

    fn compare(&mut self, what: &str, expected: &BTreeSet<String>, found: &HashMap<String, u32>) {
        let missing = expected.iter().filter(|device| !found.contains_key(*device));
        self.missing
            .extend(missing.map(|device| format!("{device} not {what}")));
        self.lost = self.missing.len();
        for (device, count) in found {
            if *count != 1 {
                self.doubled.push(format!("{device} {what} {count} times"));
            } else if !expected.contains(device) {
                self.doubled.push(format!("{device} {what} without a cause"));
            }
        }
    }

    fn check(&self, broker_may_lose: bool) {
        assert!(self.alarms > 0, "a stream worth a fault");
        let (lost, doubled) = (&self.missing, &self.doubled);
        let some = |of: &[String]| of.iter().take(5).cloned().collect::<Vec<_>>();
        assert!(
            lost.is_empty(),
            "{} lost or not in time: {:?} …",
            lost.len(),
            some(lost)
        );
        assert!(
            doubled.is_empty(),
            "{} doubled: {:?} …",
            doubled.len(),
            some(doubled)
        );
        assert!(
            broker_may_lose || self.lost_by_broker == 0,
            "{} messages that the broker took are not in the journal",
            self.lost_by_broker
        );
    }
}

fn device_of(alarm: &Value) -> String {
    alarm["device"]["id"]
        .as_str()
        .expect("an alarm of a device names it")
        .to_owned()
}

/// The devices of the alarms in the store in `folder`, which no gateway has open.
fn alarmed(folder: &Path) -> Vec<String> {
    let store = replica::open(folder);
    let mut alarms = store
        .prepare("SELECT device FROM alarm WHERE rule = ?1")
        .expect("alarms");
    let devices = alarms.query_map([RULE], |row| row.get(0)).expect("alarms");
    devices.map(|device| device.expect("a device's name")).collect()
}

/// How often each message stands in the journal, by its number.
fn journalled(data: &Path) -> HashMap<u64, u64> {
    let history = History::open(data).expect("the store can be read");
    let mut found = HashMap::new();
    for row in reference::rows(&history, 0) {
        for entry in entries(row.first_input, &row.entries) {
            let (_, entry) = entry.expect("a journal entry can be read");
            if let Entry::Reading {
                seq: Some(number), ..
            } = entry
            {
                *found.entry(number).or_default() += 1;
            }
        }
    }
    found
}

impl Gateway {
    /// Where its store is.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }
}

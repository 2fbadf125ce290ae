//! `ninewatch rules backtest` over a store of a million readings, by the real binary under the shipped rules. Beside
//! it, in the same run, the floor: the same readings through the engine alone, from memory.
//!
//! `cargo bench --bench backtest [-- --readings N --rounds N]`

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use ninewatch::clock;
use ninewatch::config;
use ninewatch::config::StoreSettings;
use ninewatch::domain::definitions::Definitions;
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::journal::{DefinitionsInput, Input, Journal};
use ninewatch::domain::kind::PointIndex;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::time::{Moment, Ticks, Timestamp};
use ninewatch::handoff::{Batch, StoredDefinitions, Work};
use ninewatch::lifecycle::Health;
use ninewatch::metrics::Metrics;
use ninewatch::store::{Outlets, Store};
use tokio::sync::{mpsc, watch};

const DEVICES: u32 = 1_000;
/// As many as the gateway puts into one journal row under load.
const ROW: u32 = 1_024;
/// Each device speaks every ten seconds.
const STEP_MS: u64 = 10;
const CONFIG: &str = "[gateway]\nid = \"bench\"\ndata_dir = \"data\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n[http]\nlisten = \"127.0.0.1:1\"\nauth = \"none\"\n";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs a bench once to see that it works; only `cargo bench` says `--bench`.
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let number = |name: &str, default: u32| {
        let place = arguments.iter().position(|argument| argument == name);
        place
            .and_then(|place| arguments.get(place + 1)?.parse().ok())
            .unwrap_or(default)
    };
    let (readings, rounds) = if measured { (1_000_000, 3) } else { (5_000, 1) };
    let (readings, rounds) = (number("--readings", readings), number("--rounds", rounds));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    fs::write(folder.path().join("ninewatch.toml"), CONFIG)?;
    let settings = config::load_str("bench", CONFIG, folder.path())?;
    let definitions = Arc::new(settings.definitions);
    record(folder.path(), &definitions, readings)?;
    println!("{readings} readings, {DEVICES} devices, {rounds} rounds");
    for round in 1..=rounds {
        let backtest = backtest(folder.path(), readings)?;
        let floor = floor(&definitions, readings)?;
        println!(
            "round {round}: backtest {backtest:>9.0} readings/s  |  engine alone {floor:>9.0}  |  ratio {:.2}",
            backtest / floor
        );
    }
    Ok(())
}

/// Everything that is recorded, input by input.
fn inputs(
    definitions: &Arc<Definitions>,
    readings: u32,
    mut take: impl FnMut(Moment, &Input<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let end = clock::wall().0;
    let lasts = u64::from(readings) * STEP_MS;
    let moment = |turn: u32| {
        let ticks = u64::from(turn) * STEP_MS;
        let back = i64::try_from(lasts - ticks).unwrap_or_default();
        Moment {
            wall: Timestamp(end - back),
            ticks: Ticks(ticks),
        }
    };
    let hash = definitions.source().stored()?.1;
    let definitions = DefinitionsInput { hash, definitions };
    take(moment(0), &Input::Definitions(definitions))?;
    take(moment(0), &Input::Listening(true))?;
    for device in 0..DEVICES {
        let key = DeviceKey {
            venue: format!("v{}", device / 4),
            kind: "gas_detector".to_owned(),
            device: format!("g{device}"),
        };
        take(moment(0), &Input::Device(&key))?;
    }
    for turn in 0..readings {
        // Restful, but for one leak in ten thousand readings.
        let lel = if turn % 10_007 == 0 {
            60.0
        } else {
            f64::from(turn % 40) / 10.0
        };
        let points = [(1, lel), (2, 21.4), (3, 88.0)].map(|(point, value)| (PointIndex(point), value));
        let reading = Reading {
            device: DeviceIndex(turn % DEVICES),
            device_at: None,
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &points,
        };
        take(moment(turn), &Input::Reading(reading))?;
    }
    Ok(())
}

fn record(folder: &Path, definitions: &Arc<Definitions>, readings: u32) -> anyhow::Result<()> {
    let (store, _) = Store::open(&folder.join("data"))?;
    let outlets = Outlets {
        follower: None,
        receipts: mpsc::channel(1).0,
        notices: watch::channel(0).0,
        metrics: Metrics::new(),
        health: Health::new(),
    };
    let (works, writer) = store.start(outlets, StoreSettings::default())?;
    let (source, hash) = definitions.source().stored()?;
    let mut batch = Batch {
        definitions: vec![StoredDefinitions { hash, source }],
        ..Batch::default()
    };
    let mut journal = Journal::default();
    let mut first_input = 0;
    let mut close = |journal: Journal| -> anyhow::Result<()> {
        let mut batch = std::mem::take(&mut batch);
        batch.first_input = first_input;
        batch.inputs = journal.inputs();
        batch.last = journal.last();
        batch.journal = journal.into_bytes();
        first_input += u64::from(batch.inputs);
        Ok(works.blocking_send(Work::Batch(Box::new(batch)))?)
    };
    inputs(definitions, readings, |now, input| {
        journal.push(now, input)?;
        if journal.inputs() == ROW {
            close(std::mem::take(&mut journal))?;
        }
        Ok(())
    })?;
    close(journal)?;
    drop(works);
    Ok(writer.join()?)
}

fn backtest(folder: &Path, readings: u32) -> anyhow::Result<f64> {
    let output = Command::new(env!("CARGO_BIN_EXE_ninewatch"))
        .args(["rules", "backtest", "--since", "30d", "--json", "--config"])
        .arg(folder.join("ninewatch.toml"))
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        report.get("readings").and_then(serde_json::Value::as_u64) == Some(u64::from(readings)),
        "not every reading was played: {report}"
    );
    let seconds = report.get("seconds").and_then(serde_json::Value::as_f64);
    Ok(f64::from(readings) / seconds.context("no seconds")?)
}

/// The floor: nothing is read or decoded.
fn floor(definitions: &Arc<Definitions>, readings: u32) -> anyhow::Result<f64> {
    let mut engine = Engine::new("floor");
    let mut effects = Effects::default();
    let started = clock::monotonic();
    inputs(definitions, readings, |now, input| {
        if engine
            .next_deadline()
            .is_some_and(|deadline| deadline <= now.ticks)
        {
            engine.handle(&Input::Timeout, now, &mut effects)?;
        }
        engine.handle(input, now, &mut effects)?;
        Ok(())
    })?;
    Ok(f64::from(readings) / started.elapsed().as_secs_f64())
}

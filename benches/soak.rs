//! The real binary at full rate for a long time, from a direct source: its memory and the size of its store, minute by
//! minute. Ends with an error when memory has grown.
//!
//! `cargo bench --bench soak [-- --minutes N]`, or `tests/soak.sh`

#[path = "support/direct_source.rs"]
#[expect(dead_code, reason = "here the source is stopped, not waited for")]
mod direct_source;
#[path = "support/process.rs"]
#[expect(dead_code, reason = "each bench asks for something else")]
mod process;

use std::time::Duration;

use anyhow::{Context, ensure};
use direct_source::{DirectSource, Load};
use ninewatch::clock::monotonic;
use process::{Gateway, resident_kb};

const DEVICES: usize = 10_000;

/// One device in so many says something dangerous now and then.
const RESTLESS: usize = 1_000;

/// Each device says so many different things in turn.
const VARIANTS: usize = 8;

/// Small, so that retention works all the time.
const STORE: &str = "[store]\nmax_size = \"400MB\"\n";

/// How much the memory of the last third may be above that of the first, after the first minute.
const MOST_GROWTH: f64 = 1.05;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs a bench once to see that it works; only `cargo bench` says `--bench`.
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let place = arguments.iter().position(|argument| argument == "--minutes");
    let minutes = place.and_then(|place| arguments.get(place + 1)?.parse().ok());
    let (period, periods) = if measured {
        (Duration::from_mins(1), minutes.unwrap_or(30))
    } else {
        (Duration::from_secs(1), 4)
    };
    let load = Load {
        messages: (0..VARIANTS)
            .flat_map(|variant| (0..DEVICES).map(move |device| (topic(device), payload(device, variant))))
            .collect(),
        warm_up: DEVICES as u64,
        total: u64::MAX / 4,
        window: 20_000,
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let source = DirectSource::start(&load)?;
    let gateway = Gateway::start(folder.path(), source.port, STORE)?;
    source.warmed_up();
    let mut samples = Vec::new();
    let mut before = (monotonic(), 0);
    for number in 1..=periods {
        let most = watch(&gateway, period)?;
        let acknowledged = gateway
            .metric("ninewatch_messages_acknowledged_total")
            .context("the gateway does not answer")?;
        let store = gateway.metric("ninewatch_store_bytes").unwrap_or_default();
        let now = monotonic();
        let rate = (acknowledged - before.1) as f64 / now.saturating_duration_since(before.0).as_secs_f64();
        before = (now, acknowledged);
        println!(
            "{number:>4}  {rate:>8.0} msg/s  memory at most {:>5.1} MiB  store {:>5.0} MB",
            most as f64 / 1024.0,
            store as f64 / 1e6
        );
        samples.push(most as f64);
    }
    drop(gateway);
    // Its client is gone: it ends with an error, as it should.
    let _ = source.finish();
    let settled = samples.get(1..).context("more than one period")?;
    let third = (settled.len() / 3).max(1);
    let growth = largest(settled.iter().rev().take(third)) / largest(settled.iter().take(third));
    println!("memory, last third / first third: {growth:.3}");
    ensure!(
        !measured || growth <= MOST_GROWTH,
        "memory grew: {growth:.3} is more than {MOST_GROWTH}"
    );
    Ok(())
}

/// The most memory seen during `period`, in kilobytes. Somebody asks for `/metrics` all the while: the threads that answer
/// come and go beside those that work.
fn watch(gateway: &Gateway, period: Duration) -> anyhow::Result<u64> {
    let end = monotonic() + period;
    let mut most = 0;
    while monotonic() < end {
        most = most.max(resident_kb(gateway.id())?);
        gateway
            .metric("ninewatch_build_info")
            .context("the gateway does not answer")?;
        std::thread::park_timeout(Duration::from_millis(200));
    }
    Ok(most)
}

fn largest<'a>(samples: impl Iterator<Item = &'a f64>) -> f64 {
    samples.copied().fold(f64::MIN, f64::max)
}

fn topic(device: usize) -> String {
    format!("ninewatch/v{:05}/gas_detector/g{device:06}/telemetry", device / 4)
}

/// A restful reading, now and then one of a leak; the time is left out so that no message is late.
fn payload(device: usize, variant: usize) -> Vec<u8> {
    let leak = device.is_multiple_of(RESTLESS) && variant == 0;
    let lel = if leak {
        60.0
    } else {
        0.5 + ((device + 7 * variant) % 30) as f64 / 10.0
    };
    format!(
        r#"{{"lel":{lel:.1},"temperature":21.4,"battery":88,"state":"normal","firmware":"2.4.1","model":"GD-200","rssi":-61,"uptime":8640000,"note":"kitchen"}}"#
    )
    .into_bytes()
}

//! The commit comes before the acknowledgement: seen from outside, in the system calls of the running binary.

#![cfg(test)]

mod support;

use std::fmt::Write as _;

use support::gateway::Gateway;
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::Sink;
use support::{PATIENCE, eventually, run_installed};

const CALLS: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,fdatasync,fsync";
const MESSAGES: usize = 8;
/// How the name of SQLite's log ends under `-xx`: `-wal`.
const LOG: &str = r"\x2d\x77\x61\x6c>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commit_is_on_disk_before_the_acknowledgement_leaves() {
    run_installed("strace", "strace", &["--version"]);
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let gateway = Gateway::prepare(broker.port, &sink.url());
    let trace = gateway.folder().join("trace");
    let file = trace.to_str().unwrap().to_owned();
    // -D: strace is the grandchild, so that the process we started and stop is the gateway itself.
    let gateway = gateway
        .under(&[
            "strace", "-D", "-f", "-yy", "-xx", "-s", "4096", "-e", CALLS, "-o", &file,
        ])
        .start()
        .await;
    let mut device = Publisher::start(broker.port, "device");
    for number in 0..MESSAGES {
        // Half of them raise an alarm, half are plain telemetry: the promise is the same.
        let lel = if number % 2 == 0 { 55 } else { 5 };
        device.gas(&name(number), &format!(r#"{{"lel":{lel}.0}}"#)).await;
        gateway.wait_acknowledged(number as u64 + 1).await;
    }
    let port = broker.port;
    let seen = eventually("the trace holds every acknowledgement", PATIENCE, async || {
        let text = std::fs::read_to_string(&trace).ok()?;
        let complete = (0..MESSAGES)
            .all(|number| order(&text, port, &name(number)).is_ok_and(|order| order.acknowledged.is_some()));
        complete.then_some(text)
    })
    .await;
    for number in 0..MESSAGES {
        if let Err(problem) = check(&seen, port, &name(number)) {
            panic!("message {number}: {problem}");
        }
    }
}

fn name(number: usize) -> String {
    format!("order-{number}")
}

/// The lines of a trace that matter for one message.
#[derive(Debug)]
struct Order {
    received: usize,
    written: Option<usize>,
    synced: Option<usize>,
    acknowledged: Option<usize>,
}

/// Received → written to the log → synced → acknowledged, or what stands against it.
fn check(trace: &str, port: u16, device: &str) -> Result<(), String> {
    let order = order(trace, port, device)?;
    let acknowledged = order.acknowledged.ok_or("never acknowledged")?;
    let written = order.written.ok_or("its commit was never written")?;
    let synced = order.synced.ok_or("its commit was never synced")?;
    if order.received < written && written < synced && synced < acknowledged {
        Ok(())
    } else {
        Err(format!(
            "received, written, synced, acknowledged stand in the wrong order: {order:?}"
        ))
    }
}

fn order(trace: &str, port: u16, device: &str) -> Result<Order, String> {
    let broker = format!("->127.0.0.1:{port}]");
    let topic = hex(format!("/{device}/telemetry").as_bytes());
    let lines: Vec<&str> = trace.lines().collect();
    let on_broker = |line: &str| line.contains(&broker);
    let (received, packet) = lines
        .iter()
        .enumerate()
        .find_map(|(at, line)| {
            let bytes = line.split_once(topic.as_str())?.1.get(..8)?;
            // A read that was interrupted in the listing shows its bytes on the `resumed` line, without the socket.
            let read = line.contains("recv") || line.contains("read");
            (read && (on_broker(line) || line.contains("resumed>"))).then(|| (at, bytes.to_owned()))
        })
        .ok_or_else(|| format!("{device} was never received"))?;
    let puback = format!("\\x40\\x02{packet}");
    let after = |found: &dyn Fn(&str) -> bool, from: usize| {
        (from + 1..lines.len()).find(|at| lines.get(*at).is_some_and(|line| found(line)))
    };
    let written = after(&|line| line.contains("pwrite64(") && line.contains(LOG), received);
    let synced = written.and_then(|written| synced_after(&lines, written));
    let acknowledged = after(
        &|line| {
            let call = ["write(", "writev(", "sendto(", "sendmsg("]
                .iter()
                .any(|call| line.contains(call));
            call && on_broker(line) && line.contains(&puback)
        },
        received,
    );
    Ok(Order {
        received,
        written,
        synced,
        acknowledged,
    })
}

/// The line on which a sync of the log that began after `from` has returned 0.
fn synced_after(lines: &[&str], from: usize) -> Option<usize> {
    let mut waiting: Option<&str> = None;
    for (at, line) in lines.iter().enumerate().skip(from + 1) {
        let thread = line.split_whitespace().next()?;
        let begins = (line.contains("fdatasync(") || line.contains("fsync(")) && line.contains(LOG);
        if begins && line.ends_with("= 0") {
            return Some(at);
        }
        if begins {
            waiting = Some(thread);
        }
        if waiting == Some(thread) && line.contains("sync resumed>") && line.ends_with("= 0") {
            return Some(at);
        }
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\x{byte:02x}");
        text
    })
}

/// A trace in the form of strace, with these steps in this order.
fn trace(steps: &[&str]) -> String {
    let topic = hex(b"v1/gas_detector/d/telemetry");
    let line = |step: &&str| match *step {
        "recv" => format!(
            r#"7 recvfrom(9<TCP:[127.0.0.1:5->127.0.0.1:1883]>, "\x32\x40{topic}\x00\x2a\x7b", 9) = 9"#
        ),
        "write" => format!(r#"8 pwrite64(5<{LOG}, "\x00", 1, 0) = 1"#),
        "sync" => format!("8 fdatasync(5<{LOG})             = 0"),
        "begin" => format!("8 fdatasync(5<{LOG} <unfinished ...>"),
        "end" => "8 <... fdatasync resumed>)             = 0".to_owned(),
        "fail" => format!("8 fdatasync(5<{LOG})             = -1 EIO (Input/output error)"),
        "ack" => r#"7 sendto(9<TCP:[127.0.0.1:5->127.0.0.1:1883]>, "\x40\x02\x00\x2a", 4) = 4"#.to_owned(),
        other => panic!("no such step: {other}"),
    };
    steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_good_order_passes() {
    for steps in [
        &["recv", "write", "sync", "ack"][..],
        &["recv", "write", "begin", "end", "ack"],
    ] {
        assert_eq!(check(&trace(steps), 1883, "d"), Ok(()), "{steps:?}");
    }
}

#[test]
fn a_bad_order_is_seen() {
    for steps in [
        &["recv", "ack", "write", "sync"][..],
        &["recv", "write", "ack", "sync"],
        &["recv", "write", "begin", "ack", "end"],
        &["recv", "write", "fail", "ack"],
        &["write", "sync", "recv", "ack"],
        &["recv", "sync", "ack"],
        &["recv", "write", "sync"],
        &["write", "sync", "ack"],
    ] {
        assert!(check(&trace(steps), 1883, "d").is_err(), "{steps:?}");
    }
}

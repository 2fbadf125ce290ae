//! The real binary as a bench starts it, what it has used (read from /proc), and what it says of itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use ninewatch::clock::monotonic;

/// After it a figure that does not come is an error.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    /// The port of its API.
    http: u16,
}

impl Gateway {
    /// Starts the binary in `folder` on the broker at this port, with `more` in its configuration.
    pub(crate) fn start(folder: &Path, mqtt: u16, more: &str) -> anyhow::Result<Gateway> {
        Gateway::start_under(&[], folder, mqtt, more)
    }

    /// The same under `wrapper`, which has to become the gateway: the process that is killed in the end.
    pub(crate) fn start_under(
        wrapper: &[&str],
        folder: &Path,
        mqtt: u16,
        more: &str,
    ) -> anyhow::Result<Gateway> {
        let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let config = folder.join("ninewatch.toml");
        let text = format!(
            "[gateway]\nid = \"bench\"\ndata_dir = \"data\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{mqtt}\"\nclient_id = \"bench\"\n[http]\nlisten = \"127.0.0.1:{http}\"\nauth = \"none\"\n{more}"
        );
        fs::write(&config, text)?;
        let mut words = wrapper.iter().copied().chain([env!("CARGO_BIN_EXE_ninewatch")]);
        let child = Command::new(words.next().context("a program")?)
            .args(words)
            .args(["run", "--config"])
            .arg(&config)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Gateway { child, http })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The value of the first series of this name in `/metrics`; nothing while nobody answers.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).ok()?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until that is at least so much.
    pub(crate) fn wait_for(&self, name: &str, least: u64) -> anyhow::Result<()> {
        let started = monotonic();
        while self.metric(name).unwrap_or_default() < least {
            ensure!(started.elapsed() < PATIENCE, "{name} stays below {least}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a running process.
pub(crate) fn cpu_time(process: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name stands in parentheses and may hold anything; utime and stime are fields 14 and 15 of the whole.
    let fields = stat.rsplit_once(')').context("no name in stat")?.1;
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // USER_HZ is 100 on every Linux that matters.
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

/// The memory that a running process holds, in kilobytes of 1 024 bytes.
pub(crate) fn resident_kb(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS in status")?;
    let number = line.split_whitespace().next().context("no number in VmRSS")?;
    Ok(number.parse()?)
}

//! What systemd is told, through a `NOTIFY_SOCKET` of the test's own: ready, alive while the pipeline moves, stopping.

#![cfg(test)]

mod support;

use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use support::gateway::Gateway;
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::Sink;
use support::strace::{EIO, Strace};
use support::{PATIENCE, eventually, http};

/// What systemd allows between two pings in these tests; half of it is the usual pause.
const ALLOWED: Duration = Duration::from_secs(1);

/// Systemd's end of the socket.
struct Systemd {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Systemd {
    fn start() -> Systemd {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        Systemd { folder, socket }
    }

    /// Sets the variables that systemd sets, and runs what comes after them.
    fn environment(&self) -> Vec<String> {
        let socket = self.folder.path().join("notify");
        vec![
            "env".to_owned(),
            format!("NOTIFY_SOCKET={}", socket.display()),
            format!("WATCHDOG_USEC={}", ALLOWED.as_micros()),
        ]
    }

    async fn next(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.socket.recv(&mut buffer).await.expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Waits for a message with this line in it.
    async fn wait_for(&self, line: &str) {
        let found = timeout(PATIENCE, async {
            while !self.next().await.lines().any(|found| found.starts_with(line)) {}
        });
        found.await.unwrap_or_else(|_| panic!("{line} never came"));
    }

    /// Whether no ping comes for three times as long as systemd would wait, after those under way.
    async fn pings_end(&self) -> bool {
        for _ in 0..5 {
            if timeout(ALLOWED * 3, self.wait_for("WATCHDOG=1")).await.is_err() {
                return true;
            }
        }
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_of_ready_of_a_moving_pipeline_and_of_the_stop() {
    let systemd = Systemd::start();
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let environment = systemd.environment();
    let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).under(&environment);
    gateway.launch();
    systemd.wait_for("READY=1").await;
    gateway.wait_ready().await;
    systemd.wait_for("STATUS=listening to the broker").await;
    for _ in 0..3 {
        systemd.wait_for("WATCHDOG=1").await;
    }
    let mut devices = Publisher::start(broker.port, "devices");

    // A writer that hangs in the disk: nothing moves, and nothing says that it does.
    let stuck = Strace::attach(
        gateway.pid(),
        "inject=fdatasync,fsync:delay_enter=12000000:when=1",
    )
    .await;
    devices.gas("g1", r#"{"lel":1.0}"#).await;
    assert!(systemd.pings_end().await, "a stuck writer is not alive");
    gateway.wait_acknowledged(1).await;
    systemd.wait_for("WATCHDOG=1").await;
    drop(stuck);

    // A disk that fails is known, and a restart would not mend it: the writer goes on trying.
    let failing = Strace::attach(gateway.pid(), EIO).await;
    devices.gas("g1", r#"{"lel":2.0}"#).await;
    eventually("commits fail", PATIENCE, async || {
        (http::get(&gateway.url("/-/ready")).await.status == 503).then_some(())
    })
    .await;
    systemd
        .wait_for("STATUS=listening to the broker; the store takes no commits")
        .await;
    for _ in 0..3 {
        systemd.wait_for("WATCHDOG=1").await;
    }
    drop(failing);
    gateway.wait_acknowledged(2).await;
    assert!(gateway.terminate().await.success());
    systemd.wait_for("STOPPING=1").await;
}

//! A real mosquitto on a free port of the loopback, in a temporary folder, gone when dropped. Tests only.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ninewatch::clock::monotonic;
use tempfile::TempDir;

/// How long a broker may take to accept or to end.
const DEADLINE: Duration = Duration::from_secs(10);

/// A running broker. It allows anonymous clients unless its configuration lines say otherwise.
pub(crate) struct Mosquitto {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts a broker. `config_lines` follow the line `listener PORT 127.0.0.1`; `{folder}` in them stands for the
    /// broker's temporary folder. Without a line that begins with `allow_anonymous`, anybody may connect.
    pub(crate) fn start(config_lines: &str) -> Mosquitto {
        Mosquitto::start_with(config_lines, |_| {})
    }

    /// Like [`Mosquitto::start`], after `prepare` has put files (passwords, certificates) into the folder.
    pub(crate) fn start_with(config_lines: &str, prepare: impl FnOnce(&Path)) -> Mosquitto {
        let folder = tempfile::tempdir().expect("a temporary folder");
        prepare(folder.path());
        let port = free_port();
        let path = folder.path().display().to_string();
        let mut config = format!(
            "user root\npersistence_location {path}/\nlog_dest file {path}/mosquitto.log\n\
             set_tcp_nodelay true\nmax_queued_messages 0\nlistener {port} 127.0.0.1\n{}\n",
            config_lines.replace("{folder}", &path)
        );
        if !config.contains("allow_anonymous") {
            config.push_str("allow_anonymous true\n");
        }
        fs::write(folder.path().join("mosquitto.conf"), config).expect("the configuration is written");
        let mut broker = Mosquitto {
            port,
            folder,
            child: None,
        };
        broker.resume();
        broker
    }

    /// The broker's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The broker's process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it again on the same port, after [`Mosquitto::stop`]; returns when it accepts.
    pub(crate) fn resume(&mut self) {
        let child = Command::new(program())
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto starts (apt-get install mosquitto)");
        self.child = Some(child);
        let started = monotonic();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let child = self.child.as_mut().expect("just started");
            assert!(
                child.try_wait().expect("its state").is_none() && started.elapsed() < DEADLINE,
                "mosquitto does not accept: {}",
                fs::read_to_string(self.folder.path().join("mosquitto.log")).unwrap_or_default()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Stops and starts it. Its sessions survive only with `persistence true` among the lines.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.resume();
    }

    /// How often `text` stands in its log. What stands there depends on `log_type` lines.
    pub(crate) fn logged(&self, text: &str) -> usize {
        let log = fs::read_to_string(self.folder.path().join("mosquitto.log")).unwrap_or_default();
        log.matches(text).count()
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        if let Some(mut child) = self.child.take() {
            child.wait().expect("mosquitto ended");
        }
    }

    /// Ends it without warning (SIGKILL).
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("mosquitto is ours");
            child.wait().expect("mosquitto ended");
        }
    }

    /// Sends it a signal by name, `HUP` for a reload of passwords and ACLs.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().expect("mosquitto runs");
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid.to_string())
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill -{name} {pid}");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> PathBuf {
    // Debian puts it where a user's PATH does not look.
    let system = PathBuf::from("/usr/sbin/mosquitto");
    if system.exists() {
        system
    } else {
        PathBuf::from("mosquitto")
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

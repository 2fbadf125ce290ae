//! A real PostgreSQL on a free port of the loopback, in a temporary folder, gone when dropped. Tests only.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ninewatch::clock::monotonic;
use tempfile::TempDir;

/// How long a server may take to accept or to end.
const DEADLINE: Duration = Duration::from_secs(30);

/// The role and the database that the gateway uses: no superuser, but the owner of the database.
const ROLE: &str = "ninewatch";

/// A running server. Anybody on the loopback may connect as `ninewatch` (owner of the database of that name) or as
/// `postgres` (superuser).
pub(crate) struct Postgres {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Postgres {
    /// Starts a server. `config_lines` end up in `postgresql.conf`.
    pub(crate) fn start(config_lines: &str) -> Postgres {
        Postgres::start_with(config_lines, |_| {})
    }

    /// Like [`Postgres::start`], after `prepare` has put files into the data folder, where relative paths of
    /// `config_lines` begin.
    pub(crate) fn start_with(config_lines: &str, prepare: impl FnOnce(&Path)) -> Postgres {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut server = Postgres {
            port,
            folder,
            child: None,
        };
        own(server.folder.path());
        let data = server.data();
        let made = as_server("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
            ])
            .args(["--locale=C", "-D"])
            .arg(&data)
            .output()
            .unwrap_or_else(|error| {
                panic!("cannot run initdb ({error}); install it: apt-get install postgresql")
            });
        assert!(
            made.status.success(),
            "initdb failed; is it installed (apt-get install postgresql)? {}",
            String::from_utf8_lossy(&made.stderr)
        );
        prepare(&data);
        own_all(&data);
        let conf = data.join("postgresql.conf");
        let folder = server.folder.path().display();
        let lines = format!(
            "\nlisten_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{folder}'\nfsync = off\n\
             shared_buffers = 32MB\n{config_lines}\n"
        );
        let text = fs::read_to_string(&conf).expect("initdb has written it") + &lines;
        fs::write(&conf, text).expect("the configuration is written");
        server.resume();
        server.execute_in("postgres", &format!("CREATE ROLE {ROLE} LOGIN"));
        server.execute_in("postgres", &format!("CREATE DATABASE {ROLE} OWNER {ROLE}"));
        server
    }

    /// Its address as the configuration has it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{ROLE}", self.port)
    }

    /// Where its files are.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it again on the same port, after [`Postgres::stop`] or [`Postgres::kill`]; returns when it accepts.
    pub(crate) fn resume(&mut self) {
        let log = self.folder.path().join("log");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log");
        let child = as_server("postgres")
            .arg("-D")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres starts (apt-get install postgresql)");
        self.child = Some(child);
        let started = monotonic();
        while !self.accepts() {
            let child = self.child.as_mut().expect("just started");
            assert!(
                child.try_wait().expect("its state").is_none() && started.elapsed() < DEADLINE,
                "postgres does not accept: {}",
                fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn accepts(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            && self
                .psql("postgres", "SELECT 1")
                .output()
                .is_ok_and(|output| output.status.success())
    }

    /// Asks it to end at once and cleanly (SIGINT, "fast"), and waits for that.
    pub(crate) fn stop(&mut self) {
        self.signal("INT");
        if let Some(mut child) = self.child.take() {
            child.wait().expect("postgres ended");
        }
    }

    /// Ends it without warning (SIGQUIT, "immediate": as after a crash it recovers from its log).
    pub(crate) fn kill(&mut self) {
        if self.child.is_some() {
            self.thaw();
            self.signal("QUIT");
        }
        if let Some(mut child) = self.child.take() {
            child.wait().expect("postgres ended");
        }
    }

    /// Stops it in its tracks (SIGSTOP): connections stay up, and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Lets it go on after [`Postgres::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// Makes every transaction from now on read-only, or takes that back.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        let on = if read_only { "on" } else { "off" };
        self.execute_in(
            "postgres",
            &format!("ALTER SYSTEM SET default_transaction_read_only = {on}"),
        );
        self.execute_in("postgres", "SELECT pg_reload_conf()");
    }

    /// Runs `sql` in the gateway's database as the superuser.
    pub(crate) fn execute(&self, sql: &str) {
        self.execute_in(ROLE, sql);
    }

    fn execute_in(&self, database: &str, sql: &str) {
        let output = self.psql(database, sql).output().expect("psql runs");
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The rows that `sql` gives, each with its columns divided by `|`. Panics when it fails.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        let output = self.psql(ROLE, sql).output().expect("psql runs");
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).expect("psql speaks UTF-8");
        text.lines().map(str::to_owned).collect()
    }

    /// Like [`Postgres::rows`]; `None` when it fails: no server, no table.
    pub(crate) fn try_rows(&self, sql: &str) -> Option<Vec<String>> {
        let output = self.psql(ROLE, sql).output();
        let output = output.ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }

    /// How many rows `table` has; `None` while it cannot be counted: no server, no table.
    pub(crate) fn count(&self, table: &str) -> Option<u64> {
        let rows = self.try_rows(&format!("SELECT count(*) FROM {table}"))?;
        rows.first()?.parse().ok()
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = Command::new(program("psql"));
        command
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
            ])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .env(
                "PGOPTIONS",
                "-c default_transaction_read_only=off -c timezone=UTC",
            )
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::null());
        command
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().map(Child::id).expect("postgres runs")
    }

    fn signal(&self, name: &str) {
        send(name, &[self.pid().to_string()]);
    }

    /// The server and the process of every connection.
    fn signal_all(&self, name: &str) {
        let parent = self.pid().to_string();
        let found = Command::new("ps")
            .args(["-o", "pid=", "--ppid", &parent])
            .output();
        let found = found.expect("ps runs (apt-get install procps)");
        let children = String::from_utf8_lossy(&found.stdout);
        // The server first: it must not make another one meanwhile.
        let mut pids = vec![parent];
        pids.extend(children.split_whitespace().map(str::to_owned));
        send(name, &pids);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Signals processes of ours; one that has ended meanwhile is no failure.
fn send(name: &str, pids: &[String]) {
    let done = Command::new("kill")
        .arg(format!("-{name}"))
        .args(pids)
        .stderr(Stdio::null())
        .status();
    done.expect("kill runs");
}

/// A program of the server's, as a user that it accepts: it refuses to run as root.
fn as_server(name: &str) -> Command {
    if !is_root() {
        return Command::new(program(name));
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
        .arg(program(name));
    command
}

fn own(folder: &Path) {
    if is_root() {
        change_owner(&[], folder);
    }
}

fn own_all(folder: &Path) {
    if is_root() {
        change_owner(&["-R"], folder);
    }
}

fn change_owner(options: &[&str], folder: &Path) {
    let done = Command::new("chown")
        .args(options)
        .arg("postgres:postgres")
        .arg(folder)
        .status();
    assert!(
        done.is_ok_and(|status| status.success()),
        "cannot give {} to the user postgres; install it: apt-get install postgresql",
        folder.display()
    );
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout.trim_ascii() == b"0"
}

/// Debian keeps the server's programs where no PATH looks; the newest version counts.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let number = version.file_name().to_string_lossy().parse().ok()?;
            let path = version.path().join("bin").join(name);
            path.exists().then_some((number, path))
        })
        .collect();
    found.sort();
    found.pop().map_or_else(|| PathBuf::from(name), |(_, path)| path)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

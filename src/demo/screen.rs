//! The one writer of the demo's output: messages scroll, the status line stays below them. A thread of its own,
//! so that a stopped terminal never stops the gateway's runtime.

use std::io::{self, IsTerminal, Write};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{Receiver, Sender, WeakSender, channel};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for the terminal; more wait at their source.
const WAITING: usize = 256;

/// Something to show.
#[derive(Debug)]
enum Show {
    /// Lines that stay.
    Lines(Vec<String>),
    /// The status: replaces the one before it on a terminal.
    Status(String),
}

/// Where parts of the demo send what they have to say.
#[derive(Debug, Clone)]
pub struct Screen {
    show: Sender<Show>,
    /// Output goes to a terminal.
    terminal: bool,
}

/// The writing thread: ends when the last [`Screen`] is gone, or when nobody reads the output any more.
#[derive(Debug)]
pub struct Writing {
    thread: JoinHandle<()>,
    closed: CancellationToken,
}

impl Screen {
    /// Writes to the standard output.
    pub fn start() -> io::Result<(Screen, Writing)> {
        let terminal = io::stdout().is_terminal();
        let (show, waiting) = channel(WAITING);
        let closed = CancellationToken::new();
        let token = closed.clone();
        let thread = std::thread::Builder::new()
            .name("screen".to_owned())
            .spawn(move || {
                // An error means that the reader has gone (`| head`): nothing more to show to anybody.
                let _gone = write_all(waiting, &mut Painter::new(io::stdout(), terminal));
                token.cancel();
            })?;
        Ok((Screen { show, terminal }, Writing { thread, closed }))
    }

    /// Whether a person sees it live.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows `lines`, once those before them are shown.
    pub async fn lines(&self, lines: Vec<String>) {
        let _closed = self.show.send(Show::Lines(lines)).await;
    }

    /// Shows `status`, unless the terminal is behind: the next one is newer.
    pub fn status(&self, status: String) {
        let _full = self.show.try_send(Show::Status(status));
    }
}

impl Writing {
    /// Is cancelled when nobody reads the output any more.
    pub fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// Waits until everything is written. Every [`Screen`] must be dropped.
    pub async fn finished(self) {
        self.closed.cancelled().await;
        if self.thread.join().is_err() {
            tracing::error!("the screen's thread panicked");
        }
    }
}

fn write_all(mut waiting: Receiver<Show>, painter: &mut Painter<impl Write>) -> io::Result<()> {
    while let Some(show) = waiting.blocking_recv() {
        match show {
            Show::Lines(lines) => painter.lines(&lines)?,
            Show::Status(status) => painter.status(status)?,
        }
    }
    painter.finish()
}

/// Keeps the status line at the bottom of what it writes.
struct Painter<W> {
    out: W,
    terminal: bool,
    status: String,
}

impl<W: Write> Painter<W> {
    fn new(out: W, terminal: bool) -> Painter<W> {
        Painter {
            out,
            terminal,
            status: String::new(),
        }
    }

    fn lines(&mut self, lines: &[String]) -> io::Result<()> {
        self.wipe()?;
        for line in lines {
            writeln!(self.out, "{line}")?;
        }
        self.draw()
    }

    fn status(&mut self, status: String) -> io::Result<()> {
        if !self.terminal {
            writeln!(self.out, "{status}")?;
            return self.out.flush();
        }
        self.wipe()?;
        self.status = status;
        self.draw()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.wipe()?;
        self.out.flush()
    }

    fn wipe(&mut self) -> io::Result<()> {
        if self.terminal && !self.status.is_empty() {
            write!(self.out, "\r\x1b[2K")?;
        }
        Ok(())
    }

    /// The terminal cuts the status at its edge (no auto-wrap): a second row could not be wiped.
    fn draw(&mut self) -> io::Result<()> {
        if self.terminal {
            write!(self.out, "\x1b[?7l{}\x1b[?7h", self.status)?;
        }
        self.out.flush()
    }
}

/// Takes log lines to the screen, so that they do not tear the status line; to the standard error when that
/// is not the same terminal, or no longer shows anything.
#[derive(Debug, Clone)]
pub struct LogWriter(Option<WeakSender<Show>>);

impl LogWriter {
    /// Writes logs beside what `screen` shows.
    pub fn new(screen: &Screen) -> LogWriter {
        let shared = screen.is_terminal() && io::stderr().is_terminal();
        LogWriter(shared.then(|| screen.show.downgrade()))
    }
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.as_ref().and_then(WeakSender::upgrade) {
            Some(show) => {
                let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
                let _full = show.try_send(Show::Lines(vec![text]));
                Ok(bytes.len())
            }
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Painter;

    #[test]
    fn on_a_terminal_the_status_is_wiped_and_drawn_again_below_each_message() {
        let mut written = Vec::new();
        let mut painter = Painter::new(&mut written, true);
        painter.status("1 msg/s".to_owned()).unwrap();
        painter.lines(&["fire".to_owned()]).unwrap();
        painter.finish().unwrap();
        let drawn = "\x1b[?7l1 msg/s\x1b[?7h";
        assert_eq!(
            String::from_utf8(written).unwrap(),
            format!("{drawn}\r\x1b[2Kfire\n{drawn}\r\x1b[2K")
        );
    }

    #[test]
    fn without_a_terminal_there_is_no_escape_code() {
        let mut written = Vec::new();
        let mut painter = Painter::new(&mut written, false);
        painter.status("1 msg/s".to_owned()).unwrap();
        painter.lines(&["fire".to_owned()]).unwrap();
        painter.finish().unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "1 msg/s\nfire\n");
    }
}

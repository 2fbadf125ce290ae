//! The configuration at run time: reads the file anew when asked, whole, and has it put in force or says why not. One
//! task, so that one reload is over before the next begins, whoever waits for it. Decides nothing about alarms.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Findings, Fixed, RegisterError, Registration, Settings, counted};
use crate::domain::profile::command::CommandBook;
use crate::domain::profile::decoder::Decoder;
use crate::gateway::{Reconfiguration, Surroundings};
use crate::handoff::Directory;
use crate::metrics::Metrics;
use crate::words::{InForce, Vocabulary};

/// Requests that may wait for the reload under way.
const QUEUE: usize = 4;

/// Where a configuration came from, and how the process is told to read it anew.
#[derive(Debug)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// SIGHUP.
    pub hangup: Signal,
}

/// Somebody wants the configuration read anew, or something registered, which is the same.
#[derive(Debug)]
pub struct ReloadRequest {
    /// What is to be registered with it.
    pub registration: Option<Registration>,
    /// Is told what is in force now, once that is durable; or why nothing has changed.
    pub answer: oneshot::Sender<Result<Reloaded, ReloadError>>,
}

/// A configuration that came into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// What is in force now, counted.
    pub summary: String,
    /// How many standing alarms ended because their rule is gone.
    pub ended: usize,
}

/// Why a configuration did not come into force. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It is wrong, or changes what takes a restart.
    #[error("nothing was changed: {}", counted(.0.len(), "finding"))]
    Findings(Findings),
    /// It is not for the API to change, or cannot be kept.
    #[error(transparent)]
    Register(RegisterError),
    /// There is no file to read.
    #[error("this gateway was not started from a configuration file: restart it to change its configuration")]
    NoFile,
    /// It fits by itself, and cannot be made to work.
    #[error("nothing was changed: {0}")]
    Unusable(String),
    /// The gateway is stopping.
    #[error(
        "the gateway is stopping; what it was asked for last may or may not be in force at the next start"
    )]
    Stopping,
}

impl From<RegisterError> for ReloadError {
    fn from(error: RegisterError) -> ReloadError {
        match error {
            RegisterError::Findings(findings) => ReloadError::Findings(findings),
            RegisterError::Described { .. }
            | RegisterError::Unknown(_)
            | RegisterError::File { .. }
            | RegisterError::Damaged { .. } => ReloadError::Register(error),
        }
    }
}

/// The owner of the configuration at run time.
#[derive(Debug)]
pub struct Reload {
    origin: Option<Origin>,
    fixed: Fixed,
    requests: mpsc::Receiver<ReloadRequest>,
    reconfigurations: mpsc::Sender<Reconfiguration>,
    subscriptions: watch::Sender<Vec<String>>,
    directory: watch::Sender<Arc<Directory>>,
    vocabulary: watch::Sender<Arc<Vocabulary>>,
    metrics: Metrics,
}

/// The ends of a [`Reload`]'s channels that others hold.
#[derive(Debug)]
pub struct Reloading {
    /// For those who ask.
    pub requests: mpsc::Sender<ReloadRequest>,
    /// For the gateway.
    pub reconfigurations: mpsc::Receiver<Reconfiguration>,
    /// For ingest: the filters to subscribe to.
    pub subscriptions: watch::Receiver<Vec<String>>,
    /// For the web side: names and kinds.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// For those who write texts: what points and commands are called.
    pub vocabulary: InForce,
}

/// What its kinds call things.
fn spoken(directory: &Directory) -> Vocabulary {
    Vocabulary::of(&directory.definitions.source().kinds)
}

impl Reload {
    /// Of a process whose settings came from `origin` (`None`: from no file), have the `fixed` part, subscribe to
    /// `filters` and speak of `directory`.
    pub fn new(
        origin: Option<Origin>,
        fixed: Fixed,
        filters: Vec<String>,
        directory: Directory,
        metrics: Metrics,
    ) -> (Reload, Reloading) {
        let (request_tx, requests) = mpsc::channel(QUEUE);
        let (reconfigure_tx, reconfigurations) = mpsc::channel(1);
        let (filter_tx, subscriptions) = watch::channel(filters);
        let (vocabulary_tx, vocabulary) = InForce::new(spoken(&directory));
        let (directory_tx, directory) = watch::channel(Arc::new(directory));
        metrics.config_last_reload_successful.set(1);
        let reload = Reload {
            origin,
            fixed,
            requests,
            reconfigurations: reconfigure_tx,
            subscriptions: filter_tx,
            directory: directory_tx,
            vocabulary: vocabulary_tx,
            metrics,
        };
        let reloading = Reloading {
            requests: request_tx,
            reconfigurations,
            subscriptions,
            directory,
            vocabulary,
        };
        (reload, reloading)
    }

    /// Reloads for SIGHUP and for everyone who asks, one after the other, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let (registration, answer) = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = hung_up(self.origin.as_mut()) => (None, None),
                request = self.requests.recv() => match request {
                    Some(request) => (request.registration, Some(request.answer)),
                    None => return,
                },
            };
            let registers = registration.is_some();
            let outcome = self.reload(registration).await;
            // What was asked for and refused says nothing of the files.
            if outcome.is_ok() || !registers {
                self.tell(&outcome);
            }
            if let Some(answer) = answer {
                // Whoever asked may have gone away; what was asked for is done all the same.
                let _ = answer.send(outcome);
            }
        }
    }

    async fn reload(&self, registration: Option<Registration>) -> Result<Reloaded, ReloadError> {
        let file = self.origin.as_ref().ok_or(ReloadError::NoFile)?.file.clone();
        let fixed = self.fixed.clone();
        let registered = registration.as_ref().and_then(Registration::input);
        // Files are read and rules compiled beside the runtime: messages do not wait for that.
        let work = tokio::task::spawn_blocking(move || {
            let (settings, register) = match registration {
                None => (
                    config::reload(&file, &fixed).map_err(ReloadError::Findings)?,
                    None,
                ),
                Some(registration) => {
                    let (settings, register) = config::reload_with(&file, &fixed, &registration)?;
                    (settings, Some(register))
                }
            };
            let summary = settings.summary();
            let (decoder, surroundings) = configured(&settings).map_err(ReloadError::Unusable)?;
            // Before it is in force: what was answered has to be so after a restart.
            if let Some(register) = register {
                register.keep()?;
            }
            Ok::<_, ReloadError>((summary, decoder, surroundings))
        });
        let work = work.await.map_err(|_| ReloadError::Stopping)?;
        let (summary, decoder, surroundings) = work?;
        let subscriptions = decoder.subscriptions();
        let directory = surroundings.directory();
        let (done, durable) = oneshot::channel();
        let wanted = Reconfiguration {
            decoder,
            surroundings,
            registered,
            done,
        };
        self.reconfigurations
            .send(wanted)
            .await
            .map_err(|_| ReloadError::Stopping)?;
        let ended = durable.await.map_err(|_| ReloadError::Stopping)?;
        self.vocabulary.send_replace(Arc::new(spoken(&directory)));
        self.directory.send_replace(Arc::new(directory));
        // After the change, so that the first message by a new filter finds its profile.
        self.subscriptions.send_if_modified(|present| {
            let differ = *present != subscriptions;
            *present = subscriptions;
            differ
        });
        Ok(Reloaded { summary, ended })
    }

    fn tell(&self, outcome: &Result<Reloaded, ReloadError>) {
        self.metrics
            .config_last_reload_successful
            .set(i64::from(outcome.is_ok()));
        match outcome {
            Ok(Reloaded { summary, ended }) => {
                tracing::info!("the configuration was read anew and is in force: {summary}");
                if *ended > 0 {
                    let alarms = counted(*ended, "standing alarm");
                    tracing::warn!("{alarms} ended because the rule is gone from the configuration");
                }
            }
            Err(ReloadError::Findings(findings)) => {
                tracing::error!(
                    "the configuration was read anew and is refused; nothing was changed:\n\n{}\n",
                    findings.render(false)
                );
            }
            Err(error) => tracing::error!(%error, "the configuration could not be read anew"),
        }
    }
}

/// Resolves at the next SIGHUP; never without a file to read.
async fn hung_up(origin: Option<&mut Origin>) {
    if let Some(origin) = origin
        && origin.hangup.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// What the gateway works by under `settings`.
///
/// # Errors
/// When the profiles do not fit the kinds.
pub fn configured(settings: &Settings) -> Result<(Decoder, Surroundings), String> {
    let kinds = &settings.definitions.source().kinds;
    let decoder = Decoder::new(&settings.profiles, kinds, &settings.registry).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        format!("the profiles do not fit the kinds: {}", lines.join("; "))
    })?;
    let surroundings = Surroundings {
        id: settings.gateway.id.clone(),
        public_url: settings.gateway.public_url.clone(),
        max_devices: usize::try_from(settings.gateway.max_devices).unwrap_or(usize::MAX),
        max_unregistered: usize::try_from(settings.gateway.max_unregistered).unwrap_or(usize::MAX),
        registry: settings.registry.clone(),
        directions: Arc::new(settings.directions.clone()),
        book: CommandBook::new(&settings.profiles),
        definitions: Arc::new(settings.definitions.clone()),
    };
    Ok((decoder, surroundings))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tokio::signal::unix::{SignalKind, signal};
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);
    const SOUND: &str = "[gateway]\nid = 'g'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n";

    /// A reload task on a file in `folder`; the test plays the gateway and ingest.
    struct Running {
        reloading: Reloading,
        metrics: Metrics,
        _task: JoinSet<()>,
    }

    impl Running {
        fn start(folder: &Path, has_file: bool) -> Running {
            let file = folder.join("ninewatch.toml");
            std::fs::write(&file, SOUND).unwrap();
            let fixed = Fixed::of(&config::load(&file).unwrap());
            // Not SIGHUP: the tests of a process share their signals.
            let hangup = signal(SignalKind::user_defined2()).unwrap();
            let origin = has_file.then_some(Origin { file, hangup });
            let metrics = Metrics::new();
            let (reload, reloading) =
                Reload::new(origin, fixed, Vec::new(), Directory::default(), metrics.clone());
            let mut task = JoinSet::new();
            task.spawn(reload.run(CancellationToken::new()));
            Running {
                reloading,
                metrics,
                _task: task,
            }
        }

        async fn ask(&self) -> oneshot::Receiver<Result<Reloaded, ReloadError>> {
            let (answer, answered) = oneshot::channel();
            let request = ReloadRequest {
                registration: None,
                answer,
            };
            self.reloading.requests.send(request).await.unwrap();
            answered
        }

        async fn reconfiguration(&mut self) -> Reconfiguration {
            let wanted = timeout(DEADLINE, self.reloading.reconfigurations.recv()).await;
            wanted.expect("a reconfiguration").expect("the task runs")
        }

        fn succeeded(&self) -> i64 {
            self.metrics.config_last_reload_successful.get()
        }
    }

    #[tokio::test]
    async fn one_reload_is_over_before_the_next_begins_whoever_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = Running::start(folder.path(), true);
        let impatient = running.ask().await;
        let first = running.reconfiguration().await;
        drop(impatient);
        let mut patient = running.ask().await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(running.reloading.reconfigurations.try_recv().is_err());
        }
        assert!(!*running.reloading.subscriptions.has_changed().as_ref().unwrap());
        first.done.send(0).unwrap();
        let second = running.reconfiguration().await;
        assert!(patient.try_recv().is_err(), "it is not in force yet");
        second.done.send(2).unwrap();
        let answer = timeout(DEADLINE, patient).await.unwrap().unwrap();
        let Reloaded { summary, ended } = answer.unwrap();
        assert!(
            summary.starts_with("8 kinds, ")
                && summary.ends_with(" rules, 1 profile, 0 venues, 0 devices, 0 targets"),
            "{summary}"
        );
        assert_eq!(ended, 2);
        let filters = running.reloading.subscriptions.borrow().clone();
        assert!(
            filters.iter().all(|filter| filter.starts_with("ninewatch/")),
            "{filters:?}"
        );
        assert_eq!((filters.is_empty(), running.succeeded()), (false, 1));
    }

    #[tokio::test]
    async fn what_is_wrong_reaches_no_gateway() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = Running::start(folder.path(), true);
        let file = folder.path().join("ninewatch.toml");
        std::fs::write(&file, SOUND.replace("id = 'g'", "id = 'h'")).unwrap();
        let answer = timeout(DEADLINE, running.ask().await).await.unwrap().unwrap();
        let Err(ReloadError::Findings(findings)) = answer else {
            panic!("{answer:?}");
        };
        assert!(
            findings.to_string().contains("restart to change `gateway.id`"),
            "{findings}"
        );
        assert_eq!(running.succeeded(), 0);
        assert!(running.reloading.reconfigurations.try_recv().is_err());
    }

    #[tokio::test]
    async fn settings_that_came_from_no_file_are_not_reloaded() {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(folder.path(), false);
        let answer = timeout(DEADLINE, running.ask().await).await.unwrap().unwrap();
        assert!(matches!(answer, Err(ReloadError::NoFile)), "{answer:?}");
    }

    #[tokio::test]
    async fn a_gateway_that_is_gone_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = Running::start(folder.path(), true);
        let asked = running.ask().await;
        drop(running.reconfiguration().await);
        let answer = timeout(DEADLINE, asked).await.unwrap().unwrap();
        assert!(matches!(answer, Err(ReloadError::Stopping)), "{answer:?}");
    }
}

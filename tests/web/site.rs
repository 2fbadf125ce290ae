//! A served web side on a store of its own, and a client that shows every byte of an answer.

use std::net::SocketAddr;
use std::sync::Arc;

use ninewatch::config::{Auth, HttpSettings};
use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::directions::Directions;
use ninewatch::domain::kind::Kind;
use ninewatch::domain::officer::{Contact, Officer};
use ninewatch::domain::registry::{RegisteredDevice, Registry, Venue};
use ninewatch::domain::roster::{Roster, RosterDef, Rotation};
use ninewatch::domain::text::Text;
use ninewatch::handoff::{Directory, OperatorRequest};
use ninewatch::reload::ReloadRequest;
use ninewatch::web::{BoundWeb, Limits, Web, WebError};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::outward::{TestStore, within};

/// A served web side on a store of its own. The test plays the gateway: it takes operators' requests.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) store: TestStore,
    pub(super) operators: mpsc::Receiver<OperatorRequest>,
    pub(super) reloads: mpsc::Receiver<ReloadRequest>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: JoinSet<Result<(), WebError>>,
    _folder: tempfile::TempDir,
}

/// An answer, taken apart.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it is a problem of this status and kind, and gives its detail.
    #[track_caller]
    pub(super) fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:ninewatch:problem:{kind}"));
        assert_eq!(problem["status"], status);
        assert!(!problem["title"].as_str().unwrap().is_empty());
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Site {
    pub(super) async fn open() -> Site {
        Site::open_with(Auth::None, Limits::default()).await
    }

    pub(super) async fn open_with(auth: Auth, limits: Limits) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let store = TestStore::open(folder.path());
        let (sender, operators) = mpsc::channel(4);
        let (reload_sender, reloads) = mpsc::channel(1);
        let web = bind(&store, (sender, reload_sender), auth, limits).await.unwrap();
        let (address, stop, mut tasks) = (web.local_addr(), CancellationToken::new(), JoinSet::new());
        tasks.spawn(web.run(stop.clone()));
        Site {
            address,
            store,
            operators,
            reloads,
            stop,
            tasks,
            _folder: folder,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        let length = body.len();
        let headers = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
        self.ask("POST", path, &headers, body).await
    }

    pub(super) async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        ask(self.address, method, path, headers, body).await
    }
}

pub(super) async fn bind(
    store: &TestStore,
    (operators, reloads): (mpsc::Sender<OperatorRequest>, mpsc::Sender<ReloadRequest>),
    auth: Auth,
    limits: Limits,
) -> Result<BoundWeb, WebError> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    store.metrics.queue_ingest.set(7);
    let web = Web {
        settings: HttpSettings {
            listen,
            auth,
            max_series: 3,
        },
        reader: store.reader.clone(),
        work: store.work.clone(),
        links: store.links.clone(),
        operators,
        reloads,
        directory: directory(),
        metrics: store.metrics.clone(),
        health: store.health.clone(),
        limits,
    };
    web.bind().await
}

/// What is in force: the venue v1 with the gas detectors g1 and g9, and their kind.
pub(super) fn directory() -> watch::Receiver<Arc<Directory>> {
    let venue = Venue {
        id: "v1".to_owned(),
        name: "示例餐馆".to_owned(),
        ..Venue::default()
    };
    let devices = ["g1", "g9"].map(|device| RegisteredDevice {
        key: DeviceKey {
            venue: "v1".to_owned(),
            kind: "gas_detector".to_owned(),
            device: device.to_owned(),
        },
        name: "厨房".to_owned(),
        ..Default::default()
    });
    let mut definitions = DefinitionSource::default();
    let kind = Kind::new("gas_detector".to_owned(), Text::default(), Vec::new());
    definitions.kinds.push(kind);
    let directory = Directory {
        registry: Registry::new(vec![venue], devices.to_vec()),
        definitions: Arc::new(Definitions::compile(definitions).unwrap()),
        directions: Arc::new(directions()),
    };
    watch::channel(Arc::new(directory)).1
}

/// A week each for Wang, who has a telephone, and Li.
fn directions() -> Directions {
    let officer = |id: &str, name: &str| Officer {
        id: id.to_owned(),
        name: name.to_owned(),
        contact: Contact {
            mobile: Some("13800001111".to_owned()),
            ..Contact::default()
        },
        ..Officer::default()
    };
    let rotation = Rotation {
        officers: vec!["wang".to_owned(), "li".to_owned()],
        each_days: 7,
        from: "2026-01-05".parse().unwrap(),
        hand_over: 8 * 60,
        days: Vec::new(),
        hours: None,
    };
    let roster = RosterDef {
        name: "duty".to_owned(),
        time_zone: "Asia/Shanghai".to_owned(),
        rotations: vec![rotation],
        overrides: Vec::new(),
        holidays: Vec::new(),
    };
    Directions {
        rosters: Roster::new(roster).into_iter().collect(),
        officers: vec![officer("wang", "王磊"), officer("li", "李娜")],
        targets: vec!["duty".to_owned(), "group".to_owned()],
        ..Directions::default()
    }
}

pub(super) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}\r\n{body}");
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let answer = within("an answer", exchange).await;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{answer:?}"));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

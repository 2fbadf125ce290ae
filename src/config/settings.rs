//! The settings of a running gateway: checked values, one type a section. Nothing here reads a file.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;

use super::doubts::Described;
use super::finding::Findings;
use crate::domain::definitions::Definitions;
use crate::domain::directions::Directions;
use crate::domain::officer::Language;
use crate::domain::profile::def::ProfileDef;
use crate::domain::registry::Registry;

/// Everything the configuration says, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[gateway]`.
    pub gateway: GatewaySettings,
    /// `[mqtt]`.
    pub mqtt: MqttSettings,
    /// `[http]`.
    pub http: HttpSettings,
    /// `[store]`.
    pub store: StoreSettings,
    /// `[postgres]`, when there is one.
    pub postgres: Option<PostgresSettings>,
    /// The kinds and rules of `[files]`, compiled.
    pub definitions: Definitions,
    /// The profiles of `[files]`, `native` first.
    pub profiles: Vec<ProfileDef>,
    /// The venues and devices of `[files]`.
    pub registry: Registry,
    /// `[[target]]`.
    pub targets: Vec<TargetSettings>,
    /// `[watchdog]`, when there is one.
    pub watchdog: Option<WatchdogSettings>,
    /// `[[route]]`, `[[chain]]`, `[[roster]]` and `[[officer]]`: who is told, and when.
    pub directions: Directions,
    /// What is allowed and hardly meant.
    pub warnings: Findings,
    /// Where the venues files describe what is in the registry.
    pub(super) in_files: Described,
}

/// `[gateway]`.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// The gateway's name in the database, metrics and messages.
    pub id: String,
    /// Where the store lives; absolute or relative to the working directory.
    pub data_dir: PathBuf,
    /// The most devices taken in, those apart that nobody registered; messages of further ones become dead letters.
    pub max_devices: u32,
    /// The most devices taken in that nobody registered.
    pub max_unregistered: u32,
    /// Where officers reach the API, for links in messages; without a trailing `/`.
    pub public_url: String,
    /// Whether their telephones can open it: it was given, or is not an address of this machine alone.
    pub reaches_people: bool,
}

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// `mqtt://host:port` or `mqtts://host:port`.
    Remote {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// Whether to speak TLS.
        tls: bool,
    },
    /// `embedded`: the broker inside the process.
    Embedded,
}

/// `[mqtt]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttSettings {
    /// Where the broker is.
    pub url: BrokerUrl,
    /// Names the persistent session on the broker.
    pub client_id: String,
    /// User name, if the broker wants one.
    pub username: Option<String>,
    /// Password, from a file or the environment.
    pub password: Option<Secret>,
    /// TLS details for `mqtts://`.
    pub tls: MqttTls,
    /// Longest silence before a ping.
    pub keep_alive: Duration,
    /// The largest payload used; a larger one becomes a dead letter.
    pub max_packet_size: usize,
    /// How many envelopes may wait for the engine before ninewatch stops reading from the broker.
    pub queue: usize,
}

/// TLS towards the broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MqttTls {
    /// PEM of the authorities to trust; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM of our own certificate chain (mTLS).
    pub cert_file: Option<PathBuf>,
    /// PEM of our own key (mTLS).
    pub key_file: Option<PathBuf>,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Who may use the API.
    pub auth: Auth,
    /// The most series of devices that `/metrics` shows.
    pub max_series: usize,
}

/// Who may use the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Anybody who reaches the (loopback) address.
    None,
    /// Whoever sends this token as `Authorization: Bearer …`.
    Token(Secret),
}

/// `[store]`: how long and how much the embedded store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSettings {
    /// How long raw inputs are kept, for back-tests; those that a restart needs are kept in any case.
    pub journal_keep: Duration,
    /// How long the history of points is kept.
    pub history_keep: Duration,
    /// How long events and ended alarms are kept.
    pub event_keep: Duration,
    /// The most bytes the database takes; beyond them the oldest of the journal, then of the history, is given up.
    pub max_size: u64,
    /// How many bytes of the disk are kept for alarms: when less is free, the history of points is not kept.
    pub disk_reserve: u64,
}

/// `[postgres]`: where the store is copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Where the server is, and as whom to connect; without a password.
    pub server: tokio_postgres::Config,
    /// Password, from a file or the environment.
    pub password: Option<Secret>,
    /// Whether to speak TLS.
    pub tls: PostgresTls,
    /// What an acknowledgement to the broker promises.
    pub durability: Durability,
    /// How long events and ended alarms are kept there.
    pub keep: Duration,
    /// How long readings are kept there; whole months.
    pub readings_keep: Duration,
}

impl PostgresSettings {
    /// Whether the connection is encrypted.
    pub const fn is_encrypted(&self) -> bool {
        matches!(self.tls, PostgresTls::Verified { .. })
    }

    /// The authorities that are trusted instead of the system's.
    pub fn ca_file(&self) -> Option<&Path> {
        match &self.tls {
            PostgresTls::Off => None,
            PostgresTls::Verified { ca_file } => ca_file.as_deref(),
        }
    }
}

/// TLS towards PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresTls {
    /// None: the default on this machine only.
    Off,
    /// The server's certificate is verified, and that it names the host.
    Verified {
        /// PEM of the authorities to trust; without it the system's.
        ca_file: Option<PathBuf>,
    },
}

/// What an acknowledgement to the broker promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Everything the message caused is on this machine's disk.
    #[default]
    Local,
    /// It is in PostgreSQL too.
    Replicated,
}

/// `[[target]]`: where notices go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSettings {
    /// Its name in routes, metrics and the API.
    pub name: String,
    /// What it speaks.
    pub kind: TargetKind,
    /// The webhook's address. A credential: never logged.
    pub url: Secret,
    /// The key that signs each message, if any (Standard Webhooks, `whsec_…` or plain text).
    pub secret: Option<Secret>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// For how long it may take nothing before people are told through the next of their channels.
    pub fall_over: Duration,
    /// Whether the answer of a webhook may acknowledge what it was told of.
    pub acknowledges: bool,
    /// How it is reached.
    pub network: NetworkSettings,
}

/// How a target is reached, and whom it trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// The networks that its name, or that of its proxy, may lead to although they are not public.
    pub allow: Vec<IpNet>,
    /// Whom TLS trusts instead of the system's authorities; none: these.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The HTTP proxy between, if any. A credential when it has a password: never logged.
    pub proxy: Option<Secret>,
    /// How long a connection may take, at most as long as an attempt; `None`: 5 s.
    pub connect_timeout: Option<Duration>,
    /// How long the other side may be silent, at most as long as an attempt; `None`: so long.
    pub read_timeout: Option<Duration>,
}

/// What a target speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKind {
    /// CONTRACT's JSON body.
    Webhook,
    /// A group robot's own form.
    Robot(RobotSettings),
    /// SMTP: letters for people.
    Mail(Box<MailSettings>),
    /// Alertmanager's API v2.
    Alertmanager(AlertmanagerSettings),
    /// Alertmanager's own webhook body, with its summaries in this language.
    AlertmanagerWebhook(Language),
}

/// A mail server, and who writes to whom through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// The server's name or address; an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the conversation is encrypted.
    pub tls: MailTls,
    /// How to log in, if at all.
    pub login: Option<MailLogin>,
    /// Who writes: `name <address>` or an address.
    pub from: String,
    /// Who gets what is for nobody in particular; at least one.
    pub to: Vec<String>,
    /// The most messages in a minute.
    pub per_minute: u32,
    /// The language for `to`; officers have their own.
    pub language: Language,
    /// The site's own template of the HTML part, tried on samples.
    pub template: Option<Arc<str>>,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// TLS before the first word (`smtps://`).
    FromTheStart,
    /// STARTTLS, without which nothing is sent.
    StartTls,
    /// In the clear.
    None,
}

/// A name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailLogin {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// An Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerSettings {
    /// The language of `summary`.
    pub language: Language,
    /// How often it is told again what stands.
    pub resend: Duration,
    /// For how long it believes that an alarm stands of which it hears nothing more.
    pub hold: Duration,
}

/// `[watchdog]`: who is told that the gateway works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchdogSettings {
    /// The names of the targets.
    pub targets: Vec<String>,
    /// How often.
    pub interval: Duration,
}

/// A group robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotSettings {
    /// Whose.
    pub service: Service,
    /// Calls everybody in the group when a critical alarm begins or is escalated.
    pub mention_all: bool,
    /// The language of its texts.
    pub language: Language,
    /// The site's own template, tried on samples.
    pub template: Option<Arc<str>>,
}

/// Whose robot it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// WeCom 企业微信.
    Wecom,
    /// DingTalk 钉钉.
    Dingtalk,
    /// Feishu 飞书, and Lark.
    Feishu,
}

/// A value that must not appear in logs, errors, metrics or the API.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: String) -> Secret {
        Secret(value)
    }

    /// The value, for the one place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Settings {
    /// What is in it, counted: `8 kinds, 80 rules, …`.
    pub fn summary(&self) -> String {
        let definitions = self.definitions.source();
        [
            counted(definitions.kinds.len(), "kind"),
            counted(definitions.rules.len(), "rule"),
            counted(self.profiles.len(), "profile"),
            counted(self.registry.venues().count(), "venue"),
            counted(self.registry.devices().count(), "device"),
            counted(self.targets.len(), "target"),
        ]
        .join(", ")
    }
}

/// `1 finding`, `2 findings`.
pub fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

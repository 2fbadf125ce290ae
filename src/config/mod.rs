//! TOML files → checked settings. Every error at once, each with file, line, column and a suggestion.

mod actions;
mod alertmanager;
mod chains;
mod commands;
mod coverage;
mod csv;
mod directions;
mod document;
mod doubts;
mod files;
mod finding;
mod fixed;
mod gateway;
mod http;
mod incidents;
mod kinds;
mod load;
mod mail;
mod mqtt;
mod names;
mod network;
mod officers;
mod operator_act;
mod own_act;
mod postgres;
mod profile_message;
mod profile_metric;
mod profile_point;
mod profile_source;
mod profile_tests;
mod profiles;
mod register;
mod robots;
mod rosters;
mod routes;
mod rule_step;
mod rule_tests;
mod rules;
mod sample;
mod schedules;
mod script;
mod secrets;
mod settings;
mod source;
mod store;
mod targets;
mod value;
mod venues;
mod venues_csv;
mod watchdog;

pub use self::finding::{Finding, Findings};
pub use self::fixed::Fixed;
pub use self::incidents::{Cast, Script, load_script};
pub use self::load::{check, load, load_str, load_str_with_profiles, load_with_rules, reload, reload_with};
pub use self::profile_tests::{ProfileTests, load_profile_tests};
pub use self::register::{Register, RegisterError, Registering, Registration};
pub use self::rule_tests::{RuleTests, load_rule_tests};
pub use self::script::{FOREVER, Happening, Incident, Speaks};
pub use self::settings::{
    AlertmanagerSettings, Auth, BrokerUrl, Durability, GatewaySettings, HttpSettings, MailLogin,
    MailSettings, MailTls, MqttSettings, MqttTls, NetworkSettings, PostgresSettings, PostgresTls,
    RobotSettings, Secret, Service, Settings, StoreSettings, TargetKind, TargetSettings, WatchdogSettings,
    counted,
};

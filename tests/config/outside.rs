//! What the file says of those who are told arrives in the settings.

use std::path::Path;
use std::time::Duration;

use ninewatch::config::{self, TargetKind};

#[test]
fn what_the_file_says_of_alertmanager_and_the_heartbeat_arrives_in_the_settings() {
    let settings = config::load(Path::new("tests/config/valid/everything.toml")).unwrap();
    let TargetKind::Alertmanager(alertmanager) = &settings.targets[2].kind else {
        panic!("{:?} is no Alertmanager", settings.targets[2]);
    };
    let times = (alertmanager.resend.as_secs(), alertmanager.hold.as_secs());
    assert_eq!(times, (30, 90));
    assert!(matches!(
        settings.targets[3].kind,
        TargetKind::AlertmanagerWebhook(_)
    ));
    let watchdog = settings.watchdog.unwrap();
    assert_eq!(watchdog.targets, ["duty", "am", "bridge"]);
    assert_eq!(watchdog.interval, Duration::from_mins(5));
}

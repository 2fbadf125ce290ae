//! What takes a restart to change: finds it in a configuration that is read anew, and says where it stands. Changes
//! nothing.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{
    HttpSettings, MqttSettings, PostgresSettings, Settings, StoreSettings, TargetSettings, WatchdogSettings,
};
use super::source::Scope;

/// What a running gateway cannot change, as it was loaded.
#[derive(Debug, Clone)]
pub struct Fixed {
    id: String,
    data_dir: PathBuf,
    public_url: String,
    mqtt: MqttSettings,
    http: HttpSettings,
    store: StoreSettings,
    postgres: Option<PostgresSettings>,
    targets: Vec<TargetSettings>,
    watchdog: Option<WatchdogSettings>,
}

/// A setting: its section, the keys that may give it, and whether it differs.
type Compared = (&'static str, &'static [&'static str], bool);

impl Fixed {
    /// That part of `settings`, which must be as loaded.
    pub fn of(settings: &Settings) -> Fixed {
        Fixed {
            id: settings.gateway.id.clone(),
            data_dir: settings.gateway.data_dir.clone(),
            public_url: settings.gateway.public_url.clone(),
            mqtt: settings.mqtt.clone(),
            http: settings.http.clone(),
            store: settings.store,
            postgres: settings.postgres.clone(),
            targets: settings.targets.clone(),
            watchdog: settings.watchdog.clone(),
        }
    }

    /// Where the store lives.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Reports each setting of `new`, read from the tree `root`, that differs.
    pub(super) fn compare(&self, new: &Settings, scope: &Scope<'_>, root: &DeTable<'_>) {
        for (section, keys, differs) in self.settings(new).into_iter().chain(self.postgres(new)) {
            if !differs {
                continue;
            }
            let (key, span) = place(root, section, keys);
            let message = format!("restart to change `{section}.{key}`");
            scope.report.add(scope.place(span).problem(message));
        }
        for target in &new.targets {
            let known = self.targets.iter().find(|known| known.name == target.name);
            let problem = match known {
                Some(known) if known == target => continue,
                Some(_) => format!("restart to change the target `{}`", target.name),
                None => format!("restart to add the target `{}`", target.name),
            };
            let span = target_place(root, &target.name);
            scope.report.add(scope.place(span).problem(problem));
        }
        for known in &self.targets {
            if !new.targets.iter().any(|target| target.name == known.name) {
                let problem = format!("restart to remove the target `{}`", known.name);
                scope.report.add(scope.place(0..0).problem(problem));
            }
        }
    }

    fn settings(&self, new: &Settings) -> [Compared; 21] {
        let (mqtt, http, store) = (&self.mqtt, &self.http, &self.store);
        [
            ("gateway", &["id"], self.id != new.gateway.id),
            ("gateway", &["data_dir"], self.data_dir != new.gateway.data_dir),
            // It stands in the addresses of messages, and half of these are made when they are sent.
            (
                "gateway",
                &["public_url"],
                self.public_url != new.gateway.public_url,
            ),
            ("mqtt", &["url"], mqtt.url != new.mqtt.url),
            ("mqtt", &["client_id"], mqtt.client_id != new.mqtt.client_id),
            ("mqtt", &["username"], mqtt.username != new.mqtt.username),
            (
                "mqtt",
                &["password", "password_file"],
                mqtt.password != new.mqtt.password,
            ),
            ("mqtt", &["ca_file"], mqtt.tls.ca_file != new.mqtt.tls.ca_file),
            (
                "mqtt",
                &["cert_file"],
                mqtt.tls.cert_file != new.mqtt.tls.cert_file,
            ),
            ("mqtt", &["key_file"], mqtt.tls.key_file != new.mqtt.tls.key_file),
            ("mqtt", &["keep_alive"], mqtt.keep_alive != new.mqtt.keep_alive),
            (
                "mqtt",
                &["max_packet_size"],
                mqtt.max_packet_size != new.mqtt.max_packet_size,
            ),
            ("mqtt", &["queue"], mqtt.queue != new.mqtt.queue),
            ("http", &["listen"], http.listen != new.http.listen),
            (
                "http",
                &["token", "token_file", "auth"],
                http.auth != new.http.auth,
            ),
            (
                "store",
                &["journal_keep"],
                store.journal_keep != new.store.journal_keep,
            ),
            (
                "store",
                &["history_keep"],
                store.history_keep != new.store.history_keep,
            ),
            ("store", &["event_keep"], store.event_keep != new.store.event_keep),
            ("store", &["max_size"], store.max_size != new.store.max_size),
            (
                "store",
                &["disk_reserve"],
                store.disk_reserve != new.store.disk_reserve,
            ),
            (
                "watchdog",
                &["targets", "interval"],
                self.watchdog != new.watchdog,
            ),
        ]
    }

    fn postgres(&self, new: &Settings) -> [Compared; 6] {
        let differs = |compared: fn(&PostgresSettings, &PostgresSettings) -> bool| match (
            &self.postgres,
            &new.postgres,
        ) {
            (Some(known), Some(new)) => !compared(known, new),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
        // A section that comes or goes is told of once, by its URL.
        let both = self.postgres.is_some() && new.postgres.is_some();
        [
            (
                "postgres",
                &["url"],
                differs(|a, b| a.server == b.server && a.is_encrypted() == b.is_encrypted()),
            ),
            (
                "postgres",
                &["password", "password_file"],
                both && differs(|a, b| a.password == b.password),
            ),
            (
                "postgres",
                &["ca_file"],
                both && differs(|a, b| a.ca_file() == b.ca_file()),
            ),
            (
                "postgres",
                &["durability"],
                both && differs(|a, b| a.durability == b.durability),
            ),
            ("postgres", &["keep"], both && differs(|a, b| a.keep == b.keep)),
            (
                "postgres",
                &["readings_keep"],
                both && differs(|a, b| a.readings_keep == b.readings_keep),
            ),
        ]
    }
}

/// The key that gives the setting and where its value stands; where none does any more, its section.
fn place(
    root: &DeTable<'_>,
    section: &'static str,
    keys: &'static [&'static str],
) -> (&'static str, Range<usize>) {
    let mut first = keys.iter().copied();
    let missing = first.next().unwrap_or_default();
    let Some((name, value)) = root.get_key_value(section) else {
        return (missing, 0..0);
    };
    let DeValue::Table(entries) = value.get_ref() else {
        return (missing, name.span());
    };
    let given = keys
        .iter()
        .find_map(|key| Some((*key, entries.get(*key)?.span())));
    given.unwrap_or_else(|| (missing, name.span()))
}

/// Where the target called `name` is named; of one whose name comes from elsewhere, the start of the file.
fn target_place(root: &DeTable<'_>, name: &str) -> Range<usize> {
    let targets = root.get("target").and_then(|list| list.get_ref().as_array());
    targets
        .into_iter()
        .flatten()
        .filter_map(|target| target.get_ref().as_table()?.get("name"))
        .find(|value| value.get_ref().as_str() == Some(name))
        .map_or(0..0, Spanned::span)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Fixed;
    use crate::config::{load_str, reload};

    const LOADED: &str = "[gateway]\nid = 'g'\ndata_dir = 'd'\n\n[mqtt]\nurl = 'embedded'\nkeep_alive = '30s'\n\n\
        [http]\nlisten = '127.0.0.1:9464'\nauth = 'none'\n\n\
        [[target]]\nname = 'duty'\nkind = 'webhook'\nurl = 'http://127.0.0.1:1/a'\n";

    /// What a reload of `LOADED` with `from` replaced by `to` finds, as `line:column: message`.
    fn found(from: &str, to: &str) -> Vec<String> {
        assert!(LOADED.contains(from), "{from}");
        let folder = tempfile::tempdir().unwrap();
        let fixed = Fixed::of(&load_str("t", LOADED, folder.path()).unwrap());
        let file = folder.path().join("ninewatch.toml");
        std::fs::write(&file, LOADED.replace(from, to)).unwrap();
        reload(&file, &fixed).err().map_or_else(Vec::new, |findings| {
            let findings = findings.iter();
            findings
                .map(|finding| format!("{}:{}: {}", finding.line, finding.column, finding.message))
                .collect()
        })
    }

    #[test]
    fn what_takes_a_restart_is_named_where_it_stands() {
        let cases = [
            (
                "id = 'g'",
                "id = 'h'\npublic_url = 'http://h'",
                "2:6: restart to change `gateway.id`",
            ),
            ("'d'", "'e'", "3:12: restart to change `gateway.data_dir`"),
            (
                "'embedded'",
                "'mqtt://127.0.0.1'",
                "6:7: restart to change `mqtt.url`",
            ),
            (
                "keep_alive = '30s'",
                "keep_alive = '31s'",
                "7:14: restart to change `mqtt.keep_alive`",
            ),
            (
                "keep_alive = '30s'",
                "username = 'u'",
                "7:12: restart to change `mqtt.username`",
            ),
            (
                "keep_alive = '30s'",
                "queue = 16",
                "7:9: restart to change `mqtt.queue`",
            ),
            (":9464", ":9465", "10:10: restart to change `http.listen`"),
            (
                "auth = 'none'",
                "token = 'abc'",
                "11:9: restart to change `http.token`",
            ),
            (
                "[[target]]",
                "[watchdog]\ntargets = ['duty']\n[[target]]",
                "14:11: restart to change `watchdog.targets`",
            ),
            ("'duty'", "'night'", "14:8: restart to add the target `night`"),
            ("1/a", "1/b", "14:8: restart to change the target `duty`"),
            (
                "[[target]]",
                "[postgres]\nurl = 'postgres://me@127.0.0.1/db'\n[[target]]",
                "14:7: restart to change `postgres.url`",
            ),
        ];
        for (from, to, expected) in cases {
            let found = found(from, to);
            assert!(
                found.iter().any(|finding| finding == expected),
                "{from} → {to}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_gone_is_named_at_its_section_or_the_file() {
        let found_without = |text: &str| found(text, "");
        assert_eq!(
            found_without("data_dir = 'd'\n"),
            ["1:2: restart to change `gateway.data_dir`"]
        );
        let target = "[[target]]\nname = 'duty'\nkind = 'webhook'\nurl = 'http://127.0.0.1:1/a'\n";
        assert_eq!(
            found_without(target),
            ["1:1: restart to remove the target `duty`"]
        );
    }

    #[test]
    fn what_a_running_gateway_takes_is_no_finding() {
        assert_eq!(
            found("id = 'g'", "id = 'g'\nmax_devices = 7"),
            Vec::<String>::new()
        );
        assert_eq!(found("id = 'g'", "id = \"g\" # the same"), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_configuration_is_wrong_before_it_is_different() {
        let found = found("url = 'embedded'", "url = 'ftp://x'");
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("ftp"), "{found:?}");
        assert!(load_str("t", "", Path::new("")).is_err());
    }
}

//! Any text as a profile file: reading it never panics, and one that compiles decodes any payload. An input is the
//! file, a topic and a payload, with a 0 byte between them.
#![no_main]

use std::cell::RefCell;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ninewatch::config::load_str;
use ninewatch::domain::profile::decoder::{Decoder, Resolved};
use ninewatch::domain::time::Moment;
use tempfile::TempDir;

const MAIN: &str = "[gateway]\nid = \"fuzz\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[http]\nauth = \"none\"\n\
                    [files]\nkinds = [\"kinds.toml\"]\nrules = [\"rules.toml\"]\nprofiles = [\"profile.toml\"]\n";

const RULES: &str = "[[rule]]\nid = \"r\"\non = \"gas_detector\"\nwhen = \"lel > 1.0\"\nclass = \"alarm\"\n\
                     priority = \"high\"\ntitle = { zh = \"r\", en = \"r\" }\n";

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(folder());
}

fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    let folder = folder.expect("a temporary folder");
    let kinds = include_str!("../../config/kinds.toml");
    std::fs::write(folder.path().join("kinds.toml"), kinds).expect("the kinds are written");
    std::fs::write(folder.path().join("rules.toml"), RULES).expect("the rules are written");
    folder
}

fuzz_target!(|data: &[u8]| {
    FOLDER.with_borrow(|folder| run(folder.path(), data));
});

fn run(folder: &Path, data: &[u8]) {
    let mut pieces = data.splitn(3, |byte| *byte == 0);
    let file = pieces.next().unwrap_or_default();
    let topic = String::from_utf8_lossy(pieces.next().unwrap_or_default());
    let payload = pieces.next().unwrap_or_default();
    std::fs::write(folder.join("profile.toml"), file).expect("the profile is written");
    let Ok(settings) = load_str("main", MAIN, folder) else {
        return;
    };
    let kinds = &settings.definitions.source().kinds;
    let mut decoder =
        Decoder::new(&settings.profiles, kinds, &settings.registry).expect("what was checked compiles");
    if let Ok(Resolved::Message(id)) = decoder.resolve(&topic) {
        let decoded = decoder.decode(id, payload, Moment::default());
        for at in 0..decoded.parts {
            let part = decoder.part(at).expect("as many parts as were told");
            assert!(part.points.iter().all(|(_, value)| value.is_finite()));
        }
    }
}

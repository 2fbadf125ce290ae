//! The signed addresses in messages by which an officer acknowledges an alarm from a telephone: made for one notice and one
//! officer, and checked. Whether an address still does anything, the engine says: it is for one raise of its alarm.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::id::Id;
use crate::domain::time::Timestamp;

/// How long an address does something after its event, in milliseconds: a week.
const GOOD_FOR_MS: i64 = 7 * 24 * 3_600_000;

/// Two ids, a time and half of an HMAC-SHA256: 128 bits are not guessed.
const BYTES: usize = SIGNED + 16;

/// What is signed, beside the officer.
const SIGNED: usize = 40;

/// What is signed begins with this: the key signs nothing else, and never will by accident.
const PURPOSE: &[u8] = b"ninewatch acknowledge 2";

/// Makes and checks addresses with the gateway's own key. Clones share it.
#[derive(Clone)]
pub struct Links {
    key: Arc<[u8]>,
    public_url: Arc<str>,
    /// Whether a telephone can open the addresses.
    reach_people: bool,
}

/// What an address is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The alarm.
    pub alarm: Id,
    /// The notice that brought it.
    pub notice: Id,
    /// When the alarm was raised that the notice told of: one that is raised again since is another matter.
    pub raised_at: Timestamp,
}

/// Why the key cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot read or make {path}, the key of the addresses in messages")]
pub struct KeyError {
    path: PathBuf,
    source: std::io::Error,
}

/// Why an address does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It was not made by this gateway for this officer.
    #[error("the address is not one of this gateway's")]
    Forged,
    /// Its time is over.
    #[error("the address is more than a week old")]
    Expired,
}

impl Links {
    /// With the key in `data_dir`; the first start makes one.
    ///
    /// # Errors
    /// When the file cannot be read or made.
    pub fn open(data_dir: &Path, public_url: &str) -> Result<Links, KeyError> {
        let path = data_dir.join("link.key");
        let key = key(&path).map_err(|source| KeyError { path, source })?;
        Ok(Links {
            key: key.into(),
            public_url: public_url.into(),
            reach_people: true,
        })
    }

    /// The same for a gateway whose address only this machine can open: people are given none.
    #[must_use]
    pub fn of_this_machine(self) -> Links {
        Links {
            reach_people: false,
            ..self
        }
    }

    /// The address for a text that people read; `None` where their telephones could not open it.
    pub fn for_people(&self, link: Link, officer: &str) -> Option<String> {
        self.reach_people.then(|| self.address(link, officer))
    }

    /// The address by which `officer` acknowledges `alarm` after `notice`; nobody in particular: an empty id.
    pub fn address(&self, link: Link, officer: &str) -> String {
        let mut bytes = [0; BYTES];
        let (signed, signature) = bytes.split_at_mut(SIGNED);
        signed.copy_from_slice(&signed_of(link));
        signature.copy_from_slice(&self.signature(link, officer));
        let mut address = format!("{}/a/{}", self.public_url, URL_SAFE_NO_PAD.encode(bytes));
        if !officer.is_empty() {
            let officer: String = url::form_urlencoded::byte_serialize(officer.as_bytes()).collect();
            let _infallible = write!(address, "?o={officer}");
        }
        address
    }

    /// Where officers reach the API.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Where `alarm` is shown.
    pub fn alarm(&self, alarm: Id) -> String {
        format!("{}/api/v1/alarms/{alarm}", self.public_url)
    }

    /// What the address with `token` for `officer` is about.
    ///
    /// # Errors
    /// When it is not one of this gateway's for this officer, or its time is over.
    pub fn check(&self, token: &str, officer: &str, now: Timestamp) -> Result<Link, LinkError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| LinkError::Forged)?;
        let (alarm, rest) = bytes.split_first_chunk::<16>().ok_or(LinkError::Forged)?;
        let (notice, rest) = rest.split_first_chunk::<16>().ok_or(LinkError::Forged)?;
        let (raised_at, signature) = rest.split_first_chunk::<8>().ok_or(LinkError::Forged)?;
        let id = |bytes: &[u8; 16]| Id::from_bits(u128::from_be_bytes(*bytes));
        let link = Link {
            alarm: id(alarm),
            notice: id(notice),
            raised_at: Timestamp(i64::from_be_bytes(*raised_at)),
        };
        // In constant time: how long it takes says nothing about the signature.
        self.mac(link, officer)
            .verify_truncated_left(signature)
            .ok()
            .filter(|()| bytes.len() == BYTES)
            .ok_or(LinkError::Forged)?;
        if link.is_good(now) {
            Ok(link)
        } else {
            Err(LinkError::Expired)
        }
    }

    fn signature(&self, link: Link, officer: &str) -> [u8; 16] {
        let whole = self.mac(link, officer).finalize().into_bytes();
        let mut half = [0; 16];
        for (kept, byte) in half.iter_mut().zip(whole) {
            *kept = byte;
        }
        half
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    fn mac(&self, link: Link, officer: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        for part in [PURPOSE, &signed_of(link), officer.as_bytes()] {
            mac.update(part);
        }
        mac
    }
}

impl Link {
    /// When the event of its notice was: ids carry their time.
    pub fn sent_at(self) -> Timestamp {
        Timestamp(i64::try_from(self.notice.bits() >> 80).unwrap_or(i64::MAX))
    }

    /// Whether its time is not over at `now`.
    pub fn is_good(self, now: Timestamp) -> bool {
        now.since(self.sent_at()) <= GOOD_FOR_MS
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Links(<key>)")
    }
}

fn signed_of(link: Link) -> [u8; SIGNED] {
    let mut signed = [0; SIGNED];
    let ids = [link.alarm, link.notice].map(|id| id.bits().to_be_bytes());
    let raised_at = link.raised_at.0.to_be_bytes();
    for (place, byte) in signed.iter_mut().zip(ids.iter().flatten().chain(&raised_at)) {
        *place = *byte;
    }
    signed
}

fn key(path: &Path) -> std::io::Result<Vec<u8>> {
    match fs::read(path) {
        Ok(key) if key.len() >= 32 => Ok(key),
        Ok(_) => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it is too short: delete it, and a new one is made",
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut key = vec![0; 32];
            File::open("/dev/urandom")?.read_exact(&mut key)?;
            // Whole or not at all: a power cut in between must not leave a key that nobody can use.
            let unfinished = path.with_extension("key.new");
            let made = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished);
            let mut file = made?;
            file.write_all(&key)?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            if let Some(folder) = path.parent() {
                File::open(folder)?.sync_all()?;
            }
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::domain::id::GatewayHash;

    const AT: i64 = 1_767_225_600_000;

    fn link() -> Link {
        let id = |sequence| Id::derive(GatewayHash::of("karuo-01"), sequence, 0, Timestamp(AT));
        Link {
            alarm: id(1),
            notice: id(2),
            raised_at: Timestamp(AT - 1),
        }
    }

    fn token(address: &str) -> &str {
        let token = address.rsplit('/').next().unwrap();
        token.split('?').next().unwrap()
    }

    #[test]
    fn an_address_is_good_for_its_officer_and_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let links = Links::open(folder.path(), "https://gw.example").unwrap();
        let address = links.address(link(), "王 强");
        assert!(address.starts_with("https://gw.example/a/"), "{address}");
        assert!(address.ends_with("?o=%E7%8E%8B+%E5%BC%BA"), "{address}");
        let token = token(&address);
        let check = |token: &str, officer: &str, at| links.check(token, officer, Timestamp(at));
        assert_eq!(check(token, "王 强", AT), Ok(link()));
        assert_eq!(check(token, "王 强", AT + GOOD_FOR_MS), Ok(link()));
        assert_eq!(
            check(token, "王 强", AT + GOOD_FOR_MS + 1),
            Err(LinkError::Expired)
        );
        assert_eq!(check(token, "li", AT), Err(LinkError::Forged));
        assert_eq!(check(token, "", AT), Err(LinkError::Forged));
        for bad in [
            "",
            "x",
            "%",
            &token[..60],
            &format!("{token}AAAA"),
            &token.replace('A', "B"),
        ] {
            assert_eq!(check(bad, "王 强", AT), Err(LinkError::Forged), "{bad}");
        }
        let nobody = links.address(link(), "");
        assert!(!nobody.contains('?'), "{nobody}");
        assert_eq!(links.for_people(link(), ""), Some(nobody));
        assert_eq!(links.of_this_machine().for_people(link(), ""), None);
    }

    #[test]
    fn the_key_is_made_once_and_for_this_user_alone() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let address = Links::open(folder.path(), "").unwrap().address(link(), "wang");
        let again = Links::open(folder.path(), "").unwrap();
        assert_eq!(again.address(link(), "wang"), address);
        let stranger = Links::open(other.path(), "").unwrap();
        assert_eq!(
            stranger.check(token(&address), "wang", Timestamp(AT)),
            Err(LinkError::Forged)
        );
        let file = folder.path().join("link.key");
        assert!(!folder.path().join("link.key.new").exists());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "short").unwrap();
        let error = Links::open(folder.path(), "").unwrap_err();
        assert!(error.to_string().contains("link.key"), "{error}");
        assert_eq!(format!("{again:?}"), "Links(<key>)");
    }
}

//! The engine's whole state as bytes, for the checkpoint, and back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::definitions::{Definitions, DefinitionsHash};
use super::super::device::{DeviceIndex, DeviceKey};
use super::super::history::HistoryPoint;
use super::super::id::GatewayHash;
use super::super::kind::GATEWAY_KIND;
use super::super::time::Ticks;
use super::Engine;
use super::book::Book;
use super::calendar::Watch;
use super::device::Device;
use super::ledger::Ledger;
use super::limit::Limits;
use super::record::Recorder;

/// The form of the bytes; a change of any serialised type gets a new number.
const FORM: u16 = 7;

#[derive(Serialize)]
struct Saved<'a> {
    form: u16,
    sequence: u64,
    definitions: Option<DefinitionsHash>,
    listening: Option<Ticks>,
    watch: Watch,
    points: &'a [HistoryPoint],
    devices: &'a [Device],
    venues: &'a [Device],
    limits: &'a Limits,
    book: &'a Book,
}

#[derive(Deserialize)]
struct Loaded {
    sequence: u64,
    definitions: Option<DefinitionsHash>,
    listening: Option<Ticks>,
    watch: Watch,
    points: Vec<HistoryPoint>,
    devices: Vec<Device>,
    venues: Vec<Device>,
    limits: Limits,
    book: Book,
}

/// Why a snapshot could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes are damaged.
    #[error("the checkpoint cannot be read: {0}")]
    Damaged(#[from] postcard::Error),
    /// Another version of ninewatch wrote them in another form.
    #[error("the checkpoint has form {0}, this version reads form {FORM}: start the version that wrote it")]
    Form(u16),
    /// The definitions of that time are not to be had.
    #[error("the checkpoint names definitions that cannot be had: {0}")]
    Definitions(String),
}

/// What a snapshot says of the devices, without the definitions that the whole of it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedDevices {
    /// The sequence number of the next input after it.
    pub next_input: u64,
    /// The hash of the definitions in force.
    pub definitions: Option<DefinitionsHash>,
    /// Who the devices are, by their index.
    pub keys: Vec<Arc<DeviceKey>>,
}

impl SavedDevices {
    /// Reads them out of what [`Engine::snapshot`] saved.
    ///
    /// # Errors
    /// When the bytes are damaged or of another form.
    pub fn read(bytes: &[u8]) -> Result<SavedDevices, SnapshotError> {
        let loaded = Loaded::read(bytes)?;
        Ok(SavedDevices {
            next_input: loaded.sequence,
            definitions: loaded.definitions,
            keys: loaded.devices.into_iter().map(|device| device.key).collect(),
        })
    }
}

impl Loaded {
    fn read(bytes: &[u8]) -> Result<Loaded, SnapshotError> {
        let (form, rest) = postcard::take_from_bytes::<u16>(bytes)?;
        if form != FORM {
            return Err(SnapshotError::Form(form));
        }
        Ok(postcard::from_bytes(rest)?)
    }
}

impl Engine {
    /// The state as bytes.
    ///
    /// # Errors
    /// When the state cannot be serialised.
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        let saved = Saved {
            form: FORM,
            sequence: self.next_input(),
            definitions: self.definitions_hash,
            listening: self.listening,
            watch: self.watch,
            points: self.recorder.points(),
            devices: &self.devices,
            venues: &self.venues,
            limits: &self.ledger.limits,
            book: &self.ledger.book,
        };
        Ok(postcard::to_stdvec(&saved)?)
    }

    /// The engine that [`Engine::snapshot`] saved. `definitions` finds the definitions with a given hash.
    ///
    /// # Errors
    /// When the bytes are damaged or of another form, or the definitions cannot be had.
    pub fn restore(
        gateway: &str,
        bytes: &[u8],
        definitions: impl Fn(&DefinitionsHash) -> Result<Arc<Definitions>, String>,
    ) -> Result<Engine, SnapshotError> {
        let loaded = Loaded::read(bytes)?;
        let mut engine = Engine::new(gateway);
        if let Some(hash) = loaded.definitions {
            engine.definitions = definitions(&hash).map_err(SnapshotError::Definitions)?;
            engine.definitions_hash = Some(hash);
        }
        engine.recorder = Recorder::resuming(loaded.points, &engine.definitions);
        engine.ledger = Ledger::new(GatewayHash::of(gateway));
        engine.ledger.set_sequence(loaded.sequence);
        engine.ledger.limits = loaded.limits;
        engine.ledger.book = loaded.book;
        engine.listening = loaded.listening;
        engine.watch = loaded.watch;
        engine.devices = loaded.devices;
        engine.venues = loaded.venues;
        // Their numbers are their places, whoever has left them since.
        for venue in &engine.venues {
            engine.ledger.venue(&venue.key.venue);
        }
        for (index, device) in (0_u32..).map(DeviceIndex).zip(&mut engine.devices) {
            device.venue = engine.ledger.venue(&device.key.venue);
            device.enrol(&engine.definitions);
            engine.by_key.insert(Arc::clone(&device.key), index);
            if device.key.kind == GATEWAY_KIND {
                engine.gateway = Some(index);
            }
            if let Some(named) = &device.masks.named {
                engine
                    .named
                    .entry(named.parent.clone())
                    .or_default()
                    .insert(index);
            }
        }
        engine.count_anew();
        engine.inform_all();
        engine.adopt_all();
        Ok(engine)
    }
}

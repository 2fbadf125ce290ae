//! The word that an opening on its way is not wanted any more: the gateway gives it, the connection for commands heeds it,
//! wherever between them the message lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by a message that brings the danger back and by the gateway that wrote it.
#[derive(Debug, Clone, Default)]
pub struct Opening(Arc<AtomicBool>);

impl Opening {
    /// It must not leave any more.
    pub fn withdraw(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it must not leave any more.
    pub fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Whether its message still lies somewhere: nothing else shares it.
    pub fn is_on_its_way(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl PartialEq for Opening {
    fn eq(&self, other: &Opening) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Opening {}

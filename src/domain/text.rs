//! Words shown to people, in the two languages ninewatch speaks.

use serde::{Deserialize, Serialize};

/// The same text in Chinese and English.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

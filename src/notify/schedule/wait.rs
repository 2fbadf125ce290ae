//! How long what failed waits. Pure, and the same for the same notice.

use crate::domain::id::Id;
use crate::domain::time::Millis;
use crate::notify::parcel::{Fault, Parcel};

/// The wait after the first failure.
pub(super) const FIRST_WAIT: Millis = Millis(1_000);

/// The longest wait between two attempts.
pub(super) const LONGEST_WAIT: Millis = Millis(300_000);

/// The shortest wait before what a person must mend is tried again.
pub(super) const UNMENDED_WAIT: Millis = Millis(60_000);

/// How long a failed message waits.
pub(super) fn wait_after(fault: Fault, parcel: &Parcel) -> Millis {
    let attempts = parcel.first().attempts.saturating_add(1);
    let back_off = back_off(attempts, parcel.id());
    match fault {
        Fault::Notice if parcel.is_digest() => FIRST_WAIT,
        Fault::Target | Fault::Notice | Fault::Reader => back_off,
        Fault::Throttled(wait) => wait,
        Fault::Configuration => back_off.max(UNMENDED_WAIT),
    }
}

/// The wait after `failures` failed attempts (from 1): 1 s, 2 s, 4 s … 5 min, less up to a quarter, so that
/// notices that failed together do not come back together. Derived, not random: the same for the same notice.
pub(in crate::notify) fn back_off(failures: u32, id: Id) -> Millis {
    let doublings = failures.saturating_sub(1).min(16);
    let nominal = (FIRST_WAIT.0 << doublings).min(LONGEST_WAIT.0);
    let spread = nominal / 4;
    Millis(nominal - mixed(id, failures) % (spread + 1))
}

/// 64 well mixed bits of both (the finaliser of splitmix64).
fn mixed(id: Id, failures: u32) -> u64 {
    let bits = id.bits();
    let folded = (bits >> 64) ^ (bits & u128::from(u64::MAX)) ^ (u128::from(failures) << 32);
    let mut word = u64::try_from(folded).unwrap_or(u64::MAX);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

//! What the engine's timers are for.

/// What a deadline of a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The alarm of the rule with this ordinal.
    Rule(u16),
    /// The derived value at this place: a condition may have held long enough.
    Held(u16),
    /// The device may have been silent long enough.
    Silence,
    /// A mask of the device's alarms is over, or may be.
    Mask,
    /// The time of its order's attempt is over.
    Order,
    /// It is to be tried out whether it still obeys.
    Exercise,
}

//! The simulated town: devices with a physical state that incidents and commands change, in the wire form of a profile.
//! All pure but `fleet`, which carries it to a broker. Serves `ninewatch simulate` and the demo.

pub mod agenda;
pub mod body;
pub mod casting;
pub mod counts;
pub mod dice;
pub mod fleet;
pub mod outcome;
pub mod plan;
pub mod port;
pub mod report;
pub mod simulator;
pub mod story;
pub mod swell;
pub mod town;
pub mod unit;
pub mod voice;

#[cfg(test)]
mod tests;

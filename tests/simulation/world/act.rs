//! What may happen in a step, and how often it does.

use super::super::dice::Dice;

/// What may happen in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Speak,
    Read,
    Receive,
    Expire,
    Close,
    Commit,
    Release,
    Acknowledge,
    Notify,
    Connect,
    Disconnect,
    LoseSession,
    Listen,
    Wait,
    JumpClock,
    Operate,
    Reconfigure,
    Checkpoint,
    BreakDisk,
    Trouble,
    Follow,
    BreakPostgres,
    Tidy,
    Sort,
    Carry,
    Sever,
    Valve,
    TurnValve,
    ChangeValve,
    Crash,
    Stop,
}

/// How often each happens.
const ACTS: [(Act, u64); 31] = [
    (Act::Speak, 90),
    (Act::Read, 70),
    (Act::Receive, 70),
    (Act::Expire, 40),
    (Act::Close, 80),
    (Act::Commit, 80),
    (Act::Release, 50),
    (Act::Acknowledge, 60),
    (Act::Notify, 60),
    (Act::Connect, 30),
    (Act::Disconnect, 8),
    (Act::LoseSession, 2),
    (Act::Listen, 25),
    (Act::Wait, 40),
    (Act::JumpClock, 4),
    (Act::Operate, 35),
    (Act::Reconfigure, 6),
    (Act::Checkpoint, 12),
    (Act::BreakDisk, 8),
    (Act::Trouble, 8),
    (Act::Follow, 70),
    (Act::BreakPostgres, 8),
    (Act::Tidy, 20),
    (Act::Sort, 20),
    (Act::Carry, 60),
    (Act::Sever, 6),
    (Act::Valve, 60),
    (Act::TurnValve, 12),
    (Act::ChangeValve, 5),
    (Act::Crash, 12),
    (Act::Stop, 3),
];

/// What happens next.
pub(super) fn choose(dice: &mut Dice) -> Act {
    let mut left = dice.below(ACTS.iter().map(|(_, weight)| weight).sum());
    for (act, weight) in ACTS {
        if left < weight {
            return act;
        }
        left -= weight;
    }
    unreachable!("it is below the sum of the weights")
}

//! The pure core: everything that decides. It imports nothing of the crate outside `domain`, and no
//! runtime, socket, file, SQL or clock. `(state, input, now) → (state, effects)`.

pub mod alarm;
pub mod alert;
pub mod almanac;
pub mod backtest;
pub mod chain;
pub mod definitions;
pub mod device;
pub mod directions;
pub mod downsample;
pub mod engine;
pub mod escalation;
pub mod history;
pub mod id;
pub mod interlock;
pub mod journal;
pub mod kind;
pub mod notice;
pub mod notice_command;
pub mod officer;
pub mod profile;
pub mod reading;
pub mod registry;
pub mod rehearsal;
pub mod roll;
pub mod roster;
pub mod route;
pub mod rule;
pub mod schedule;
pub mod service;
pub mod text;
pub mod time;
pub mod window;

//! The physical side of a simulated device: what it measures, what incidents and commands do to it. Pure.

use super::dice::Dice;
use super::port::Port;
use super::swell::Swell;
use crate::config::Happening;
use crate::domain::time::{Millis, Moment, Ticks};

/// How long a valve is under way.
const TRAVEL: Millis = Millis(1_200);
/// How long a relay takes.
const SWITCHING: Millis = Millis(100);

/// A value as a device says it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said {
    /// In the point's unit.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// One of the point's words.
    Word(&'static str),
}

impl Said {
    /// A number that the device says with one digit after the point.
    pub fn tenths(value: f64) -> Said {
        Said::Number((value * 10.0).round() / 10.0)
    }

    /// A number that the device says with three digits after the point.
    pub fn thousandths(value: f64) -> Said {
        Said::Number((value * 1_000.0).round() / 1_000.0)
    }
}

/// Points by name.
pub type Points = Vec<(&'static str, Said)>;

/// What a device can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Close a valve.
    Close,
    /// Open a valve.
    Open,
    /// Cut a port's power.
    Off,
    /// Give a port its power.
    On,
}

impl Command {
    /// The command of this name.
    pub fn parse(word: &str) -> Option<Command> {
        match word {
            "close" => Some(Command::Close),
            "open" => Some(Command::Open),
            "off" => Some(Command::Off),
            "on" => Some(Command::On),
            _ => None,
        }
    }

    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Command::Close => "close",
            Command::Open => "open",
            Command::Off => "off",
            Command::On => "on",
        }
    }
}

/// What is wrong with the device itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ails {
    /// It reports a fault.
    pub faulty: bool,
    /// The valve does not move.
    pub stuck: bool,
    /// The relay does not open.
    pub welded: bool,
}

/// Where a valve stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Gas flows.
    Open,
    /// No gas flows.
    Closed,
    /// On its way to closed.
    Closing,
    /// On its way to open.
    Opening,
}

/// What measures and moves.
#[derive(Debug, Clone)]
pub enum Body {
    /// A gas detector.
    Air(Air),
    /// A shutoff valve and its battery.
    Valve(Position),
    /// A charging port.
    Port(Port),
    /// A smoke detector.
    Head(Warmth),
    /// A lift's e-bike blocker: whether it sees one.
    Lift(bool),
    /// A battery-swap cabinet, and whether water stands in it.
    Cabinet(Warmth, bool),
}

/// The air at a gas detector.
#[derive(Debug, Clone)]
pub struct Air {
    base: f64,
    temperature: f64,
    battery: f64,
    phase: f64,
    leak: Option<Swell>,
}

/// A place that may burn.
#[derive(Debug, Clone)]
pub struct Warmth {
    ambient: f64,
    fire: Option<Swell>,
    smoke: bool,
}

impl Body {
    /// That of a device of `kind`; `None` for a kind that nobody simulates.
    pub fn of(kind: &str, dice: &mut Dice) -> Option<Body> {
        Some(match kind {
            "gas_detector" => Body::Air(Air::new(dice)),
            "shutoff_valve" => Body::Valve(Position::Open),
            "charging_port" => Body::Port(Port::new(dice)),
            "smoke_detector" => Body::Head(Warmth::new(dice)),
            "lift_blocker" => Body::Lift(false),
            "swap_cabinet" => Body::Cabinet(Warmth::new(dice), false),
            _ => return None,
        })
    }

    /// What it says at `now`.
    pub fn points(&mut self, now: Moment, ails: Ails, dice: &mut Dice) -> Points {
        let fault = ("fault", Said::Flag(ails.faulty));
        match self {
            Body::Air(air) => air.points(now.ticks, ails.faulty, dice),
            Body::Valve(position) => vec![
                ("position", Said::Word(position.word())),
                ("battery", Said::Number(93.0)),
                fault,
            ],
            Body::Port(port) => port.points(now, (ails.faulty, ails.welded), dice),
            Body::Head(warmth) => vec![
                ("smoke", Said::Flag(warmth.smoke)),
                ("battery", Said::Number(88.0)),
                ("temperature", warmth.temperature(now.ticks, dice)),
                fault,
            ],
            Body::Lift(ebike) => vec![
                ("ebike", Said::Flag(*ebike)),
                ("door_held", Said::Flag(*ebike)),
                ("confidence", Said::Number(if *ebike { 0.93 } else { 0.04 })),
                fault,
            ],
            Body::Cabinet(warmth, water) => vec![
                ("temperature", warmth.temperature(now.ticks, dice)),
                ("smoke", Said::Flag(warmth.smoke)),
                ("water", Said::Flag(*water)),
                ("door", Said::Word("closed")),
                ("fan", Said::Flag(true)),
            ],
        }
    }

    /// `happening` begins. What cannot befall this body leaves it as it is.
    pub fn begin(&mut self, happening: Happening, now: Ticks) {
        match (self, happening) {
            (Body::Air(air), Happening::GasLeak { rise, peak }) => {
                air.leak = Some(Swell::new(now, rise, peak));
            }
            (Body::Port(port), Happening::Fire { rise, peak }) => {
                port.heat = Some(Swell::new(now, rise, peak));
                port.smoke = true;
            }
            (Body::Port(port), Happening::Overheat { rise, peak }) if !port.is_cut() => {
                port.heat = Some(Swell::new(now, rise, peak));
            }
            (Body::Port(port), Happening::Overcharge) if !port.is_cut() => port.endless = Some(now),
            (Body::Head(warmth) | Body::Cabinet(warmth, _), Happening::Fire { rise, peak }) => {
                warmth.fire = Some(Swell::new(now, rise, peak));
                warmth.smoke = true;
            }
            (Body::Cabinet(_, water), Happening::Water) => *water = true,
            (Body::Lift(ebike), Happening::Ebike) => *ebike = true,
            (
                Body::Air(_)
                | Body::Valve(_)
                | Body::Port(_)
                | Body::Head(_)
                | Body::Lift(_)
                | Body::Cabinet(..),
                _,
            ) => {}
        }
    }

    /// `happening` ends: somebody has mended it.
    pub fn end(&mut self, happening: Happening, now: Ticks) {
        match (self, happening) {
            (Body::Air(air), Happening::GasLeak { .. }) => air.ebb(now),
            (Body::Port(port), Happening::Fire { .. } | Happening::Overheat { .. }) => {
                port.smoke = false;
                if let Some(heat) = &mut port.heat {
                    heat.ebb(now);
                }
            }
            (Body::Port(port), Happening::Overcharge) => port.endless = None,
            (Body::Head(warmth) | Body::Cabinet(warmth, _), Happening::Fire { .. }) => {
                warmth.smoke = false;
                if let Some(fire) = &mut warmth.fire {
                    fire.ebb(now);
                }
            }
            (Body::Cabinet(_, water), Happening::Water) => *water = false,
            (Body::Lift(ebike), Happening::Ebike) => *ebike = false,
            (
                Body::Air(_)
                | Body::Valve(_)
                | Body::Port(_)
                | Body::Head(_)
                | Body::Lift(_)
                | Body::Cabinet(..),
                _,
            ) => {}
        }
    }

    /// Begins to do what `command` says: how long until it is done. `None`: such a device does no such thing.
    pub fn start(&mut self, command: Command, ails: Ails) -> Option<Millis> {
        match (self, command) {
            (Body::Valve(position), Command::Close | Command::Open) => {
                if !ails.stuck && *position != goal(command) {
                    *position = way(command);
                }
                Some(TRAVEL)
            }
            (Body::Port(_), Command::Off | Command::On) => Some(SWITCHING),
            (Body::Valve(_), Command::Off | Command::On)
            | (Body::Port(_), Command::Close | Command::Open)
            | (Body::Air(_) | Body::Head(_) | Body::Lift(_) | Body::Cabinet(..), _) => None,
        }
    }

    /// What `command` began is done.
    pub fn finish(&mut self, command: Command, ails: Ails, now: Ticks) {
        match (self, command) {
            (Body::Valve(position), Command::Close | Command::Open) if !ails.stuck => {
                *position = goal(command);
            }
            (Body::Port(port), Command::Off) => port.cut(now, ails.welded),
            (Body::Port(port), Command::On) => port.reset(now),
            (
                Body::Valve(_)
                | Body::Port(_)
                | Body::Air(_)
                | Body::Head(_)
                | Body::Lift(_)
                | Body::Cabinet(..),
                _,
            ) => {}
        }
    }

    /// Whether no gas flows through this valve. `false` for what is no valve.
    pub const fn shuts_gas_off(&self) -> bool {
        matches!(self, Body::Valve(Position::Closed))
    }

    /// No gas comes any more: what is in the air ebbs away.
    pub fn air_out(&mut self, now: Ticks) {
        if let Body::Air(air) = self {
            air.ebb(now);
        }
    }

    /// The command that somebody on site gives by hand to undo what a command did, if it did anything.
    pub const fn undo(&self) -> Option<Command> {
        match self {
            Body::Valve(Position::Closed) => Some(Command::Open),
            Body::Port(port) if port.is_cut() => Some(Command::On),
            Body::Valve(Position::Open | Position::Opening | Position::Closing)
            | Body::Port(_)
            | Body::Air(_)
            | Body::Head(_)
            | Body::Lift(_)
            | Body::Cabinet(..) => None,
        }
    }

    /// Whether a value is out of the ordinary, so that the device reports more often.
    pub fn is_alarmed(&mut self, now: Ticks) -> bool {
        let over = |swell: &Option<Swell>| swell.is_none_or(|swell| swell.is_over(now));
        match self {
            Body::Air(air) => !over(&air.leak),
            Body::Port(port) => port.smoke || !over(&port.heat),
            Body::Head(warmth) | Body::Cabinet(warmth, _) => warmth.smoke,
            Body::Valve(_) | Body::Lift(_) => false,
        }
    }
}

const fn way(command: Command) -> Position {
    match command {
        Command::Close | Command::Off => Position::Closing,
        Command::Open | Command::On => Position::Opening,
    }
}

const fn goal(command: Command) -> Position {
    match command {
        Command::Close | Command::Off => Position::Closed,
        Command::Open | Command::On => Position::Open,
    }
}

impl Position {
    const fn word(self) -> &'static str {
        match self {
            Position::Open => "open",
            Position::Closed => "closed",
            Position::Closing => "closing",
            Position::Opening => "opening",
        }
    }
}

impl Air {
    /// Somewhere in a kitchen.
    fn new(dice: &mut Dice) -> Air {
        Air {
            base: dice.between(0.6, 2.6),
            temperature: dice.between(17.0, 28.0),
            battery: dice.between(61.0, 100.0).floor(),
            phase: dice.between(0.0, std::f64::consts::TAU),
            leak: None,
        }
    }

    /// It breathes: cooking and opened doors move it by about one %LEL.
    fn points(&self, now: Ticks, faulty: bool, dice: &mut Dice) -> Points {
        let minutes = now.0 as f64 / 60_000.0;
        let breath = 0.5 * (minutes * 2.1 + self.phase).sin() + dice.between(-0.25, 0.25);
        let leaked = self.leak.map_or(0.0, |leak| leak.level(now));
        let temperature = self.temperature + 0.6 * (minutes * 0.4 + self.phase).cos();
        vec![
            ("lel", Said::tenths((self.base + breath).max(0.0) + leaked)),
            ("temperature", Said::tenths(temperature)),
            ("battery", Said::Number(self.battery)),
            ("state", Said::Word(if faulty { "fault" } else { "normal" })),
        ]
    }

    fn ebb(&mut self, now: Ticks) {
        if let Some(leak) = &mut self.leak {
            leak.ebb(now);
        }
    }
}

impl Warmth {
    fn new(dice: &mut Dice) -> Warmth {
        Warmth {
            ambient: dice.between(18.0, 30.0),
            fire: None,
            smoke: false,
        }
    }

    fn temperature(&self, now: Ticks, dice: &mut Dice) -> Said {
        let fire = self.fire.map_or(0.0, |fire| fire.level(now));
        Said::tenths(self.ambient + fire + dice.between(-0.2, 0.2))
    }
}

#[cfg(test)]
mod tests {
    use super::{Ails, Body, Command, Position, Said};
    use crate::config::Happening;
    use crate::domain::time::{Millis, Moment, Ticks};
    use crate::simulate::dice::Dice;

    fn said(body: &mut Body, at: u64, ails: Ails, point: &str) -> Said {
        let now = Moment {
            ticks: Ticks(at),
            ..Moment::default()
        };
        let points = body.points(now, ails, &mut Dice::new(9));
        points.iter().find(|(name, _)| *name == point).unwrap().1
    }

    #[test]
    fn a_valve_moves_and_arrives_and_a_stuck_one_stays() {
        for (stuck, during, after) in [
            (false, Position::Closing, Position::Closed),
            (true, Position::Open, Position::Open),
        ] {
            let ails = Ails {
                stuck,
                ..Ails::default()
            };
            let mut body = Body::of("shutoff_valve", &mut Dice::new(1)).unwrap();
            assert!(body.start(Command::Close, ails).is_some());
            assert_eq!(said(&mut body, 0, ails, "position"), Said::Word(during.word()));
            body.finish(Command::Close, ails, Ticks(2_000));
            assert_eq!(said(&mut body, 0, ails, "position"), Said::Word(after.word()));
            assert_eq!(body.shuts_gas_off(), !stuck);
        }
    }

    #[test]
    fn a_device_does_only_what_it_can() {
        for (kind, command, can) in [
            ("shutoff_valve", Command::Close, true),
            ("shutoff_valve", Command::Off, false),
            ("charging_port", Command::Off, true),
            ("charging_port", Command::Close, false),
            ("gas_detector", Command::Close, false),
            ("swap_cabinet", Command::Off, false),
        ] {
            let mut body = Body::of(kind, &mut Dice::new(1)).unwrap();
            let does = body.start(command, Ails::default()).is_some();
            assert_eq!(does, can, "{kind} {command:?}");
        }
    }

    #[test]
    fn every_happening_shows_in_the_bodies_that_it_can_befall() {
        let (rise, peak) = (Millis(1_000), 90.0);
        for (happening, kind, point) in [
            (Happening::GasLeak { rise, peak }, "gas_detector", "lel"),
            (Happening::Fire { rise, peak }, "smoke_detector", "smoke"),
            (Happening::Fire { rise, peak }, "charging_port", "smoke"),
            (Happening::Fire { rise, peak }, "swap_cabinet", "temperature"),
            (Happening::Overheat { rise, peak }, "charging_port", "temperature"),
            (Happening::Overcharge, "charging_port", "session_s"),
            (Happening::Water, "swap_cabinet", "water"),
            (Happening::Ebike, "lift_blocker", "ebike"),
        ] {
            assert!(happening.can_befall(kind), "{happening:?} {kind}");
            let mut body = Body::of(kind, &mut Dice::new(1)).unwrap();
            let healthy = said(&mut body, 2_000, Ails::default(), point);
            body.begin(happening, Ticks(0));
            let ill = said(&mut body, 2_000, Ails::default(), point);
            match (healthy, ill) {
                (Said::Number(healthy), Said::Number(ill)) => assert!(ill > healthy + 50.0, "{happening:?}"),
                (healthy, ill) => assert_ne!(healthy, ill, "{happening:?}"),
            }
            body.end(happening, Ticks(2_000));
            let mended = said(&mut body, 60_000, Ails::default(), point);
            match (healthy, mended) {
                (Said::Number(healthy), Said::Number(mended)) => {
                    assert!(mended < healthy + 30.0, "{happening:?}: {healthy} {mended}");
                }
                (healthy, mended) => assert_eq!(healthy, mended, "{happening:?}"),
            }
        }
    }
}

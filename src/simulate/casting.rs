//! Which device of the town speaks which profile. Pure.

use super::town::Town;
use super::voice::{Voice, Voices};
use crate::config::Speaks;

/// The voice of each device of `town`, in its order: the venues take turns with `profiles`, and then `speaks` says
/// better. A kind for which a profile has no words speaks the native form.
pub fn cast(town: &Town, voices: &Voices, profiles: &[Voice], speaks: &[Speaks]) -> Vec<Voice> {
    let mut played = Vec::with_capacity(town.devices.len());
    let mut venues = town.venues.iter().zip(0_usize..);
    let mut venue = venues.next();
    for device in &town.devices {
        while venue.is_some_and(|(venue, _)| venue.id != device.key.venue) {
            venue = venues.next();
        }
        let turn = venue.and_then(|(_, number)| number.checked_rem(profiles.len()));
        let by_turn = turn.and_then(|turn| profiles.get(turn)).copied();
        let told = speaks.iter().rev().find(|speaks| speaks.is_about(&device.key));
        let by_script = told.and_then(|speaks| voices.named(&speaks.profile));
        let voice = by_script.or(by_turn).unwrap_or(Voice::NATIVE);
        played.push(voices.for_kind(voice, &device.key.kind));
    }
    played
}

#[cfg(test)]
mod tests {
    use super::cast;
    use crate::config::Speaks;
    use crate::simulate::town::Town;
    use crate::simulate::voice::Voices;

    #[test]
    fn venues_take_turns_and_a_script_knows_better() {
        let (town, voices) = (Town::new(3), Voices::default());
        let named = |name| voices.named(name).unwrap();
        let speaks = [("v003", None, "esphome"), ("v003", Some("port1"), "tasmota")];
        let speaks = speaks.map(|(venue, device, profile): (&str, Option<&str>, &str)| Speaks {
            venue: venue.to_owned(),
            device: device.map(str::to_owned),
            profile: profile.to_owned(),
        });
        let played = cast(
            &town,
            &voices,
            &[named("zigbee2mqtt"), named("charging-station")],
            &speaks,
        );
        let said: Vec<(&str, &str, &str)> = town
            .devices
            .iter()
            .zip(&played)
            .map(|(device, voice)| (&*device.key.venue, &*device.key.device, voices.profile(*voice)))
            .collect();
        assert_eq!(
            said,
            [
                ("v001", "g1", "zigbee2mqtt"),
                ("v001", "valve", "zigbee2mqtt"),
                ("v001", "port1", "zigbee2mqtt"),
                ("v001", "g2", "zigbee2mqtt"),
                ("v002", "g1", "native"),
                ("v002", "valve", "native"),
                ("v002", "port1", "charging-station"),
                ("v002", "g2", "native"),
                ("v003", "g1", "esphome"),
                ("v003", "valve", "esphome"),
                ("v003", "port1", "tasmota"),
                ("v003", "lift", "esphome"),
            ]
        );
    }
}

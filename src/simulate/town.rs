//! The made-up town of the demo: venues with names, addresses and devices. Pure: the same number of venues is
//! always the same town.

use std::fmt::Write as _;

use super::voice::{Voice, Voices};
use crate::domain::device::DeviceKey;
use crate::domain::registry::{RegisteredDevice, Registry, Venue};

/// Separates the Chinese from the English in a name or address, since a venue has one of each.
pub const LANGUAGES: &str = " / ";

const PLACES: [(&str, &str); 13] = [
    ("老街", "Old Street"),
    ("城南", "South Gate"),
    ("河畔", "Riverside"),
    ("槐树巷", "Locust Lane"),
    ("北桥", "North Bridge"),
    ("石榴园", "Pomegranate Garden"),
    ("望江", "River View"),
    ("青竹", "Green Bamboo"),
    ("东门", "East Gate"),
    ("柳荫", "Willow Shade"),
    ("晨光", "Morning Light"),
    ("钟楼", "Bell Tower"),
    ("荷塘", "Lotus Pond"),
];

/// Trade in Chinese and English, kind of venue, and its fourth device.
const TRADES: [Trade; 12] = [
    Trade(
        "面馆",
        "Noodles",
        "restaurant",
        Fourth::Gas("大堂", "dining room"),
    ),
    Trade(
        "火锅店",
        "Hotpot",
        "restaurant",
        Fourth::Gas("大堂", "dining room"),
    ),
    Trade("旅馆", "Guesthouse", "hotel", Fourth::Lift),
    Trade("便利店", "Corner Shop", "shop", Fourth::Cabinet),
    Trade(
        "烧烤店",
        "Barbecue",
        "restaurant",
        Fourth::Gas("气瓶间", "cylinder room"),
    ),
    Trade("诊所", "Clinic", "clinic", Fourth::Lift),
    Trade(
        "包子铺",
        "Steamed Buns",
        "restaurant",
        Fourth::Gas("蒸房", "steam room"),
    ),
    Trade("网吧", "Internet Cafe", "internet_cafe", Fourth::Smoke),
    Trade("浴室", "Bathhouse", "beauty_bath", Fourth::Port),
    Trade("家具作坊", "Furniture Workshop", "workshop", Fourth::Smoke),
    Trade("幼儿园", "Kindergarten", "school", Fourth::Smoke),
    Trade("歌厅", "Karaoke", "entertainment", Fourth::Port),
];

struct Trade(&'static str, &'static str, &'static str, Fourth);

enum Fourth {
    /// A second gas detector, and what it watches.
    Gas(&'static str, &'static str),
    Port,
    Lift,
    Smoke,
    Cabinet,
}

const STREETS: [(&str, &str); 7] = [
    ("青石路", "Qingshi Road"),
    ("人民西路", "Renmin West Road"),
    ("水井街", "Shuijing Street"),
    ("解放巷", "Jiefang Lane"),
    ("望江大道", "Wangjiang Avenue"),
    ("桂花街", "Guihua Street"),
    ("工农路", "Gongnong Road"),
];

/// The venues and devices that the demo plays.
#[derive(Debug, Clone)]
pub struct Town {
    /// The venues, in order.
    pub venues: Vec<Venue>,
    /// Their devices, venue by venue.
    pub devices: Vec<RegisteredDevice>,
}

impl Town {
    /// A town of `count` venues.
    pub fn new(count: usize) -> Town {
        let mut town = Town {
            venues: Vec::with_capacity(count),
            devices: Vec::new(),
        };
        // 12 trades against 13 places: 156 venues before a name comes round again.
        let places = PLACES.iter().cycle();
        let trades = TRADES.iter().cycle();
        let streets = STREETS.iter().cycle();
        for (number, ((place, trade), street)) in (0..count).zip(places.zip(trades).zip(streets)) {
            town.open(number, place, trade, street);
        }
        town
    }

    /// The registry that the gateway is configured with.
    ///
    /// `played` is how its devices speak, in their order: each is registered as its profile knows it.
    pub fn registry(&self, voices: &Voices, played: &[Voice]) -> Registry {
        Registry::new(self.venues.clone(), self.seen_by_a_gateway(voices, played))
    }

    /// The devices as their profiles know them.
    pub fn seen_by_a_gateway(&self, voices: &Voices, played: &[Voice]) -> Vec<RegisteredDevice> {
        let all = played.iter().copied().chain(std::iter::repeat(Voice::NATIVE));
        let devices = self.devices.iter().zip(all);
        let seen = devices.map(|(device, voice)| RegisteredDevice {
            key: DeviceKey {
                device: voices.id(voice, &device.key),
                ..device.key.clone()
            },
            profile: (voice != Voice::NATIVE).then(|| voices.profile(voice).to_owned()),
            ..device.clone()
        });
        seen.collect()
    }

    /// A venues file for the gateway that is to hear the devices.
    pub fn venues_file(&self, voices: &Voices, played: &[Voice]) -> String {
        let devices = self.seen_by_a_gateway(voices, played);
        let mut text = "# The simulated venues and devices, written by `ninewatch simulate`.\n".to_owned();
        for venue in &self.venues {
            let Venue {
                id,
                name,
                kind,
                address,
                ..
            } = venue;
            let _infallible = write!(
                text,
                "\n[[venue]]\nid = \"{id}\"\nname = \"{name}\"\nkind = \"{kind}\"\naddress = \"{address}\"\n"
            );
            for RegisteredDevice {
                key, name, profile, ..
            } in devices.iter().filter(|device| device.key.venue == *id)
            {
                let DeviceKey { kind, device, .. } = key;
                let _infallible = write!(
                    text,
                    "\n[[venue.device]]\nid = \"{device}\"\nkind = \"{kind}\"\nname = \"{name}\"\n"
                );
                if let Some(profile) = profile {
                    let _infallible = writeln!(text, "profile = \"{profile}\"");
                }
            }
        }
        text
    }

    fn open(&mut self, number: usize, place: &(&str, &str), trade: &Trade, street: &(&str, &str)) {
        let branch = number / (PLACES.len() * TRADES.len());
        let (branch_zh, branch_en) = match branch {
            0 => (String::new(), String::new()),
            more => (format!("（{}分店）", more + 1), format!(" No. {}", more + 1)),
        };
        let door = 3 + number * 7 % 190;
        let venue = Venue {
            id: format!("v{:03}", number + 1),
            name: format!(
                "{}{}{branch_zh}{LANGUAGES}{} {}{branch_en}",
                place.0, trade.0, place.1, trade.1
            ),
            kind: trade.2.to_owned(),
            address: format!("{}{door}号{LANGUAGES}{door} {}", street.0, street.1),
            ..Default::default()
        };
        self.fit(
            &venue.id,
            "gas_detector",
            "g1",
            ("厨房燃气探测器", "kitchen gas detector"),
        );
        self.fit(
            &venue.id,
            "shutoff_valve",
            "valve",
            ("燃气切断阀", "gas shutoff valve"),
        );
        self.fit(
            &venue.id,
            "charging_port",
            "port1",
            ("1号充电口", "charging port 1"),
        );
        let (zh, en);
        let (kind, device, names) = match trade.3 {
            Fourth::Gas(place_zh, place_en) => {
                (zh, en) = (
                    format!("{place_zh}燃气探测器"),
                    format!("{place_en} gas detector"),
                );
                ("gas_detector", "g2", (zh.as_str(), en.as_str()))
            }
            Fourth::Port => ("charging_port", "port2", ("2号充电口", "charging port 2")),
            Fourth::Lift => ("lift_blocker", "lift", ("1号电梯", "lift 1")),
            Fourth::Smoke => (
                "smoke_detector",
                "smoke",
                ("走廊感烟探测器", "corridor smoke detector"),
            ),
            Fourth::Cabinet => (
                "swap_cabinet",
                "cabinet",
                ("门口换电柜", "swap cabinet at the door"),
            ),
        };
        self.fit(&venue.id, kind, device, names);
        self.venues.push(venue);
    }

    fn fit(&mut self, venue: &str, kind: &str, device: &str, (zh, en): (&str, &str)) {
        self.devices.push(RegisteredDevice {
            key: DeviceKey {
                venue: venue.to_owned(),
                kind: kind.to_owned(),
                device: device.to_owned(),
            },
            name: format!("{zh}{LANGUAGES}{en}"),
            ..Default::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Town;

    #[test]
    fn every_venue_has_a_name_of_its_own_and_at_least_four_devices() {
        let town = Town::new(400);
        let names: HashSet<&str> = town.venues.iter().map(|venue| venue.name.as_str()).collect();
        assert_eq!(names.len(), 400);
        for venue in &town.venues {
            let devices = town.devices.iter().filter(|device| device.key.venue == venue.id);
            assert_eq!(devices.count(), 4, "{}", venue.name);
        }
    }

    #[test]
    fn names_and_addresses_carry_both_languages() {
        let town = Town::new(1);
        assert_eq!(town.venues[0].name, "老街面馆 / Old Street Noodles");
        assert_eq!(town.venues[0].address, "青石路3号 / 3 Qingshi Road");
    }
}

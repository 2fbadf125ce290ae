//! To which addresses a target may connect. A name must not lead into closed networks unless the target's settings allow it:
//! whoever can change what a name stands for could else reach this machine and its neighbours.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What is no address of the public Internet (IANA IPv4 Special-Purpose Address Registry, multicast, reserved).
const CLOSED_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// All that is public of IPv6 (RFC 4291 §2.4), but for what follows.
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

/// Protocol assignments, Teredo among them, and documentation (IANA IPv6 Special-Purpose Address Registry).
const CLOSED_V6: [Ipv6Net; 3] = [
    v6([0x2001, 0, 0], 23),
    v6([0x2001, 0xdb8, 0], 32),
    v6([0x3fff, 0, 0], 20),
];

/// Translates to IPv4: the last 32 bits (RFC 6052).
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

/// Tunnels to IPv4: the 32 bits after the first 16 (RFC 3056).
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0], 16);

/// The last 32 bits are IPv4 (RFC 4291 §2.5.5): `::a.b.c.d` and `::ffff:a.b.c.d`.
const COMPATIBLE: Ipv6Net = v6([0, 0, 0], 96);

/// Why a name gives no address to connect to. It names none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NameError {
    /// The name system does not know it, or does not answer.
    #[error("the name cannot be resolved")]
    Unknown(#[from] io::Error),
    /// All that it stands for is closed.
    #[error("the name leads to no address that is allowed")]
    Forbidden,
}

/// What names stand for.
pub(super) trait LookUp: Send + Sync + 'static {
    /// What `name` stands for now.
    fn look_up(&self, name: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy)]
pub(super) struct SystemLookUp;

impl LookUp for SystemLookUp {
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// The addresses to which a connection to `host` may go now, never none; `allow` is the target's. To be asked for each
/// connection anew. An address, and this machine's own name, stand for themselves: who writes them means them.
pub(super) async fn addresses(
    host: &str,
    allow: &[IpNet],
    look_up: &impl LookUp,
) -> Result<Vec<IpAddr>, NameError> {
    if let Ok(written) = host.parse() {
        return Ok(vec![written]);
    }
    let mut found = look_up.look_up(host).await?;
    let own = is_own_name(host);
    found.retain(|address| allowed(*address, allow) || (own && address.is_loopback()));
    if found.is_empty() {
        return Err(NameError::Forbidden);
    }
    Ok(found)
}

/// Whether a connection may go to `address` when a name led there: it is public, or within the networks that the target's
/// settings `allow`.
pub(super) fn allowed(address: IpAddr, allow: &[IpNet]) -> bool {
    let within = |address: IpAddr| allow.iter().any(|network| network.contains(&address));
    if within(address) {
        return true;
    }
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        // What goes to an IPv4 address in the end is judged by that.
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => is_public_v4(inner) || within(IpAddr::V4(inner)),
            None => is_public_v6(address),
        },
    }
}

fn is_own_name(host: &str) -> bool {
    host.strip_suffix('.')
        .unwrap_or(host)
        .eq_ignore_ascii_case("localhost")
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !CLOSED_V4.iter().any(|network| network.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    PUBLIC_V6.contains(&address) && !CLOSED_V6.iter().any(|network| network.contains(&address))
}

/// The IPv4 address that is reached through `address`, if it is one of those.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    let bits = u128::from_be_bytes(address.octets());
    if NAT64.contains(&address) || COMPATIBLE.contains(&address) {
        return u32::try_from(bits & u128::from(u32::MAX))
            .ok()
            .map(Ipv4Addr::from);
    }
    if SIX_TO_FOUR.contains(&address) {
        return u32::try_from((bits >> 80) & u128::from(u32::MAX))
            .ok()
            .map(Ipv4Addr::from);
    }
    None
}

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6([a, b, c]: [u16; 3], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(allow: &[&str]) -> Vec<IpNet> {
        allow.iter().map(|network| network.parse().unwrap()).collect()
    }

    const CLOSED: [&str; 44] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.9",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.255",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::1",
        "2002:c0a8:101::1",
        "2001::1",
        "2001:20::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "5f00::1",
        "4000::1",
    ];

    const OPEN: [&str; 13] = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "223.5.5.5",
        "2400:3200::1",
        "2001:4860:4860::8888",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ];

    #[test]
    fn only_what_is_public_is_allowed_unasked() {
        for address in CLOSED {
            assert!(!allowed(address.parse().unwrap(), &[]), "{address}");
        }
        for address in OPEN {
            assert!(allowed(address.parse().unwrap(), &[]), "{address}");
        }
    }

    #[test]
    fn a_target_may_allow_networks_and_no_more_than_these() {
        let allow = networks(&["10.0.0.0/8", "fd00::/8", "2002::/16"]);
        for address in [
            "10.9.8.7",
            "::ffff:10.9.8.7",
            "64:ff9b::a09:807",
            "fd12::1",
            "2002:7f00:1::1",
        ] {
            assert!(allowed(address.parse().unwrap(), &allow), "{address}");
        }
        for address in ["11.0.0.1", "192.0.32.1", "2400::1"] {
            assert!(allowed(address.parse().unwrap(), &allow), "{address} is public");
        }
        for address in [
            "127.0.0.1",
            "192.168.0.1",
            "fc00::1",
            "::1",
            "::ffff:192.168.0.1",
            "fe80::1",
        ] {
            assert!(!allowed(address.parse().unwrap(), &allow), "{address}");
        }
    }

    /// Stands for the same, whatever the name.
    struct Always(Vec<IpAddr>);

    impl LookUp for Always {
        async fn look_up(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            if self.0.is_empty() {
                return Err(io::Error::other("no such name at 10.0.0.53"));
            }
            Ok(self.0.clone())
        }
    }

    #[tokio::test]
    async fn names_are_judged_by_what_they_stand_for_and_addresses_are_taken_as_written() {
        let always = |found: &[&str]| Always(found.iter().map(|address| address.parse().unwrap()).collect());
        let mixed = always(&["10.0.0.1", "1.1.1.1", "::1", "2400:3200::1"]);
        let open = always(&["1.1.1.1", "2400:3200::1"]).0;
        assert_eq!(addresses("hook.example", &[], &mixed).await.unwrap(), open);
        let closed = always(&["127.0.0.1", "::1"]);
        for name in [
            "hook.example",
            "localhost.example",
            "127.0.0.1.example",
            "notlocalhost",
        ] {
            let refused = addresses(name, &[], &closed).await.unwrap_err();
            assert!(matches!(refused, NameError::Forbidden), "{name}");
            assert!(!refused.to_string().contains("127"), "{refused}");
        }
        for name in ["localhost", "LOCALHOST", "localhost."] {
            assert_eq!(addresses(name, &[], &closed).await.unwrap(), closed.0, "{name}");
        }
        let neighbour = always(&["192.168.0.9"]);
        let refused = addresses("localhost", &[], &neighbour).await;
        assert!(matches!(refused, Err(NameError::Forbidden)), "{refused:?}");
        let allow = networks(&["192.168.0.0/24"]);
        assert_eq!(addresses("nas", &allow, &neighbour).await.unwrap(), neighbour.0);
        for written in ["127.0.0.1", "192.168.0.1", "::1", "fe80::1"] {
            let taken = addresses(written, &[], &always(&[])).await.unwrap();
            assert_eq!(taken, always(&[written]).0);
        }
        let unknown = addresses("hook.example", &[], &always(&[])).await.unwrap_err();
        assert!(matches!(unknown, NameError::Unknown(_)), "{unknown}");
    }
}

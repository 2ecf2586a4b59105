//! The rule for addresses against another account of it: ranges as first and last numbers, written down from the registries, where the
//! guard's own are prefixes. Whatever address is thrown, both say the same.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use upstream::{EgressConfig, Policy};

/// The IPv4 addresses that are not public: from, to, both included.
const SHUT_V4: [(u32, u32); 16] = [
    (0x0000_0000, 0x00ff_ffff),
    (0x0a00_0000, 0x0aff_ffff),
    (0x6440_0000, 0x647f_ffff),
    (0x7f00_0000, 0x7fff_ffff),
    (0xa83f_8110, 0xa83f_8110),
    (0xa9fe_0000, 0xa9fe_ffff),
    (0xac10_0000, 0xac1f_ffff),
    (0xc000_0000, 0xc000_00ff),
    (0xc000_0200, 0xc000_02ff),
    (0xc058_6300, 0xc058_63ff),
    (0xc0a8_0000, 0xc0a8_ffff),
    (0xc612_0000, 0xc613_ffff),
    (0xc633_6400, 0xc633_64ff),
    (0xcb00_7100, 0xcb00_71ff),
    (0xe000_0000, 0xefff_ffff),
    (0xf000_0000, 0xffff_ffff),
];

/// The IPv6 addresses that are public, apart from those that hold a public IPv4 address (`::ffff:0:0/96`): from, to, both included.
const OPEN_V6: [(u128, u128); 5] = [
    (0x2000 << 112, (0x2001 << 112) - 1),
    (0x2001_0200 << 96, (0x2001_0db8 << 96) - 1),
    (0x2001_0db9 << 96, (0x2002 << 112) - 1),
    (0x2003 << 112, (0x3fff << 112) - 1),
    (0x3fff_1000 << 96, (0x4000 << 112) - 1),
];

/// Where IPv4 addresses stand inside of IPv6 ones, in bits from the right: mapped, compatible, translated, NAT64, 6to4, Teredo.
const WRAPS: [(u128, u32); 7] = [
    (0xffff << 32, 0),
    (0, 0),
    (0xffff << 48, 0),
    (0x0064_ff9b << 96, 0),
    (0x0064_ff9b_0001 << 80, 0),
    (0x2002 << 112, 80),
    (0x2001_0000 << 96, 32),
];

fn within<T: PartialOrd>(table: &[(T, T)], address: &T) -> bool {
    table
        .iter()
        .any(|(from, to)| from <= address && address <= to)
}

fn is_open_v4(address: u32) -> bool {
    !within(&SHUT_V4, &address)
}

fn is_open_v6(address: u128) -> bool {
    let low = u32::try_from(address & 0xffff_ffff).unwrap();
    let is_mapped = address >> 32 == 0xffff;
    within(&OPEN_V6, &address) || (is_mapped && is_open_v4(low))
}

fn policy() -> Policy {
    Policy::new(&EgressConfig::default())
}

/// Whether the guard lets a literal through, unless it is one of this machine's own, about which no table can know.
fn is_let_through(policy: &Policy, host: &str) -> Option<bool> {
    match policy.check_form(&format!("https://{host}/")) {
        Ok(_) => Some(true),
        Err(refusal) if refusal.to_string().contains("this service itself") => None,
        Err(refusal) => {
            assert_eq!(refusal.reason(), "literal", "{host}");
            Some(false)
        }
    }
}

fn agree_v4(policy: &Policy, address: u32) {
    let host = Ipv4Addr::from_bits(address);
    for spelt in [
        host.to_string(),
        address.to_string(),
        format!("{address:#x}"),
    ] {
        if let Some(open) = is_let_through(policy, &spelt) {
            assert_eq!(open, is_open_v4(address), "{host} as {spelt}");
        }
    }
}

fn agree_v6(policy: &Policy, address: u128) {
    let host = Ipv6Addr::from_bits(address);
    if let Some(open) = is_let_through(policy, &format!("[{host}]")) {
        assert_eq!(open, is_open_v6(address), "{host}");
    }
}

#[test]
fn both_agree_at_every_edge() {
    let policy = policy();
    for (from, to) in SHUT_V4 {
        for edge in [from.wrapping_sub(1), from, to, to.wrapping_add(1)] {
            agree_v4(&policy, edge);
        }
    }
    let tops = (0..128).flat_map(|bit| [1_u128 << bit, (1_u128 << bit).wrapping_sub(1)]);
    let edges = OPEN_V6
        .iter()
        .flat_map(|(from, to)| [from.wrapping_sub(1), *from, *to, to.wrapping_add(1)]);
    for address in tops.chain(edges).chain([0, 1, u128::MAX]) {
        agree_v6(&policy, address);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn both_agree_about_any_ipv4_address(address: u32, near in 0..SHUT_V4.len(), off in -300_i64..300) {
        let policy = policy();
        agree_v4(&policy, address);
        let edge = i64::from(SHUT_V4[near].0) + off;
        agree_v4(&policy, u32::try_from(edge.rem_euclid(1 << 32)).unwrap());
    }

    #[test]
    fn both_agree_about_any_ipv6_address(address: u128, v4: u32, wrap in 0..WRAPS.len(), near in 0..OPEN_V6.len()) {
        let policy = policy();
        agree_v6(&policy, address);
        // Most addresses are not in the one open eighth: one that is, and one near an edge of what is open there.
        agree_v6(&policy, (address >> 3) | (1 << 125));
        agree_v6(&policy, OPEN_V6[near].0 ^ (address & 0xffff_ffff_ffff));
        let (around, shift) = WRAPS[wrap];
        agree_v6(&policy, around | (u128::from(v4) << shift));
    }
}

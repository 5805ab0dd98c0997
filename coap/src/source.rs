//! Who is behind an address, and which of them has most of a table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// A source: an IPv4 address, or an IPv6 prefix of 64 bits.
pub type Source = [u8; 16];

/// Who is behind an address, as far as that can be told: 8 bytes and the family.
#[must_use]
pub fn source(peer: SocketAddr) -> Source {
    let mut block = [0; 16];
    let v4 = |block: &mut Source, octets: [u8; 4]| {
        block[0] = 4;
        block[1..5].copy_from_slice(&octets);
    };
    match peer.ip().to_canonical() {
        IpAddr::V4(ip) => v4(&mut block, ip.octets()),
        IpAddr::V6(ip) => match ip.octets() {
            // Translated from IPv4 (RFC 6052 §2.1): all of it lies in one prefix.
            [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => v4(&mut block, [a, b, c, d]),
            octets => {
                block[0] = 6;
                block[1..9].copy_from_slice(&octets[..8]);
            }
        },
    }
    block
}

/// How much each source has of a bounded table, so that who has most makes room.
#[derive(Debug, Default)]
pub struct Shares {
    of: BTreeMap<Source, usize>,
    order: BTreeSet<(usize, Source)>,
}

impl Shares {
    /// It has so much more.
    pub fn add(&mut self, source: Source, amount: usize) {
        self.change(source, |had| had + amount);
    }

    /// It has so much less.
    pub fn take(&mut self, source: Source, amount: usize) {
        self.change(source, |had| had.saturating_sub(amount));
    }

    fn change(&mut self, source: Source, to: impl FnOnce(usize) -> usize) {
        let had = self.of(source);
        let has = to(had);
        self.order.remove(&(had, source));
        if has == 0 {
            self.of.remove(&source);
        } else {
            self.of.insert(source, has);
            self.order.insert((has, source));
        }
    }

    /// Who has most.
    #[must_use]
    pub fn largest(&self) -> Option<Source> {
        self.order.last().map(|(_, source)| *source)
    }

    /// How much it has.
    #[must_use]
    pub fn of(&self, source: Source) -> usize {
        self.of.get(&source).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> SocketAddr {
        format!("{ip}:5683").parse().expect("an address")
    }

    #[test]
    fn what_belongs_together_shares_an_allowance() {
        for (one, other, together) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("[2001:db8:0:1::1]", "[2001:db8:0:1:ffff::]", true),
            ("[2001:db8:0:1::1]", "[2001:db8:0:2::1]", false),
            ("[::ffff:192.0.2.1]", "192.0.2.1", true),
            ("[::ffff:192.0.2.1]", "[::ffff:192.0.2.2]", false),
            ("[64:ff9b::192.0.2.1]", "[64:ff9b::192.0.2.2]", false),
        ] {
            assert_eq!(source(peer(one)) == source(peer(other)), together, "{one} {other}");
        }
    }

    #[test]
    fn who_has_most_is_known_and_who_has_nothing_is_not_kept() {
        let mut shares = Shares::default();
        let [a, b] = [[1; 16], [2; 16]];
        assert_eq!(shares.largest(), None);
        shares.add(a, 3);
        shares.add(b, 2);
        assert_eq!(shares.largest(), Some(a));
        shares.take(a, 2);
        assert_eq!(shares.largest(), Some(b));
        shares.take(b, 2);
        shares.take(a, 1);
        assert_eq!((shares.largest(), shares.of.len(), shares.order.len()), (None, 0, 0));
    }
}

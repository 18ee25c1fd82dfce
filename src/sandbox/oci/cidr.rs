//! IPv4 address blocks.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A block such as `10.0.0.0/16`; the host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cidr {
    base: u32,
    length: u32,
}

/// The text is no IPv4 block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid IPv4 CIDR block")]
pub(super) struct NoCidr;

impl Cidr {
    /// The prefix length.
    pub(super) fn length(self) -> u32 {
        self.length
    }

    /// Whether all of `other` lies in this block.
    pub(super) fn contains(self, other: Self) -> bool {
        self.length <= other.length && other.base & mask(self.length) == self.base
    }

    /// Whether the blocks share an address.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// The block's n-th address, if it has that many.
    pub(super) fn address(self, n: u32) -> Option<Ipv4Addr> {
        let size = 1_u64 << (32 - self.length);
        (u64::from(n) < size).then(|| Ipv4Addr::from(self.base | n))
    }

    /// The addresses that hosts may get: all but the first two and the last.
    pub(super) fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let last = u32::try_from((1_u64 << (32 - self.length)) - 1).unwrap_or(u32::MAX);
        (2..last).filter_map(move |n| self.address(n))
    }
}

impl FromStr for Cidr {
    type Err = NoCidr;

    fn from_str(text: &str) -> Result<Self, NoCidr> {
        let (address, length) = text.split_once('/').ok_or(NoCidr)?;
        let base = u32::from(address.parse::<Ipv4Addr>().map_err(|_| NoCidr)?);
        let length = length.parse().ok().filter(|n| *n <= 32).ok_or(NoCidr)?;
        let clean = base & mask(length) == base;
        clean.then_some(Self { base, length }).ok_or(NoCidr)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.length)
    }
}

fn mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_parse_contain_and_overlap() {
        let block = |text: &str| text.parse::<Cidr>().unwrap();
        let vcn = block("10.0.0.0/16");
        assert!(vcn.contains(block("10.0.10.0/24")) && vcn.contains(vcn));
        assert!(!vcn.contains(block("10.1.0.0/24")) && !vcn.contains(block("0.0.0.0/0")));
        assert!(block("0.0.0.0/0").overlaps(vcn));
        assert_eq!(vcn.to_string(), "10.0.0.0/16");
        for bad in ["10.0.0.1/16", "10.0.0.0", "10.0.0.0/33", "a/8", "::/0", ""] {
            assert_eq!(bad.parse::<Cidr>(), Err(NoCidr), "{bad}");
        }
    }

    #[test]
    fn hosts_leave_out_the_reserved_addresses() {
        let block: Cidr = "10.0.0.0/29".parse().unwrap();
        let hosts: Vec<_> = block.hosts().map(|a| a.to_string()).collect();
        assert_eq!(
            hosts,
            ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
        );
        assert_eq!("10.0.0.0/32".parse::<Cidr>().unwrap().hosts().count(), 0);
    }
}

//! Scalar values of a profile that have a grammar of their own: address
//! ranges, durations, versions, and references to a compartment.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use crate::names::{NameError, Ocid, text_form};

/// An IPv4 address range such as `10.0.0.0/16`. The address is the first of
/// its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    first: u32,
    prefix: u8,
}

impl Cidr {
    const RULE: &'static str = "an IPv4 range `ADDRESS/PREFIX` whose address is the first of its range, for instance `10.0.0.0/16`";

    /// The prefix length.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The first address.
    pub fn first(self) -> Ipv4Addr {
        self.first.into()
    }

    fn last(self) -> u32 {
        self.first | u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0)
    }

    /// Whether every address of `other` is in this range.
    pub fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last() <= self.last()
    }

    /// Whether the two ranges share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }
}

impl FromStr for Cidr {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let first = u32::from(address.parse::<Ipv4Addr>().ok()?);
            let prefix = prefix.parse::<u8>().ok().filter(|p| *p <= 32)?;
            let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            (first & host_bits == 0).then_some(Self { first, prefix })
        });
        parsed.ok_or_else(|| NameError::new("address range", Self::RULE, text))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first(), self.prefix)
    }
}

text_form!(Cidr, "cidr", Cidr::RULE);

/// A length of time such as `90s`, `20m` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

impl Period {
    const RULE: &'static str = "a duration such as `90s`, `20m` or `1h30m`";

    fn parse(text: &str) -> Option<Duration> {
        let mut total = Duration::ZERO;
        let mut rest = text;
        let mut last_unit = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, tail) = rest.split_at(digits);
            let unit = match tail.chars().next()? {
                'd' => 86_400,
                'h' => 3600,
                'm' => 60,
                's' => 1,
                _ => return None,
            };
            // Units go from the largest down, each at most once.
            if unit >= last_unit {
                return None;
            }
            last_unit = unit;
            let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
            total = total.checked_add(Duration::from_secs(seconds))?;
            rest = tail.get(1..)?;
        }
        (!text.is_empty()).then_some(total)
    }
}

impl FromStr for Period {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
            .map(Self)
            .ok_or_else(|| NameError::new("duration", Self::RULE, text))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_secs();
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, seconds) in [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)] {
            if left >= seconds {
                write!(f, "{}{unit}", left / seconds)?;
                left %= seconds;
            }
        }
        Ok(())
    }
}

text_form!(Period, "period", Period::RULE);

/// Which Kubernetes version a cluster gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KubernetesVersion {
    /// The newest that the cloud offers.
    Latest,
    /// The newest patch of a minor version: `v1.34`.
    Minor(u32, u32),
    /// This version and no other: `v1.34.1`.
    Exact(u32, u32, u32),
}

impl KubernetesVersion {
    const RULE: &'static str =
        "`latest`, a minor version such as `v1.34`, or a version such as `v1.34.1`";

    /// Whether an offered version such as `v1.34.1` is one that this asks for.
    pub fn admits(self, offered: &str) -> bool {
        match (self, offered.parse()) {
            (Self::Latest, Ok(Self::Exact(..))) => true,
            (Self::Minor(a, b), Ok(Self::Exact(x, y, _))) => (a, b) == (x, y),
            (Self::Exact(..), Ok(other)) => self == other,
            _ => false,
        }
    }
}

impl FromStr for KubernetesVersion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("Kubernetes version", Self::RULE, text);
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let numbers: Vec<u32> = text
            .strip_prefix('v')
            .ok_or_else(error)?
            .split('.')
            .map(|part| part.parse().map_err(|_| error()))
            .collect::<Result<_, _>>()?;
        match numbers.as_slice() {
            [major, minor] => Ok(Self::Minor(*major, *minor)),
            [major, minor, patch] => Ok(Self::Exact(*major, *minor, *patch)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Minor(major, minor) => write!(f, "v{major}.{minor}"),
            Self::Exact(major, minor, patch) => write!(f, "v{major}.{minor}.{patch}"),
        }
    }
}

text_form!(
    KubernetesVersion,
    "kubernetes-version",
    KubernetesVersion::RULE
);

/// The compartment that holds the deployment's resources.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CompartmentRef {
    /// A compartment by its name directly under the tenancy: made when absent.
    Name(String),
    /// An existing compartment: used, never deleted.
    Id(Ocid),
}

impl CompartmentRef {
    const RULE: &'static str =
        "an OCID, or a name of letters, digits, `.`, `_` and `-`, 1 to 100 characters";
}

impl FromStr for CompartmentRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.starts_with("ocid1.") {
            return text.parse().map(Self::Id);
        }
        let valid = (1..=100).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if valid {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(NameError::new("compartment", Self::RULE, text))
        }
    }
}

impl fmt::Display for CompartmentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => id.fmt(f),
        }
    }
}

text_form!(CompartmentRef, "compartment", CompartmentRef::RULE);

/// Applies the rule of a value type by its `format` in the JSON Schema, as
/// [`crate::names::check_format`] does for names.
pub fn check_format(format: &str, text: &str) -> Result<(), NameError> {
    match format {
        "cidr" => text.parse::<Cidr>().map(drop),
        "period" => text.parse::<Period>().map(drop),
        "kubernetes-version" => text.parse::<KubernetesVersion>().map(drop),
        "compartment" => text.parse::<CompartmentRef>().map(drop),
        _ => crate::names::check_format(format, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_and_overlap() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        assert!(cidr("10.0.0.0/16").contains(cidr("10.0.255.0/24")));
        assert!(!cidr("10.0.0.0/16").contains(cidr("10.1.0.0/24")));
        assert!(cidr("0.0.0.0/0").contains(cidr("255.255.255.255/32")));
        assert!(cidr("10.0.0.0/28").overlaps(cidr("10.0.0.8/29")));
        assert!(!cidr("10.0.0.0/28").overlaps(cidr("10.0.0.16/28")));
        for bad in [
            "10.0.0.1/16",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "x/8",
            "::/0",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn periods_read_and_print() {
        for (text, seconds, printed) in [
            ("90s", 90, "1m30s"),
            ("2h", 7200, "2h"),
            ("1h30m", 5400, "1h30m"),
            ("1d", 86_400, "1d"),
            ("0s", 0, "0s"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.0.as_secs(), seconds);
            assert_eq!(period.to_string(), printed);
        }
        for bad in [
            "",
            "5",
            "h",
            "1m1h",
            "1s1s",
            "-1s",
            "1.5h",
            "99999999999999999999d",
        ] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_admit_what_is_offered() {
        for (wanted, offered, admits) in [
            ("latest", "v1.34.1", true),
            ("v1.34", "v1.34.1", true),
            ("v1.34", "v1.33.4", false),
            ("v1.34.1", "v1.34.1", true),
            ("v1.34.1", "v1.34.2", false),
            ("latest", "nonsense", false),
        ] {
            let wanted: KubernetesVersion = wanted.parse().unwrap();
            assert_eq!(wanted.admits(offered), admits, "{wanted} {offered}");
        }
    }

    #[test]
    fn a_compartment_is_a_name_or_an_ocid() {
        assert!(matches!("todoctl".parse(), Ok(CompartmentRef::Name(_))));
        assert!(matches!(
            "ocid1.compartment.oc1..aaaa".parse(),
            Ok(CompartmentRef::Id(_))
        ));
        assert!("ocid1.compartment".parse::<CompartmentRef>().is_err());
        assert!("my team".parse::<CompartmentRef>().is_err());
    }
}

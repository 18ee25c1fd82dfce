//! Which version and which image: read from names, because the service offers
//! no other way. Its filters are hints only, so names are checked here.

use super::{NodePoolOptions, NodeSource};

/// The processor architecture of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Arm, as in shapes with `A1`.
    Aarch64,
    /// Intel and AMD.
    X86_64,
}

impl Architecture {
    /// The architecture of a shape, by its name.
    pub fn of_shape(shape: &str) -> Self {
        // `A10` is a graphics processor when the series says so.
        let arm = !shape.contains(".GPU.")
            && shape.split('.').any(|part| {
                part.strip_prefix('A')
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            });
        if arm { Self::Aarch64 } else { Self::X86_64 }
    }

    /// The service's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aarch64 => "AARCH64",
            Self::X86_64 => "X86_64",
        }
    }
}

/// The newest of the versions offered that is `wanted`: `1.34` allows any
/// patch of it, nothing allows all.
pub fn newest_version<'a>(offered: &'a [String], wanted: Option<&str>) -> Option<&'a str> {
    let wanted: Vec<&str> = match wanted {
        Some(text) => text.trim_start_matches('v').split('.').collect(),
        None => Vec::new(),
    };
    offered
        .iter()
        .filter(|v| {
            let parts: Vec<&str> = v.trim_start_matches('v').split('.').collect();
            parts.starts_with(&wanted)
        })
        .filter_map(|v| Some((semver::Version::parse(v.trim_start_matches('v')).ok()?, v)))
        .max_by(|a, b| a.0.cmp(&b.0))
        .map(|(_, v)| v.as_str())
}

impl NodePoolOptions {
    /// The newest Oracle Linux image for the architecture and the version.
    pub fn newest_image(
        &self,
        architecture: Architecture,
        kubernetes_version: &str,
    ) -> Option<&NodeSource> {
        let version = kubernetes_version.trim_start_matches('v');
        self.sources
            .iter()
            .filter(|source| source.source_type == "IMAGE")
            .filter_map(|source| Some((ImageName::parse(&source.source_name)?, source)))
            .filter(|(name, _)| name.architecture == architecture && name.kubernetes == version)
            .max_by_key(|(name, _)| (name.date, name.build))
            .map(|(_, source)| source)
    }
}

/// `Oracle-Linux-8.10-aarch64-2025.09.16-0-OKE-1.34.1-1191` taken apart.
#[derive(Debug, PartialEq, Eq)]
struct ImageName<'a> {
    architecture: Architecture,
    date: [u16; 3],
    kubernetes: &'a str,
    build: u64,
}

impl<'a> ImageName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (system, oke) = name.split_once("-OKE-")?;
        let (kubernetes, build) = oke.split_once('-')?;
        let parts: Vec<&str> = system.strip_prefix("Oracle-Linux-")?.split('-').collect();
        // Images for graphics processors carry drivers that nothing here needs.
        if parts.contains(&"GPU") {
            return None;
        }
        Some(Self {
            architecture: if parts.contains(&"aarch64") {
                Architecture::Aarch64
            } else {
                Architecture::X86_64
            },
            date: parts.iter().find_map(|part| date(part))?,
            kubernetes,
            build: build.parse().ok()?,
        })
    }
}

fn date(text: &str) -> Option<[u16; 3]> {
    let numbers: Option<Vec<u16>> = text.split('.').map(|n| n.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_newest_image_that_fits_is_chosen() {
        let names = [
            "Oracle-Linux-8.10-aarch64-2025.09.16-0-OKE-1.34.1-1191",
            "Oracle-Linux-8.10-aarch64-2025.10.02-0-OKE-1.34.1-1203",
            "Oracle-Linux-8.10-aarch64-2025.10.02-0-OKE-1.34.1-999",
            "Oracle-Linux-8.10-aarch64-2025.12.31-0-OKE-1.33.1-1300",
            "Oracle-Linux-8.10-2025.11.30-0-OKE-1.34.1-1250",
            "Oracle-Linux-8.10-Gen2-GPU-2025.12.30-0-OKE-1.34.1-1260",
            "Ubuntu-22.04-aarch64-2026.01.01-0-OKE-1.34.1-1",
            "Oracle-Linux-9-aarch64-2026.01.01-0",
        ];
        let source = |name: &&str| NodeSource {
            source_type: "IMAGE".into(),
            source_name: (*name).to_owned(),
            image_id: format!("id of {name}"),
        };
        let options = NodePoolOptions {
            sources: names.iter().map(source).collect(),
            ..NodePoolOptions::default()
        };
        let pick = |architecture, version| {
            let image = options.newest_image(architecture, version)?;
            Some(image.source_name.as_str())
        };
        assert_eq!(pick(Architecture::Aarch64, "v1.34.1"), Some(names[1]));
        assert_eq!(pick(Architecture::X86_64, "1.34.1"), Some(names[4]));
        assert_eq!(pick(Architecture::X86_64, "v1.33.1"), None);
        // 1.3 is not 1.33.
        assert_eq!(pick(Architecture::Aarch64, "v1.3"), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let offered = ["v1.33.2", "v1.34.9", "v1.34.10", "v1.4.99"].map(str::to_owned);
        let cases = [
            (None, Some("v1.34.10")),
            (Some("1.34"), Some("v1.34.10")),
            (Some("v1.33"), Some("v1.33.2")),
            (Some("v1.34.9"), Some("v1.34.9")),
            (Some("1.3"), None),
        ];
        for (wanted, expected) in cases {
            assert_eq!(newest_version(&offered, wanted), expected, "{wanted:?}");
        }
    }

    #[test]
    fn shapes_tell_their_architecture() {
        let cases = [
            ("VM.Standard.A1.Flex", Architecture::Aarch64),
            ("BM.Standard.A4.48", Architecture::Aarch64),
            ("VM.Standard.E4.Flex", Architecture::X86_64),
            ("VM.GPU.A10.1", Architecture::X86_64),
        ];
        for (shape, architecture) in cases {
            assert_eq!(Architecture::of_shape(shape), architecture, "{shape}");
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_the_parser_panic(name in "(Oracle-Linux-)?[0-9a-zA-Z.-]{0,40}(-OKE-)?[0-9.-]{0,12}") {
            let _ = ImageName::parse(&name);
        }
    }
}

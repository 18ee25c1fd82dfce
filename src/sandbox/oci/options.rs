//! What Container Engine offers: Kubernetes versions, node shapes and worker
//! images.

use serde_json::{Value, json};

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::ledger::{Kind, Ledger};

/// The Kubernetes versions on offer, oldest first.
pub(super) const VERSIONS: [&str; 5] = ["v1.32.1", "v1.32.10", "v1.33.1", "v1.34.1", "v1.34.2"];

/// A node shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Its name.
    pub name: &'static str,
    /// The processors' architecture as image names write it.
    pub arch: Arch,
    /// The least and the most OCPUs; equal for fixed shapes.
    pub ocpus: (u32, u32),
    /// The least and the most memory in GB; equal for fixed shapes.
    pub memory: (u32, u32),
    /// `ALWAYS_FREE`, `LIMITED_FREE` or `PAID`.
    pub billing: &'static str,
    /// The names of the limits on OCPUs and memory.
    pub limits: (&'static str, &'static str),
}

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arch {
    /// 64-bit Arm.
    Arm,
    /// 64-bit x86.
    X86,
}

impl Arch {
    /// As Kubernetes writes it.
    pub(super) fn kubernetes(self) -> &'static str {
        match self {
            Self::Arm => "arm64",
            Self::X86 => "amd64",
        }
    }
}

/// The shapes on offer.
pub(super) const SHAPES: [Shape; 4] = [
    Shape {
        name: "VM.Standard.A1.Flex",
        arch: Arch::Arm,
        ocpus: (1, 80),
        memory: (1, 512),
        billing: "LIMITED_FREE",
        limits: ("standard-a1-core-count", "standard-a1-memory-count"),
    },
    Shape {
        name: "VM.Standard.A2.Flex",
        arch: Arch::Arm,
        ocpus: (1, 78),
        memory: (1, 946),
        billing: "PAID",
        limits: ("standard-a2-core-count", "standard-a2-memory-count"),
    },
    Shape {
        name: "VM.Standard.E4.Flex",
        arch: Arch::X86,
        ocpus: (1, 114),
        memory: (1, 1760),
        billing: "PAID",
        limits: ("standard-e4-core-count", "standard-e4-memory-count"),
    },
    Shape {
        name: "VM.Standard.E2.1.Micro",
        arch: Arch::X86,
        ocpus: (1, 1),
        memory: (1, 1),
        billing: "ALWAYS_FREE",
        limits: ("standard-e2-micro-core-count", "standard-e2-memory-count"),
    },
];

/// A worker image.
#[derive(Debug, Clone)]
pub(super) struct Image {
    /// Its OCID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The architecture that it boots on.
    pub arch: Arch,
    /// The Kubernetes version that it holds, with the `v`.
    pub version: &'static str,
}

/// The shape of a name.
pub(super) fn shape(name: &str) -> Option<Shape> {
    SHAPES.into_iter().find(|shape| shape.name == name)
}

/// A version as numbers that compare.
pub(super) fn number(version: &str) -> Vec<u32> {
    version
        .trim_start_matches('v')
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// Fails for a version that is not on offer.
pub(super) fn check_version(version: &str) -> Result<(), ApiError> {
    if VERSIONS.contains(&version) {
        return Ok(());
    }
    let known = VERSIONS.join(", ");
    let why = format!("kubernetesVersion {version} is not supported; supported are {known}");
    Err(ApiError::invalid(why))
}

/// The versions that a cluster can be upgraded to: up to one minor on.
pub(super) fn upgrades(version: &str) -> Vec<&'static str> {
    let here = number(version);
    let minor = here.get(1).copied().unwrap_or(0);
    VERSIONS
        .into_iter()
        .filter(|other| number(other) > here && number(other).get(1) <= Some(&(minor + 1)))
        .collect()
}

/// The worker images on offer, the older builds first.
pub(super) fn images(books: &Ledger<'_, '_>) -> Vec<Image> {
    let mut images = Vec::new();
    for version in VERSIONS {
        let plain = version.trim_start_matches('v');
        for (date, build) in [("2025.07.21-0", 1093), ("2025.09.16-0", 1191)] {
            for (infix, arch) in [
                ("", Arch::X86),
                ("Gen2-GPU-", Arch::X86),
                ("aarch64-", Arch::Arm),
            ] {
                let name = format!("Oracle-Linux-8.10-{infix}{date}-OKE-{plain}-{build}");
                let unique = books.world.letters(&format!("image {name}"), 56);
                images.push(Image {
                    id: format!("ocid1.image.oc1.eu-frankfurt-1.aaaa{unique}"),
                    name,
                    arch,
                    version,
                });
            }
        }
    }
    images
}

/// `GetClusterOptions`.
pub(super) fn of_cluster(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    if call.id() != "all" {
        books.get_live(Kind::Cluster, call.id())?;
    }
    Ok(Answer::ok(json!({
        "kubernetesVersions": VERSIONS,
        "clusterPodNetworkOptions": [
            {"cniType": "OCI_VCN_IP_NATIVE"},
            {"cniType": "FLANNEL_OVERLAY"},
        ],
    })))
}

/// `GetNodePoolOptions`.
pub(super) fn of_node_pool(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    if call.id() != "all" {
        books.get_live(Kind::Cluster, call.id())?;
    }
    let arch = match call.request.param("nodePoolOsArch") {
        Some("AARCH64") => Some(Arch::Arm),
        Some("X86_64") => Some(Arch::X86),
        Some(other) => {
            let why = format!("nodePoolOsArch must be AARCH64 or X86_64, not {other}");
            return Err(ApiError::invalid(why));
        }
        None => None,
    };
    let version = call.request.param("nodePoolK8sVersion");
    let mut images = images(books);
    images.retain(|image| {
        arch.is_none_or(|arch| image.arch == arch)
            && version.is_none_or(|version| {
                image.version.trim_start_matches('v') == version.trim_start_matches('v')
            })
    });
    // The real service's order is no promise either.
    images.sort_by_cached_key(|image| books.world.draw(&format!("order {}", image.name)));
    let sources: Vec<Value> = images
        .iter()
        .map(|image| json!({"sourceType": "IMAGE", "imageId": image.id, "sourceName": image.name}))
        .collect();
    let names: Vec<_> = images.iter().map(|image| image.name.as_str()).collect();
    let shapes: Vec<_> = SHAPES
        .iter()
        .filter(|shape| arch.is_none_or(|arch| shape.arch == arch))
        .map(|shape| shape.name)
        .collect();
    Ok(Answer::ok(json!({
        "kubernetesVersions": VERSIONS,
        "shapes": shapes,
        "images": names,
        "sources": sources,
    })))
}

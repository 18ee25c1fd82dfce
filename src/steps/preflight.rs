//! What can be known to fail before anything is applied: images that do not
//! exist, or not for the processors of the nodes.

use std::collections::BTreeSet;

use super::access::Access;
use super::cx::Cx;
use crate::clock::Clock;
use crate::finding::Finding;
use crate::helm::repo::http::Http;
use crate::images::{self, Checked, Registries};
use crate::plan::Plan;

/// The step that starts the images.
const RELEASE: &str = "app/release";

/// Asks the registries for the images of the services when a plan is about to
/// start them. Errors are images that cannot run; warnings are those of which
/// nobody knows, for instance because the registry does not answer.
pub async fn images(cx: &Cx, clock: &Clock, plan: &Plan) -> Vec<Finding> {
    if !plan.pending().any(|step| step.id.as_str() == RELEASE) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for platform in platforms(cx, clock, plan).await {
        for checked in look(cx, clock, &platform).await {
            findings.extend(checked.finding(&platform));
        }
    }
    findings
}

async fn look(cx: &Cx, clock: &Clock, platform: &str) -> Vec<Checked> {
    let wanted = cx.profile.app.services.iter();
    let wanted: BTreeSet<&str> = wanted.map(|service| service.image.as_str()).collect();
    let registry = &cx.profile.endpoints.registry;
    if cx.profile.sandbox.is_some() && registry.is_none() {
        let rehearsed = wanted.into_iter();
        return rehearsed.map(|i| images::rehearse(i, platform)).collect();
    }
    let unknown = |why: String| -> Vec<Checked> {
        let all = wanted.iter();
        all.map(|image| Checked::unknown(image, &why)).collect()
    };
    let mirror = match registry.as_deref().map(str::parse).transpose() {
        Ok(mirror) => mirror,
        Err(error) => return unknown(format!("`endpoints.registry` is no URL: {error}")),
    };
    let fetch = match Http::new(clock.clone()) {
        Ok(fetch) => fetch,
        Err(error) => return unknown(error.to_string()),
    };
    let registries = Registries {
        fetch: &fetch,
        mirror,
        credentials: &|_| None,
    };
    images::look(wanted.iter().copied(), platform, &registries).await
}

/// The platforms of the nodes: by their shape where todoctl makes them, or
/// else as they say themselves. A cluster without nodes has none.
async fn platforms(cx: &Cx, clock: &Clock, plan: &Plan) -> BTreeSet<String> {
    if let Some(cloud) = cx.cloud_if_any() {
        return [of_shape(&cloud.profile.nodes.shape).to_owned()].into();
    }
    let access = plan
        .steps
        .iter()
        .find(|step| step.id.as_str() == "cluster/access");
    let access = access.and_then(|step| step.live.clone());
    let access: Option<Access> = access.and_then(|live| serde_json::from_value(live).ok());
    let Some(access) = access else {
        return BTreeSet::new();
    };
    let nodes = async {
        let kube = access.connect(cx, clock).await.ok()?;
        kube.nodes().await.ok()
    };
    let nodes = nodes.await.unwrap_or_default();
    let all = nodes.into_iter().filter_map(|node| node.platform);
    all.collect()
}

/// Oracle's Arm shapes begin with an A.
fn of_shape(shape: &str) -> &'static str {
    let family = shape.rsplit("Standard").next().unwrap_or_default();
    match family.trim_start_matches('.').starts_with('A') {
        true => "linux/arm64",
        false => "linux/amd64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_their_processors() {
        for (shape, platform) in [
            ("VM.Standard.A1.Flex", "linux/arm64"),
            ("VM.Standard.A2.Flex", "linux/arm64"),
            ("BM.Standard.A1.160", "linux/arm64"),
            ("VM.Standard.E5.Flex", "linux/amd64"),
            ("VM.Standard3.Flex", "linux/amd64"),
        ] {
            assert_eq!(of_shape(shape), platform, "{shape}");
        }
    }
}

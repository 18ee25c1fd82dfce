//! The app's secrets and the secrets API. Values are compared by their
//! fingerprints and shown nowhere.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use http::Method;

use crate::render::APP_SECRETS;
use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::scope::Scope;
use crate::verify::world::World;

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "secrets.present",
        suite: Suite::Secrets,
        title: "the cluster has every secret of the profile",
        means: "A key that a service reads is missing or empty. Pods that need it do not start.",
        mend: "todoctl up --only platform",
        probe: Probe::Look(present),
    },
    Check {
        code: "secrets.api",
        suite: Suite::Secrets,
        title: "the secrets API returns every key",
        means: "The app cannot read its secrets through Dapr: the store is not loaded, or the pod's service account may not read the Secret.",
        mend: "todoctl logs --sidecar --grep secret",
        probe: Probe::Ask(|world| api(world).boxed()),
    },
    Check {
        code: "secrets.values",
        suite: Suite::Secrets,
        title: "the secrets API returns the cluster's values",
        means: "The sidecar answers with other values than the Secret holds: it reads another namespace or another store.",
        mend: "todoctl secrets list",
        probe: Probe::Ask(|world| values(world).boxed()),
    },
    Check {
        code: "secrets.unknown",
        suite: Suite::Secrets,
        title: "a secret that the app has no right to is refused",
        means: "The app can read secrets that are none of its business, with everything that they open.",
        mend: "kubectl get rolebindings -A -o wide",
        probe: Probe::Ask(|world| unknown(world).boxed()),
    },
];

fn present(scope: &Scope) -> Found {
    let asked = format!("keys of Secret {}/{APP_SECRETS}", scope.namespace());
    if scope.profile.secrets.is_empty() {
        return Err(Verdict::skip("the profile has no secrets"));
    }
    let Some(secret) = scope.find("Secret", scope.namespace(), APP_SECRETS)? else {
        return Err(
            Verdict::fail(format!("the Secret {APP_SECRETS} is missing")).saw(asked, "not found"),
        );
    };
    let has = |key: &str| {
        let found = secret.body().pointer(&format!("/data/{key}"));
        found
            .and_then(|v| v.as_str())
            .is_some_and(|text| !text.is_empty())
    };
    let keys: Vec<&str> = scope
        .profile
        .secrets
        .keys()
        .map(crate::names::SecretName::as_str)
        .collect();
    let missing: Vec<&str> = keys.iter().copied().filter(|key| !has(key)).collect();
    Ok(match missing.is_empty() {
        true => Verdict::pass(format!("{} keys", keys.len())).saw(asked, keys.join(", ")),
        false => Verdict::fail(format!("missing or empty: {}", missing.join(", ")))
            .saw(asked, format!("without {}", missing.join(", "))),
    })
}

/// What the API returns: fingerprints by key.
async fn returned(world: &World) -> Result<(String, BTreeMap<String, String>), Verdict> {
    if world.scope.profile.secrets.is_empty() {
        return Err(Verdict::skip("the profile has no secrets"));
    }
    let sidecar = world.sidecar().await?;
    let store = &world.scope.profile.dapr.components.secrets;
    let path = format!("/v1.0/secrets/{store}/{APP_SECRETS}");
    let asked = format!("GET {path} at the sidecar of {}", sidecar.pod);
    let answer = world.ask(sidecar, Method::GET, &path, &[], "").await?;
    if !answer.status.is_success() {
        // A refusal holds no values, and its words are the best there is.
        return Err(Verdict::fail(format!(
            "the secrets API answers {}",
            answer.status.as_u16()
        ))
        .saw(asked, answer.shown()));
    }
    let json = answer.json();
    let all = json.as_object().into_iter().flatten();
    let prints =
        all.filter_map(|(key, value)| Some((key.clone(), fingerprint(value.as_str()?.as_bytes()))));
    Ok((asked, prints.collect()))
}

fn fingerprint(value: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, value);
    digest
        .as_ref()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn api(world: &World) -> Found {
    let (asked, prints) = returned(world).await?;
    let wanted = world
        .scope
        .profile
        .secrets
        .keys()
        .map(crate::names::SecretName::as_str);
    let missing: Vec<&str> = wanted.filter(|key| !prints.contains_key(*key)).collect();
    let keys: Vec<&str> = prints.keys().map(String::as_str).collect();
    let shown = format!("keys {}", keys.join(", "));
    Ok(match missing.is_empty() {
        true => Verdict::pass(format!("{} keys", keys.len())).saw(asked, shown),
        false => Verdict::fail(format!("not returned: {}", missing.join(", "))).saw(asked, shown),
    })
}

async fn values(world: &World) -> Found {
    let (asked, prints) = returned(world).await?;
    let secret = world
        .scope
        .find("Secret", world.scope.namespace(), APP_SECRETS)?;
    let data = secret.and_then(|secret| secret.body().get("data")?.as_object());
    let Some(data) = data else {
        return Err(
            Verdict::fail(format!("the Secret {APP_SECRETS} is missing"))
                .saw(asked, "nothing to compare with"),
        );
    };
    let differ: Vec<&str> = data
        .iter()
        .filter_map(|(key, value)| {
            let held = fingerprint(&STANDARD.decode(value.as_str()?).ok()?);
            let given = prints.get(key)?;
            (*given != held).then_some(key.as_str())
        })
        .collect();
    Ok(match differ.is_empty() {
        true => Verdict::pass(format!("{} fingerprints agree", prints.len()))
            .saw(asked, "the same fingerprints"),
        false => Verdict::fail(format!(
            "other values than the cluster's: {}",
            differ.join(", ")
        ))
        .saw(
            asked,
            format!("other fingerprints for {}", differ.join(", ")),
        ),
    })
}

async fn unknown(world: &World) -> Found {
    let sidecar = world.sidecar().await?;
    let store = &world.scope.profile.dapr.components.secrets;
    // The root of all identities, in another namespace.
    let name = crate::dapr::TRUST_BUNDLE;
    let namespace = &world.scope.profile.dapr.namespace;
    let path = format!("/v1.0/secrets/{store}/{name}?metadata.namespace={namespace}");
    let asked = format!("GET {path} at the sidecar of {}", sidecar.pod);
    let answer = world.ask(sidecar, Method::GET, &path, &[], "").await?;
    Ok(match answer.status.as_u16() {
        // What it answers is a secret: only the status is shown.
        200..=299 => Verdict::fail(format!("the app may read {namespace}/{name}"))
            .saw(asked, answer.status.to_string()),
        403 | 500 => Verdict::pass(format!("refused with {}", answer.status.as_u16()))
            .saw(asked, answer.shown()),
        other => {
            Verdict::fail(format!("the secrets API answers {other}")).saw(asked, answer.shown())
        }
    })
}

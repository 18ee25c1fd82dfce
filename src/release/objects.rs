//! The objects of a manifest: read from its text, put into the release's
//! namespace, and marked as the release's.

use serde_json::{Map, Value, json};

use super::error::ReleaseError;
use super::record::go_numbers;
use crate::helm::manifest::{Generation, split};
use crate::helm::values::to_json;
use crate::helm::yaml11;
use crate::k8s::{K8sError, Kube};
use crate::manifest::{MANAGED_BY_LABEL, Manifest};

/// The annotations that name an object's release.
const RELEASE_NAME: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
const MANAGED_BY: &str = "Helm";

/// Identity of an object across versions of its API group.
pub(super) type Identity = (String, String, Option<String>, String);

/// Group, kind, namespace and name.
pub(super) fn identity(object: &Manifest) -> Identity {
    (
        object.group().to_owned(),
        object.kind().to_owned(),
        object.namespace().map(str::to_owned),
        object.name().to_owned(),
    )
}

/// Reads every object of a text with documents; lists are taken apart. `path`
/// names the text in errors, where its documents do not name their template.
pub(super) fn parse(text: &str, path: &str) -> Result<Vec<Manifest>, ReleaseError> {
    let mut objects = Vec::new();
    for document in split(text, Generation::Current) {
        let body = go_numbers(to_json(&yaml11::parse(document.as_bytes())?));
        if body.is_null() {
            continue;
        }
        let source = document
            .lines()
            .find_map(|line| line.strip_prefix("# Source: "))
            .unwrap_or(path);
        collect(body, source, &mut objects)?;
    }
    Ok(objects)
}

fn collect(body: Value, path: &str, out: &mut Vec<Manifest>) -> Result<(), ReleaseError> {
    let kind = body.get("kind").and_then(Value::as_str).unwrap_or_default();
    if kind.ends_with("List")
        && let Some(Value::Array(items)) = body.get("items")
    {
        for item in items.clone() {
            collect(item, path, out)?;
        }
        return Ok(());
    }
    let object = Manifest::new(body).map_err(|source| ReleaseError::Object {
        path: path.to_owned(),
        source,
    })?;
    out.push(object);
    Ok(())
}

/// Puts objects that live in a namespace and name none into the release's.
/// Kinds that nobody knows are an error, unless `lenient`: then they are left
/// out, as nothing of them can exist.
pub(super) async fn at_home(
    kube: &Kube,
    objects: Vec<Manifest>,
    namespace: &str,
    lenient: bool,
) -> Result<Vec<Manifest>, ReleaseError> {
    // Kinds that the manifest itself defines are known before they are served.
    for object in &objects {
        if object.kind() == "CustomResourceDefinition" {
            kube.learn(object).await;
        }
    }
    let mut placed = Vec::new();
    for object in objects {
        let namespaced = kube.is_namespaced(object.api_version(), object.kind());
        match namespaced.await {
            Ok(true) if object.namespace().is_none() => {
                placed.push(with(&object, |metadata| {
                    metadata.insert("namespace".to_owned(), json!(namespace));
                })?);
            }
            Ok(_) => placed.push(object),
            Err(K8sError::UnknownKind { .. }) if lenient => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(placed)
}

/// Marks an object as the release's. The stored manifest stays without it.
pub(super) fn owned(
    object: &Manifest,
    name: &str,
    namespace: &str,
) -> Result<Manifest, ReleaseError> {
    with(object, |metadata| {
        set(metadata, "labels", MANAGED_BY_LABEL, MANAGED_BY);
        set(metadata, "annotations", RELEASE_NAME, name);
        set(metadata, "annotations", RELEASE_NAMESPACE, namespace);
    })
}

fn set(metadata: &mut Map<String, Value>, field: &str, key: &str, value: &str) {
    let entries = metadata.entry(field).or_insert_with(|| json!({}));
    if !entries.is_object() {
        *entries = json!({});
    }
    entries[key] = json!(value);
}

fn with(
    object: &Manifest,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<Manifest, ReleaseError> {
    let path = object.to_string();
    let mut body = object.body().clone();
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        change(metadata);
    }
    Manifest::new(body).map_err(|source| ReleaseError::Object { path, source })
}

fn annotation<'a>(object: &'a Manifest, key: &str) -> Option<&'a str> {
    let annotations = object.body().pointer("/metadata/annotations")?;
    annotations.get(key).and_then(Value::as_str)
}

/// What a live object lacks to be the release's, in helm's words; empty when
/// it is.
pub(super) fn lacks(live: &Manifest, name: &str, namespace: &str) -> String {
    let mut wrong = Vec::new();
    let mut check = |what: &str, key: &str, wanted: &str, found: Option<&str>| match found {
        None => wrong.push(format!(
            "{what} validation error: missing key \"{key}\": must be set to \"{wanted}\""
        )),
        Some(found) if found != wanted => wrong.push(format!(
            "{what} validation error: key \"{key}\" must equal \"{wanted}\": current value is \
             \"{found}\""
        )),
        Some(_) => {}
    };
    let label = live.label(MANAGED_BY_LABEL);
    check("label", MANAGED_BY_LABEL, MANAGED_BY, label);
    let of_name = annotation(live, RELEASE_NAME);
    check("annotation", RELEASE_NAME, name, of_name);
    let of_namespace = annotation(live, RELEASE_NAMESPACE);
    check("annotation", RELEASE_NAMESPACE, namespace, of_namespace);
    wrong.join("; ")
}

/// Whether a live object names the release as its own.
pub(super) fn belongs(live: &Manifest, name: &str, namespace: &str) -> bool {
    annotation(live, RELEASE_NAME) == Some(name)
        && annotation(live, RELEASE_NAMESPACE) == Some(namespace)
}

/// Whether an object asks to be left when its release lets it go.
pub(super) fn is_kept(object: &Manifest) -> bool {
    let policy = annotation(object, "helm.sh/resource-policy");
    policy.is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "---\n# Source: c/templates/a.yaml\napiVersion: v1\nkind: List\nitems:\n\
        - apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n\
        - apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: b}\n\
        ---\n# only a comment\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\n\
        spec:\n  replicas: 3\n";

    #[test]
    fn lists_are_taken_apart_and_comments_passed_over() {
        let objects = parse(TEXT, "x").unwrap();
        let names: Vec<String> = objects.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["ConfigMap a", "ConfigMap b", "Deployment d"]);
        assert_eq!(objects[2].body()["spec"].to_string(), r#"{"replicas":3}"#);
    }

    #[test]
    fn an_object_without_a_name_is_told_with_its_template() {
        let text = "# Source: c/templates/x.yaml\napiVersion: v1\nkind: Pod\n";
        let error = parse(text, "?").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use a document of c/templates/x.yaml"
        );
    }

    #[test]
    fn ownership_is_told_in_helms_words() {
        let object = parse(TEXT, "x").unwrap().remove(0);
        let missing = lacks(&object, "r", "n");
        assert!(
            missing.starts_with(
                "label validation error: missing key \"app.kubernetes.io/managed-by\": must be \
                 set to \"Helm\"; annotation"
            ),
            "{missing}"
        );
        let ours = owned(&object, "r", "n").unwrap();
        assert_eq!(lacks(&ours, "r", "n"), "");
        assert!(belongs(&ours, "r", "n") && !belongs(&ours, "other", "n"));
        assert!(
            lacks(&ours, "other", "n").contains("must equal \"other\": current value is \"r\"")
        );
    }
}

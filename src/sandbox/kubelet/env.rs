//! A container's environment and command line: references to Secrets,
//! `ConfigMaps` and the pod itself resolved, variables expanded.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::sandbox::cache::Cache;
use crate::sandbox::controllers::resources::millis;
use crate::sandbox::kind::{Kind, items, key, text};

/// The environment of a container, or the kubelet's sentence about what is
/// missing.
pub fn environment(
    cache: &Cache,
    pod: &Value,
    container: &Value,
) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::new();
    services(cache, pod, &mut env);
    for source in items(container, "/envFrom") {
        from_source(cache, pod, source, &mut env)?;
    }
    for variable in items(container, "/env") {
        let name = text(variable, "/name").to_owned();
        let value = match variable.get("valueFrom").filter(|from| !from.is_null()) {
            None => Some(expand(text(variable, "/value"), &env)),
            Some(from) => reference(cache, pod, container, from)?,
        };
        if let Some(value) = value {
            env.insert(name, value);
        }
    }
    let hostname = text(pod, "/spec/hostname");
    let hostname = if hostname.is_empty() {
        text(pod, "/metadata/name")
    } else {
        hostname
    };
    env.entry("HOSTNAME".to_owned())
        .or_insert_with(|| hostname.to_owned());
    Ok(env)
}

/// Command and arguments of a container, variables expanded.
pub fn arguments(container: &Value, env: &BTreeMap<String, String>) -> Vec<String> {
    let words = items(container, "/command")
        .iter()
        .chain(items(container, "/args"));
    words
        .filter_map(Value::as_str)
        .map(|word| expand(word, env))
        .collect()
}

/// The variables that tell of the API server and of Services.
fn services(cache: &Cache, pod: &Value, env: &mut BTreeMap<String, String>) {
    let namespace = text(pod, "/metadata/namespace");
    let links = pod.pointer("/spec/enableServiceLinks") != Some(&json!(false));
    let master = cache.get(Kind::Services, "default/kubernetes");
    let own = if links {
        cache.list(Kind::Services, namespace)
    } else {
        Vec::new()
    };
    for service in own.iter().chain(&master) {
        let address = text(service, "/spec/clusterIP");
        if address.is_empty() || address == "None" {
            continue;
        }
        let name = text(service, "/metadata/name")
            .to_uppercase()
            .replace('-', "_");
        let port = &items(service, "/spec/ports")
            .first()
            .map_or(Value::Null, |port| port["port"].clone());
        env.insert(format!("{name}_SERVICE_HOST"), address.to_owned());
        env.insert(format!("{name}_SERVICE_PORT"), port.to_string());
        env.insert(format!("{name}_PORT"), format!("tcp://{address}:{port}"));
    }
}

/// Fields of an entry of `envFrom` that name an object.
const SOURCES: [(&str, Kind); 2] = [
    ("configMapRef", Kind::ConfigMaps),
    ("secretRef", Kind::Secrets),
];

/// Fields of `valueFrom` that name an object's entry.
const ENTRIES: [(&str, Kind); 2] = [
    ("configMapKeyRef", Kind::ConfigMaps),
    ("secretKeyRef", Kind::Secrets),
];

/// The objects that a container's environment refers to, by name.
pub fn references(container: &Value) -> Vec<(Kind, String)> {
    let named = |from: &Value, (field, kind): (&str, Kind)| {
        let name = text(from.get(field)?, "/name").to_owned();
        Some((kind, name))
    };
    let sources = items(container, "/envFrom").iter();
    let entries = items(container, "/env").iter();
    let entries = entries.filter_map(|variable| variable.get("valueFrom"));
    let sources = sources.flat_map(|from| SOURCES.into_iter().filter_map(move |s| named(from, s)));
    let entries = entries.flat_map(|from| ENTRIES.into_iter().filter_map(move |e| named(from, e)));
    sources.chain(entries).collect()
}

fn from_source(
    cache: &Cache,
    pod: &Value,
    source: &Value,
    env: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for (field, kind) in SOURCES {
        let Some(wanted) = source.get(field) else {
            continue;
        };
        let name = text(wanted, "/name");
        let Some(held) = cache.get(kind, &key(text(pod, "/metadata/namespace"), name)) else {
            if wanted["optional"] == true {
                continue;
            }
            return Err(missing(kind, name));
        };
        let prefix = text(source, "/prefix");
        for (key, value) in data(kind, &held) {
            let value = String::from_utf8_lossy(&value).into_owned();
            env.insert(format!("{prefix}{key}"), value);
        }
    }
    Ok(())
}

fn missing(kind: Kind, name: &str) -> String {
    format!("{} {name:?} not found", kind.name().to_lowercase())
}

/// The entries of a Secret or `ConfigMap`.
pub fn data(kind: Kind, object: &Value) -> Vec<(String, Vec<u8>)> {
    let entries = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    let decode = |value: &Value| {
        STANDARD
            .decode(value.as_str().unwrap_or_default())
            .unwrap_or_default()
    };
    let plain = |value: &Value| value.as_str().unwrap_or_default().as_bytes().to_vec();
    if kind == Kind::Secrets {
        return entries("data")
            .map(|(key, value)| (key.clone(), decode(value)))
            .collect();
    }
    entries("data")
        .map(|(key, value)| (key.clone(), plain(value)))
        .chain(entries("binaryData").map(|(key, value)| (key.clone(), decode(value))))
        .collect()
}

fn reference(
    cache: &Cache,
    pod: &Value,
    container: &Value,
    from: &Value,
) -> Result<Option<String>, String> {
    for (field, kind) in ENTRIES {
        let Some(wanted) = from.get(field) else {
            continue;
        };
        let (name, entry) = (text(wanted, "/name"), text(wanted, "/key"));
        let optional = wanted["optional"] == true;
        let namespace = text(pod, "/metadata/namespace");
        let Some(held) = cache.get(kind, &key(namespace, name)) else {
            return if optional {
                Ok(None)
            } else {
                Err(missing(kind, name))
            };
        };
        let found = data(kind, &held).into_iter().find(|(key, _)| key == entry);
        return match found {
            Some((_, value)) => Ok(Some(String::from_utf8_lossy(&value).into_owned())),
            None if optional => Ok(None),
            None => Err(format!(
                "couldn't find key {entry} in {} {namespace}/{name}",
                kind.name()
            )),
        };
    }
    if let Some(path) = from.pointer("/fieldRef/fieldPath").and_then(Value::as_str) {
        return Ok(Some(field(pod, path)));
    }
    if let Some(wanted) = from.get("resourceFieldRef") {
        return Ok(Some(resource(pod, container, wanted)));
    }
    Ok(None)
}

/// A field of a pod, by the downward API's path.
pub fn field(pod: &Value, path: &str) -> String {
    if let Some((map, key)) = path.split_once("['") {
        let map = format!("/{}", map.replace('.', "/"));
        let key = key.trim_end_matches("']");
        let value = pod.pointer(&map).and_then(|map| map.get(key));
        return value.and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    match path {
        "metadata.labels" | "metadata.annotations" => {
            let map = pod.pointer(&format!("/{}", path.replace('.', "/")));
            let map = map.and_then(Value::as_object).into_iter().flatten();
            let mut lines: Vec<String> = map.map(|(k, v)| format!("{k}={v}")).collect();
            lines.sort();
            lines.join("\n")
        }
        "status.podIPs" | "status.hostIPs" => {
            let list = items(pod, &format!("/{}", path.replace('.', "/")));
            let list: Vec<&str> = list.iter().map(|ip| text(ip, "/ip")).collect();
            list.join(",")
        }
        path => text(pod, &format!("/{}", path.replace('.', "/"))).to_owned(),
    }
}

/// A container's request or limit, in units of a divisor, rounded up.
pub fn resource(pod: &Value, container: &Value, wanted: &Value) -> String {
    let name = text(wanted, "/containerName");
    let named = items(pod, "/spec/containers")
        .iter()
        .find(|other| !name.is_empty() && text(other, "/name") == name);
    let container = named.unwrap_or(container);
    let (group, resource) = text(wanted, "/resource")
        .split_once('.')
        .unwrap_or_default();
    let of = |group: &str| {
        container
            .pointer(&format!("/resources/{group}"))
            .and_then(|all| all.get(resource))
            .map(millis)
    };
    let value = of(group).or_else(|| of("limits")).unwrap_or_default();
    let divisor = wanted
        .get("divisor")
        .map(millis)
        .filter(|divisor| *divisor > 0)
        .unwrap_or(1000);
    (value.div_euclid(divisor) + i64::from(value.rem_euclid(divisor) > 0)).to_string()
}

/// Replaces `$(NAME)` by the variable's value; `$$(NAME)` stays as `$(NAME)`,
/// and unknown names stay as they are.
pub fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        if let Some(escaped) = after.strip_prefix("$$") {
            out.push('$');
            rest = escaped;
            continue;
        }
        let name = after
            .strip_prefix("$(")
            .and_then(|after| after.split_once(')'));
        if let Some((name, after)) = name {
            match env.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
            rest = after.strip_prefix('$').unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_kubernetes_does() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (given, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(B)", "x1y$(B)"),
            ("$$(A)", "$(A)"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(given, &env), expected, "{given}");
        }
    }

    #[test]
    fn references_are_resolved_or_refused_in_the_kubelets_words() {
        let cache = Cache::default();
        cache.observe(
            Kind::Secrets,
            json!({"metadata": {"namespace": "n", "name": "s"}, "data": {"k": "djE="}}),
        );
        let pod = json!({
            "metadata": {"namespace": "n", "name": "p", "labels": {"app": "todo"}},
            "spec": {"nodeName": "node"},
        });
        let container = |from: Value| {
            json!({
                "env": [{"name": "X", "valueFrom": from}],
                "resources": {"limits": {"memory": "64Mi", "cpu": "250m"}},
            })
        };
        let secret = |name: &str, key: &str| json!({"secretKeyRef": {"name": name, "key": key}});
        let read = |from: Value| {
            environment(&cache, &pod, &container(from)).map(|env| env.get("X").cloned())
        };
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(read(secret("s", "k")), some("v1"));
        assert_eq!(
            read(secret("t", "k")),
            Err("secret \"t\" not found".to_owned())
        );
        assert_eq!(
            read(secret("s", "z")),
            Err("couldn't find key z in Secret n/s".to_owned())
        );
        let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
        assert_eq!(read(field("spec.nodeName")), some("node"));
        assert_eq!(read(field("metadata.labels['app']")), some("todo"));
        let memory = json!({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}});
        assert_eq!(read(memory), some("64"));
        let cpu = json!({"resourceFieldRef": {"resource": "limits.cpu"}});
        assert_eq!(read(cpu), some("1"));
    }
}

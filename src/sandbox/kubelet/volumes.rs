//! What volumes mount into containers: Secrets, `ConfigMaps`, tokens and the
//! pod's own fields, as files that follow their objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::env;
use crate::sandbox::api::{Api, ApiError};
use crate::sandbox::cache::Cache;
use crate::sandbox::kind::{Kind, items, key, text};
use crate::sandbox::programs::Files;

/// Where a pod's files come from. Tokens are asked for when the pod starts;
/// everything else is read from the cluster's objects whenever it is read.
#[derive(Debug)]
pub struct Volumes {
    cache: Arc<Cache>,
    namespace: String,
    pod: String,
    tokens: Mutex<BTreeMap<String, String>>,
}

/// One container's view of its pod's volumes.
#[derive(Debug)]
pub struct Mounts {
    volumes: Arc<Volumes>,
    /// Mount path, path within the volume, volume; longest path first.
    mounts: Vec<(String, String, Value)>,
}

impl Volumes {
    /// The volumes of a pod.
    pub fn new(cache: &Arc<Cache>, pod: &Value) -> Arc<Self> {
        Arc::new(Self {
            cache: cache.clone(),
            namespace: text(pod, "/metadata/namespace").to_owned(),
            pod: text(pod, "/metadata/name").to_owned(),
            tokens: Mutex::default(),
        })
    }

    /// Checks that everything is there that must be, and gets the tokens. A
    /// refusal is the volume's name and the kubelet's sentence.
    pub async fn set_up(&self, api: &Api, pod: &Value) -> Result<(), (String, String)> {
        for volume in items(pod, "/spec/volumes") {
            let name = text(volume, "/name");
            for source in sources(volume) {
                self.check(&source).map_err(|why| (name.to_owned(), why))?;
            }
        }
        self.refresh_tokens(api, pod)
            .await
            .map_err(|error| ("kube-api-access".to_owned(), error.message()))
    }

    /// Asks for new tokens.
    pub async fn refresh_tokens(&self, api: &Api, pod: &Value) -> Result<(), ApiError> {
        let account = match text(pod, "/spec/serviceAccountName") {
            "" => "default",
            account => account,
        };
        for volume in items(pod, "/spec/volumes") {
            for source in sources(volume) {
                let Some(wanted) = source.get("serviceAccountToken") else {
                    continue;
                };
                let mut request = json!({
                    "apiVersion": "authentication.k8s.io/v1",
                    "kind": "TokenRequest",
                    "spec": {
                        "expirationSeconds": wanted["expirationSeconds"].as_u64().unwrap_or(3600),
                        "boundObjectRef": {
                            "apiVersion": "v1", "kind": "Pod",
                            "name": self.pod, "uid": text(pod, "/metadata/uid"),
                        },
                    },
                });
                let audience = text(wanted, "/audience");
                if !audience.is_empty() {
                    request["spec"]["audiences"] = json!([audience]);
                }
                let path = Kind::ServiceAccounts.path(&self.namespace, account);
                let answer = api.create(&format!("{path}/token"), &request).await?;
                let token = text(&answer, "/status/token").to_owned();
                self.tokens
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(audience.to_owned(), token);
            }
        }
        Ok(())
    }

    fn check(&self, source: &Value) -> Result<(), String> {
        for (field, name_field, kind) in KINDS {
            let Some(wanted) = source.get(field) else {
                continue;
            };
            if wanted["optional"] == true {
                continue;
            }
            let name = name(wanted, name_field);
            let Some(held) = self.cache.get(kind, &key(&self.namespace, name)) else {
                return Err(format!("{} {name:?} not found", kind.name().to_lowercase()));
            };
            let data = env::data(kind, &held);
            for item in items(wanted, "/items") {
                let entry = text(item, "/key");
                if !data.iter().any(|(key, _)| key == entry) {
                    return Err(format!(
                        "references non-existent {} key: {entry}",
                        kind.name().to_lowercase()
                    ));
                }
            }
        }
        Ok(())
    }

    /// The files of a volume by their path within it.
    fn files(&self, volume: &Value) -> BTreeMap<String, Vec<u8>> {
        let pod = self.cache.get(Kind::Pods, &key(&self.namespace, &self.pod));
        let mut files = BTreeMap::new();
        for source in sources(volume) {
            for (field, name_field, kind) in KINDS {
                let Some(wanted) = source.get(field) else {
                    continue;
                };
                let name = name(wanted, name_field);
                if let Some(held) = self.cache.get(kind, &key(&self.namespace, name)) {
                    files.extend(chosen(wanted, env::data(kind, &held)));
                }
            }
            if let Some(wanted) = source.get("serviceAccountToken") {
                let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(token) = tokens.get(text(wanted, "/audience")) {
                    let path = text(wanted, "/path").to_owned();
                    files.insert(path, token.clone().into_bytes());
                }
            }
            if let (Some(wanted), Some(pod)) = (source.get("downwardAPI"), &pod) {
                for item in items(wanted, "/items") {
                    let path = text(item, "/path").to_owned();
                    let field = text(item, "/fieldRef/fieldPath");
                    let value = match item.get("resourceFieldRef") {
                        Some(resource) => env::resource(pod, &Value::Null, resource),
                        None => env::field(pod, field),
                    };
                    files.insert(path, value.into_bytes());
                }
            }
        }
        files
    }
}

/// Sources that are an object's data: field, field of the name, kind.
const KINDS: [(&str, &str, Kind); 2] = [
    ("secret", "/secretName", Kind::Secrets),
    ("configMap", "/name", Kind::ConfigMaps),
];

/// The name in a source; those of projected volumes all have it in one field.
fn name<'a>(wanted: &'a Value, field: &str) -> &'a str {
    match text(wanted, field) {
        "" => text(wanted, "/name"),
        name => name,
    }
}

/// The objects that a pod's volumes refer to, by name.
pub fn references(pod: &Value) -> Vec<(Kind, String)> {
    let volumes = items(pod, "/spec/volumes").iter();
    let mut found = Vec::new();
    for source in volumes.flat_map(sources) {
        for (field, name_field, kind) in KINDS {
            let wanted = source.get(field);
            found.extend(wanted.map(|wanted| (kind, name(wanted, name_field).to_owned())));
        }
    }
    found
}

/// A volume's sources: several if it is projected.
fn sources(volume: &Value) -> Vec<Value> {
    match volume.get("projected") {
        Some(projected) => items(projected, "/sources").to_vec(),
        None => vec![volume.clone()],
    }
}

/// The entries that a source wants, under the paths that it wants them.
fn chosen(wanted: &Value, data: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let chosen = items(wanted, "/items");
    if chosen.is_empty() {
        return data;
    }
    let path = |key: &str| {
        let item = chosen.iter().find(|item| text(item, "/key") == key)?;
        Some(text(item, "/path").to_owned())
    };
    data.into_iter()
        .filter_map(|(key, value)| Some((path(&key)?, value)))
        .collect()
}

impl Mounts {
    /// A container's mounts.
    pub fn new(volumes: &Arc<Volumes>, pod: &Value, container: &Value) -> Arc<Self> {
        let named = |name: &str| {
            items(pod, "/spec/volumes")
                .iter()
                .find(|volume| text(volume, "/name") == name)
        };
        let mut mounts: Vec<_> = items(container, "/volumeMounts")
            .iter()
            .filter_map(|mount| {
                let volume = named(text(mount, "/name"))?;
                let path = text(mount, "/mountPath").trim_end_matches('/');
                let within = text(mount, "/subPath");
                Some((path.to_owned(), within.to_owned(), volume.clone()))
            })
            .collect();
        mounts.sort_by_key(|(path, _, _)| std::cmp::Reverse(path.len()));
        Arc::new(Self {
            volumes: volumes.clone(),
            mounts,
        })
    }

    /// All files, by their full paths.
    pub fn list(&self) -> Vec<String> {
        let of = |(path, within, volume): &(String, String, Value)| {
            let files = self.volumes.files(volume).into_keys();
            let (path, within) = (path.clone(), within.clone());
            files.filter_map(move |file| full_path(&path, &within, &file))
        };
        self.mounts.iter().flat_map(of).collect()
    }
}

fn full_path(mount: &str, within: &str, file: &str) -> Option<String> {
    if within.is_empty() {
        Some(format!("{mount}/{file}"))
    } else if within == file {
        Some(mount.to_owned())
    } else {
        let rest = file.strip_prefix(within)?.strip_prefix('/')?;
        Some(format!("{mount}/{rest}"))
    }
}

impl Files for Mounts {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        for (mount, within, volume) in &self.mounts {
            let Some(rest) = path.strip_prefix(&**mount) else {
                continue;
            };
            let file = match rest {
                "" if !within.is_empty() => within.clone(),
                rest => match rest.strip_prefix('/') {
                    Some(rest) if within.is_empty() => rest.to_owned(),
                    Some(rest) => format!("{within}/{rest}"),
                    None => continue,
                },
            };
            return self.volumes.files(volume).remove(&file);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_through_mounts_items_and_sub_paths() {
        let cache = Arc::new(Cache::default());
        cache.observe(
            Kind::ConfigMaps,
            json!({"metadata": {"namespace": "n", "name": "c"}, "data": {"a": "1", "b": "2"}}),
        );
        let pod = json!({
            "metadata": {"namespace": "n", "name": "p"},
            "spec": {"volumes": [
                {"name": "v", "configMap": {"name": "c"}},
                {"name": "w", "projected": {"sources": [
                    {"configMap": {"name": "c", "items": [{"key": "a", "path": "x/y"}]}},
                ]}},
            ]},
        });
        cache.observe(Kind::Pods, pod.clone());
        let container = json!({"volumeMounts": [
            {"name": "v", "mountPath": "/etc/all"},
            {"name": "v", "mountPath": "/etc/one.conf", "subPath": "b"},
            {"name": "w", "mountPath": "/etc/all/deep/"},
        ]});
        let volumes = Volumes::new(&cache, &pod);
        let mounts = Mounts::new(&volumes, &pod, &container);
        let read = |path: &str| mounts.read(path).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(read("/etc/all/a").as_deref(), Some("1"));
        assert_eq!(read("/etc/one.conf").as_deref(), Some("2"));
        assert_eq!(read("/etc/all/deep/x/y").as_deref(), Some("1"));
        assert_eq!(read("/etc/all/c"), None);
        assert_eq!(read("/elsewhere"), None);
        assert_eq!(mounts.list().len(), 4);
    }
}

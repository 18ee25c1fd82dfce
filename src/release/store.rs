//! The Secrets in which helm keeps releases.
//!
//! A record is JSON, packed by gzip, as base64, in a Secret of type
//! `helm.sh/release.v1`. Helm finds records by their labels alone, so every
//! update rebuilds them from the record. Updates replace the whole Secret
//! without a precondition, as helm's do: two writers at once are kept apart
//! by the deployment's lock, not here.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::error::ReleaseError;
use super::record::Record;
use crate::k8s::{DeleteOptions, K8sError, Kube, ObjectRef};
use crate::manifest::Manifest;

/// The manager of the store's Secrets and of the release's objects: the name
/// that helm has. Under another name a later `helm upgrade` would meet our
/// fields as those of a stranger.
pub(super) const MANAGER: &str = "helm";

const TYPE: &str = "helm.sh/release.v1";
/// What all values of a Secret may take together.
const LIMIT: usize = 1_048_576;
/// More than that no record of ours or of helm's unpacks to.
const UNPACKED_LIMIT: u64 = 256 * 1_048_576;
/// Labels that the store makes itself.
const SYSTEM_LABELS: [&str; 6] = [
    "name",
    "owner",
    "status",
    "version",
    "createdAt",
    "modifiedAt",
];

/// The records of one namespace.
#[derive(Debug, Clone)]
pub(super) struct Store {
    kube: Kube,
    namespace: String,
}

impl Store {
    pub(super) fn new(kube: Kube, namespace: &str) -> Self {
        Self {
            kube,
            namespace: namespace.to_owned(),
        }
    }

    /// All records of a release, oldest first.
    pub(super) async fn history(&self, name: &str) -> Result<Vec<Record>, ReleaseError> {
        let selector = format!("name={name},owner=helm");
        let mut records = read(&self.kube, Some(&self.namespace), &selector).await?;
        records.retain(|record| record.name() == name);
        records.sort_by_key(Record::revision);
        Ok(records)
    }

    /// Writes a new record. When its name is taken by the very same content,
    /// an earlier attempt got through whose answer was lost.
    pub(super) async fn create(&self, record: &mut Record) -> Result<(), ReleaseError> {
        let data = packed(record)?;
        let secret = self.secret(record, &data, "createdAt")?;
        match self.kube.create(&secret, MANAGER).await {
            Ok(_) => Ok(()),
            Err(K8sError::Api { code: 409, .. }) => {
                let live = self.kube.get(&ObjectRef::from(&secret)).await?;
                let same = live.is_some_and(|live| {
                    live.body().pointer("/data/release") == secret.body().pointer("/data/release")
                });
                same.then_some(()).ok_or_else(|| ReleaseError::Raced {
                    name: record.name().to_owned(),
                    revision: record.revision(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a record again.
    pub(super) async fn update(&self, record: &mut Record) -> Result<(), ReleaseError> {
        let data = packed(record)?;
        let secret = self.secret(record, &data, "modifiedAt")?;
        match self.kube.replace(&secret, MANAGER).await {
            Ok(_) => Ok(()),
            // Somebody removed it: the truth is put back.
            Err(error) if error.is_not_found() => {
                self.kube.create(&secret, MANAGER).await?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a record.
    pub(super) async fn delete(&self, record: &Record) -> Result<(), ReleaseError> {
        let name = secret_name(record);
        let object = ObjectRef::namespaced("v1", "Secret", &self.namespace, &name);
        let options = DeleteOptions::default();
        self.kube.delete(&object, &options).await?;
        Ok(())
    }

    fn secret(
        &self,
        record: &Record,
        data: &str,
        time_label: &str,
    ) -> Result<Manifest, ReleaseError> {
        let mut labels: BTreeMap<String, String> = record.labels.clone();
        let now = self.kube.clock().now().as_second();
        for (key, value) in [
            ("name", record.name().to_owned()),
            ("owner", "helm".to_owned()),
            ("status", record.status().to_string()),
            ("version", record.revision().to_string()),
            (time_label, now.to_string()),
        ] {
            labels.insert(key.to_owned(), value);
        }
        let body = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": secret_name(record),
                "namespace": self.namespace,
                "labels": labels,
            },
            "type": TYPE,
            "data": {"release": STANDARD.encode(data)},
        });
        Manifest::new(body).map_err(|source| ReleaseError::Object {
            path: "the release store".to_owned(),
            source,
        })
    }
}

/// Refuses labels that are the store's own.
pub(super) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), ReleaseError> {
    let wrong = labels.keys().find(|l| SYSTEM_LABELS.contains(&l.as_str()));
    match wrong {
        Some(label) => Err(ReleaseError::SystemLabel(label.clone())),
        None => Ok(()),
    }
}

/// The records that match a selector, in one namespace or in all.
pub(super) async fn read(
    kube: &Kube,
    namespace: Option<&str>,
    selector: &str,
) -> Result<Vec<Record>, ReleaseError> {
    let secrets = kube.list("v1", "Secret", namespace, selector).await?;
    let of_type =
        |secret: &&Manifest| secret.body().get("type").and_then(Value::as_str) == Some(TYPE);
    secrets.iter().filter(of_type).map(record_of).collect()
}

fn secret_name(record: &Record) -> String {
    format!(
        "sh.helm.release.v1.{}.v{}",
        record.name(),
        record.revision()
    )
}

fn record_of(secret: &Manifest) -> Result<Record, ReleaseError> {
    let broken = |why: String| ReleaseError::Record {
        name: secret.name().to_owned(),
        why,
    };
    let data = secret.body().pointer("/data/release");
    let data = data.and_then(Value::as_str).unwrap_or_default();
    let text = STANDARD.decode(data).map_err(|e| broken(e.to_string()))?;
    let body = unpacked(&text).map_err(broken)?;
    let labels = secret.body().pointer("/metadata/labels");
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    let labels = labels
        .filter(|(key, _)| !SYSTEM_LABELS.contains(&key.as_str()))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Record::from_json(body, labels.collect())
        .ok_or_else(|| broken("it has no name or number".to_owned()))
}

/// A record in the text that its Secret holds. A record that is too large
/// loses the chart's files, which nothing reads.
fn packed(record: &mut Record) -> Result<String, ReleaseError> {
    let text = pack(record.json());
    if text.len() <= LIMIT {
        return Ok(text);
    }
    record.drop_chart_files();
    let text = pack(record.json());
    if text.len() <= LIMIT {
        return Ok(text);
    }
    Err(ReleaseError::TooLarge {
        name: record.name().to_owned(),
        size: text.len(),
        limit: LIMIT,
    })
}

fn pack(body: &Value) -> String {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _ = packer.write_all(body.to_string().as_bytes());
    STANDARD.encode(packer.finish().unwrap_or_default())
}

/// What is in a record's text; it may be packed or not.
fn unpacked(text: &[u8]) -> Result<Value, String> {
    let bytes = STANDARD
        .decode(text.trim_ascii())
        .map_err(|e| e.to_string())?;
    if !bytes.starts_with(&[0x1f, 0x8b, 0x08]) {
        return serde_json::from_slice(&bytes).map_err(|e| e.to_string());
    }
    let mut json = Vec::new();
    let mut limited = GzDecoder::new(bytes.as_slice()).take(UNPACKED_LIMIT);
    limited.read_to_end(&mut json).map_err(|e| e.to_string())?;
    serde_json::from_slice(&json).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(padding: usize) -> Record {
        let noise: String = (0..padding)
            .map(|i| char::from(b'!' + u8::try_from(i * i % 89 + i % 5).unwrap()))
            .collect();
        let mut files = Vec::new();
        let mut state: u64 = 1;
        for _ in 0..padding {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            files.push(json!(state));
        }
        let body = json!({
            "name": "r", "namespace": "n", "version": 1, "manifest": noise,
            "info": {"status": "deployed"}, "chart": {"files": files}
        });
        Record::from_json(body, BTreeMap::new()).unwrap()
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = record(10);
        let text = packed(&mut record).unwrap();
        assert_eq!(&unpacked(text.as_bytes()).unwrap(), record.json());
        let plain = STANDARD.encode(record.json().to_string());
        assert_eq!(&unpacked(plain.as_bytes()).unwrap(), record.json());
        assert!(unpacked(b"!").is_err());
    }

    #[test]
    fn a_large_record_loses_its_chart_files_first() {
        let mut record = record(120_000);
        let text = packed(&mut record).unwrap();
        assert!(text.len() <= LIMIT);
        assert_eq!(record.json()["chart"]["files"], json!([]));
    }

    #[test]
    fn labels_of_the_store_are_refused() {
        let labels = BTreeMap::from([("owner".to_owned(), "me".to_owned())]);
        let error = check_labels(&labels).unwrap_err();
        assert_eq!(
            error.to_string(),
            "label owner belongs to the release store"
        );
    }
}

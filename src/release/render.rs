//! From a request to what a revision consists of.

use std::sync::Arc;

use serde_json::Value;
use tokio::runtime::Handle;

use super::cluster::{self, Live};
use super::error::ReleaseError;
use super::objects;
use super::record::{Record, go_numbers};
use super::{Releases, Request, chart};
use crate::helm::chart::CrdFile;
use crate::helm::manifest::{Generation, Hook, split};
use crate::helm::object::{Capabilities, KubeVersion};
use crate::helm::render::{RenderOptions, Rendered, render};
use crate::helm::value::Value as HelmValue;
use crate::helm::values::{from_json, to_json};
use crate::helm::yaml11;
use crate::manifest::{Edit, Manifest};

/// What a revision consists of.
pub(super) struct Content {
    pub(super) manifest: String,
    pub(super) hooks: Vec<Hook>,
    pub(super) notes: String,
    pub(super) chart: Value,
    pub(super) config: Value,
    pub(super) transformed: Vec<String>,
}

/// As which revision a chart is rendered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    pub(super) revision: u64,
    pub(super) is_upgrade: bool,
}

impl Content {
    /// Whether a record has the same content. Where the chart came from does
    /// not matter, only what it says.
    pub(super) fn is_of(&self, record: &Record) -> bool {
        let text = |key: &str| {
            let value = self.chart.pointer(&format!("/metadata/{key}"));
            value.and_then(Value::as_str).unwrap_or_default()
        };
        let hooks = record.hooks();
        same_documents(&self.manifest, record.manifest())
            && self.config == record.config()
            && text("name") == record.chart_name()
            && text("version") == record.chart_version()
            && text("appVersion") == record.app_version()
            && self.hooks.len() == hooks.len()
            && self.hooks.iter().zip(&hooks).all(|(a, b)| {
                let same = (&a.path, &a.events) == (&b.path, &b.events);
                same && a.manifest.trim() == b.manifest.trim()
            })
    }
}

/// Whether two manifests hold the same documents. White space around them
/// differs between the generations of helm.
fn same_documents(a: &str, b: &str) -> bool {
    let documents = |text| {
        let pieces = split(text, Generation::Current);
        pieces.into_iter().map(str::trim).collect::<Vec<_>>()
    };
    a == b || documents(a) == documents(b)
}

impl Releases {
    /// What templates may know about the cluster.
    pub(super) async fn capabilities(&self) -> Result<Arc<Capabilities>, ReleaseError> {
        let (version, _) = futures::try_join!(cluster::version(&self.kube), async {
            Ok(self.kube.kinds().await?)
        })?;
        self.capabilities_of(version).await
    }

    /// The same where the version is known.
    pub(super) async fn capabilities_of(
        &self,
        version: KubeVersion,
    ) -> Result<Arc<Capabilities>, ReleaseError> {
        Ok(Arc::new(cluster::capabilities(&self.kube, version).await?))
    }

    /// Renders a request. It runs on a thread of its own: templates take
    /// time, and `lookup` waits for the cluster.
    pub(super) async fn render(
        &self,
        request: &Request,
        capabilities: &Arc<Capabilities>,
        as_revision: Numbered,
    ) -> Result<Content, ReleaseError> {
        let lookup = Live {
            kube: self.kube.clone(),
            runtime: Handle::current(),
        };
        let options = RenderOptions {
            capabilities: Some(capabilities.clone()),
            lookup: Some(Arc::new(lookup)),
            ..options(request, &self.namespace, as_revision)
        };
        let whole = request.chart.clone();
        let rendered = tokio::task::spawn_blocking(move || render(whole, &options))
            .await
            .map_err(|_| ReleaseError::Task)?
            .map_err(|source| ReleaseError::Render {
                chart: request.chart.name().to_owned(),
                source: Box::new(source),
            })?;
        content(rendered, &request.options.edits)
    }
}

fn options(request: &Request, namespace: &str, as_revision: Numbered) -> RenderOptions {
    RenderOptions {
        release_name: request.name.clone(),
        namespace: namespace.to_owned(),
        revision: i64::try_from(as_revision.revision).unwrap_or(i64::MAX),
        is_upgrade: as_revision.is_upgrade,
        values: request.values.clone(),
        skip_schema: request.options.skip_schema,
        ..RenderOptions::default()
    }
}

/// What templates are told of a cluster that is not asked.
#[derive(Debug, Clone, Default)]
pub struct Offline {
    /// Its version; that of helm's own default when there is none.
    pub kube_version: Option<String>,
    /// API versions that it has besides Kubernetes' own.
    pub api_versions: Vec<String>,
}

/// What a first installation would consist of, edits included, without a look
/// at any cluster.
pub fn offline(
    request: Request,
    namespace: &str,
    cluster: &Offline,
) -> Result<Rendered, ReleaseError> {
    let first = Numbered {
        revision: 1,
        is_upgrade: false,
    };
    let options = RenderOptions {
        kube_version: cluster.kube_version.clone(),
        api_versions: cluster.api_versions.clone(),
        ..options(&request, namespace, first)
    };
    let name = request.chart.name().to_owned();
    let rendered = render(request.chart, &options);
    let mut rendered = rendered.map_err(|source| ReleaseError::Render {
        chart: name,
        source: Box::new(source),
    })?;
    let edits = &request.options.edits;
    edit(&mut rendered, edits)?;
    for crd in &mut rendered.crds {
        let text = String::from_utf8_lossy(&crd.data).into_owned();
        let mut sections = Vec::new();
        let mut log = Vec::new();
        for document in split(&text, Generation::Current) {
            let edited = changed(document, edits, &mut log)?;
            sections.push(edited.unwrap_or_else(|| document.to_owned()));
        }
        if !log.is_empty() {
            crd.data = sections.join("---\n").into_bytes().into();
        }
    }
    Ok(rendered)
}

fn content(mut rendered: Rendered, edits: &[Edit]) -> Result<Content, ReleaseError> {
    let transformed = edit(&mut rendered, edits)?;
    Ok(Content {
        manifest: rendered.release_manifest(),
        chart: chart::stored(&rendered.chart),
        config: go_numbers(to_json(&HelmValue::Map(rendered.user_values.clone()))),
        hooks: rendered.hooks,
        notes: rendered.notes,
        transformed,
    })
}

/// Makes all edits to documents and hooks, and says what they changed.
fn edit(rendered: &mut Rendered, edits: &[Edit]) -> Result<Vec<String>, ReleaseError> {
    let mut log = Vec::new();
    for document in &mut rendered.documents {
        if let Some(text) = changed(&document.content, edits, &mut log)? {
            document.content = text;
        }
    }
    for hook in &mut rendered.hooks {
        if let Some(text) = changed(&hook.manifest, edits, &mut log)? {
            hook.manifest = text;
        }
    }
    Ok(log)
}

/// A document after all edits; none when nothing changed it.
fn changed(
    text: &str,
    edits: &[Edit],
    log: &mut Vec<String>,
) -> Result<Option<String>, ReleaseError> {
    if edits.is_empty() {
        return Ok(None);
    }
    let mut body = go_numbers(to_json(&yaml11::parse(text.as_bytes())?));
    let Ok(object) = Manifest::new(body.clone()) else {
        return Ok(None);
    };
    let mut any = false;
    for edit in edits {
        if edit.apply(&mut body) {
            log.push(format!("{}: {object}", edit.name()));
            any = true;
        }
    }
    if !any {
        return Ok(None);
    }
    let text = yaml11::to_yaml(&from_json(&body)).unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// The definitions in a chart's `crds/`, after all edits.
pub(super) fn definitions(
    files: &[CrdFile],
    edits: &[Edit],
) -> Result<Vec<Manifest>, ReleaseError> {
    let mut all = Vec::new();
    for file in files {
        let text = String::from_utf8_lossy(&file.data);
        for object in objects::parse(&text, &file.name)? {
            let mut body = object.body().clone();
            let mut any = false;
            for edit in edits {
                any |= edit.apply(&mut body);
            }
            all.push(match any {
                true => Manifest::new(body).map_err(|source| ReleaseError::Object {
                    path: file.name.clone(),
                    source,
                })?,
                false => object,
            });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn manifests_are_compared_without_the_space_around_documents() {
        let helm3 = "---\n# Source: a\nk: 1\n---\n# Source: b\nk: 2\n";
        let helm4 = "---\n# Source: a\nk: 1\n\n---\n# Source: b\nk: 2\n\n";
        assert!(same_documents(helm3, helm4));
        assert!(!same_documents(helm3, &helm4.replace('2', "3")));
        assert!(!same_documents(
            helm3,
            &helm3.replace("---\n# Source: b\nk: 2\n", "")
        ));
    }

    #[test]
    fn edits_change_what_they_change_and_say_so() {
        let edits = [Edit::new("a label", |object| {
            let is_service = object["kind"] == "Service";
            if is_service {
                object["metadata"]["labels"] = json!({"on": "yes"});
            }
            is_service
        })];
        let mut log = Vec::new();
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n";
        assert_eq!(changed(map, &edits, &mut log).unwrap(), None);
        let service =
            "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n";
        let text = changed(service, &edits, &mut log).unwrap().unwrap();
        assert_eq!(log, ["a label: Service s"]);
        // A text that looks like a boolean stays a text.
        assert!(text.contains("\"on\": \"yes\""), "{text}");
        assert!(text.contains("port: 80"), "{text}");
    }
}

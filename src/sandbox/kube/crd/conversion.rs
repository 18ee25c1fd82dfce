//! Conversion between the versions of a definition by its webhook
//! (`apiextensions.k8s.io/v1` `ConversionReview`; in the documentation:
//! "Versions in `CustomResourceDefinitions`").
//!
//! Rows are in the storage version. What a request in another version does is
//! done to them there; what it brings and what it gets is converted. So field
//! managers are noted in the storage version, other than by the real server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::sandbox::http::Reply;
use crate::sandbox::kube::admission::{Target, post};
use crate::sandbox::kube::catalog::Resource;
use crate::sandbox::kube::cluster::{Cluster, text};
use crate::sandbox::kube::objects::{self, Deleted, Page};
use crate::sandbox::kube::patch::{Kind, Patch};
use crate::sandbox::kube::render::{self, Shown};
use crate::sandbox::kube::request::{Call, Verb};
use crate::sandbox::kube::status::{Outcome, Status};
use crate::sandbox::kube::write::{self, Written};
use crate::sandbox::kube::{body, defaults, server, validate, watch};

/// How long the webhook may take, as with the real server.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a patch starts again when somebody else was faster.
const ATTEMPTS: usize = 8;

/// The way between the version of a request and that of the rows.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// The resource in the storage version.
    pub stored: Arc<Resource>,
    asked: Arc<Resource>,
    target: Target,
}

impl Conversion {
    /// None where rows are in the request's version, or differ in nothing but
    /// its name.
    pub fn of(call: &Call) -> Option<Self> {
        let asked = &call.resource;
        let target = asked.custom.as_ref()?.webhook.clone()?;
        if asked.version == asked.storage_version {
            return None;
        }
        let registry = call.cluster.registry();
        let stored = registry.find(&asked.group, &asked.storage_version, &asked.plural)?;
        Some(Self {
            stored,
            asked: asked.clone(),
            target,
        })
    }

    /// Rows as the request wants to see them.
    pub async fn to_asked(&self, cluster: &Cluster, rows: Vec<Value>) -> Outcome<Vec<Value>> {
        self.convert(cluster, rows, &self.asked).await
    }

    async fn one(&self, cluster: &Cluster, row: Value) -> Outcome<Value> {
        let converted = self.to_asked(cluster, vec![row]).await?;
        Ok(converted.into_iter().next().unwrap_or_default())
    }

    async fn to_stored(&self, cluster: &Cluster, object: Value) -> Outcome<Value> {
        let converted = self.convert(cluster, vec![object], &self.stored).await?;
        Ok(converted.into_iter().next().unwrap_or_default())
    }

    async fn convert(
        &self,
        cluster: &Cluster,
        objects: Vec<Value>,
        wanted: &Resource,
    ) -> Outcome<Vec<Value>> {
        let Some(first) = objects.first() else {
            return Ok(objects);
        };
        let of = format!("{}, Kind={}", text(first, "/apiVersion"), self.asked.kind);
        let failed = |why: String| {
            Status::plain_internal(format!("conversion webhook for {of} failed: {why}"))
        };
        let uid = cluster.uid("conversion", text(first, "/metadata/name"));
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": "apiextensions.k8s.io/v1",
            "request": {
                "uid": uid,
                "desiredAPIVersion": wanted.api_version(),
                "objects": objects,
            },
        });
        let answer = post(cluster, &self.target, &review, TIMEOUT).await;
        let converted = answer
            .and_then(|answer| read(answer, &uid))
            .map_err(failed)?;
        if converted.len() != objects.len() {
            return Err(Status::plain_internal(format!(
                "conversion webhook for {of} returned {} objects, expected {}",
                converted.len(),
                objects.len()
            )));
        }
        let pairs = objects.into_iter().zip(converted);
        let checked = pairs.map(|(original, converted)| same(original, converted, wanted));
        checked.collect::<Result<_, _>>().map_err(|why| {
            Status::plain_internal(format!(
                "conversion webhook for {of} returned invalid converted object: {why}"
            ))
        })
    }

    /// Answers a request.
    pub async fn perform(&self, call: &Call, shown: Shown) -> Outcome<Reply> {
        let cluster = &call.cluster;
        let stored = call.in_version(&self.stored, call.verb, call.request.body.clone());
        let object =
            |value: Value, created: bool| server::object(&self.asked, shown, value, created);
        match call.verb {
            Verb::Get => {
                let row = objects::get(&stored)?;
                Ok(object(self.one(cluster, row).await?, false))
            }
            Verb::List => {
                let page = objects::list(&stored)?;
                self.page(cluster, page, &shown).await
            }
            Verb::Watch => watch::watch(call, shown, Some(self.clone())).await,
            Verb::Create | Verb::Update | Verb::Patch => {
                let written = self.write(call).await?;
                let value = self.one(cluster, written.object).await?;
                Ok(object(value, written.created))
            }
            Verb::Delete => {
                let options = objects::delete_options(call)?;
                match objects::delete(&stored, &options).await? {
                    Deleted::Waiting(row) => Ok(object(self.one(cluster, row).await?, false)),
                    Deleted::Gone(uid, last) => Ok(server::gone(call, &uid, &last)),
                }
            }
            Verb::DeleteCollection => {
                let options = objects::delete_options(call)?;
                let items = objects::delete_collection(&stored, &options).await?;
                let page = Page::of_deleted(items, cluster);
                self.page(cluster, page, &shown).await
            }
        }
    }

    async fn page(&self, cluster: &Cluster, page: Page, shown: &Shown) -> Outcome<Reply> {
        let items = self.to_asked(cluster, page.items).await?;
        let page = Page { items, ..page };
        let list = render::many(&self.asked, shown, page);
        Ok(Reply::json(StatusCode::OK, &list))
    }

    async fn write(&self, call: &Call) -> Outcome<Written> {
        if call.verb != Verb::Patch {
            let object = body::object(call, &call.request.body)?;
            let stored = self.call(call, object, call.verb).await?;
            return carry_out(call, &stored).await;
        }
        let kind = Kind::of(&call.request)?;
        if kind == Kind::Apply {
            let config = body::apply_configuration(call)?;
            let config = self.to_stored(&call.cluster, config).await?;
            let body = Bytes::from(config.to_string());
            let stored = call.in_version(&self.stored, Verb::Patch, body);
            return carry_out(call, &stored).await;
        }
        self.patch(call, kind).await
    }

    /// Patches what the request sees of the row, and replaces the row by what
    /// comes of it.
    async fn patch(&self, call: &Call, kind: Kind) -> Outcome<Written> {
        let patch = Patch::parse(kind, &call.request.body)?;
        for _ in 0..ATTEMPTS {
            let stored = call.in_version(&self.stored, Verb::Get, Bytes::new());
            let row = objects::get(&stored)?;
            let version = row.pointer("/metadata/resourceVersion").cloned();
            let live = self.one(&call.cluster, row).await?;
            let mut new = patch.apply(&call.resource.schema, &live)?;
            let states_version = new.pointer("/metadata/resourceVersion") != version.as_ref();
            let bytes = serde_json::to_vec(&new).unwrap_or_default();
            new = body::checked(call, new, &bytes)?;
            let update = self.call(call, new, Verb::Update).await?;
            match carry_out(call, &update).await {
                Err(status) if status.code == 409 && !states_version => {}
                done => return done,
            }
        }
        Err(Status::modified(&call.resource, &call.target.name))
    }

    /// The call that writes an object of the request's version as a row.
    async fn call(&self, call: &Call, mut object: Value, verb: Verb) -> Outcome<Call> {
        defaults::fill(&self.asked, &mut object);
        // A name that is still to be made up is checked with the row.
        if !text(&object, "/metadata/name").is_empty() {
            validate::check(&self.asked, None, &object)?;
        }
        let row = self.to_stored(&call.cluster, object).await?;
        Ok(call.in_version(&self.stored, verb, Bytes::from(row.to_string())))
    }
}

/// Writes the row; what is warned of goes to who asked.
async fn carry_out(call: &Call, stored: &Call) -> Outcome<Written> {
    let written = match stored.verb {
        Verb::Create => write::create(stored).await,
        Verb::Update => write::update(stored).await,
        _ => write::patch(stored).await,
    };
    for warning in stored.take_warnings() {
        call.warn(warning);
    }
    written
}

/// The objects of an answer, or why it is none.
fn read(mut answer: Value, uid: &str) -> Result<Vec<Value>, String> {
    let gvk = (text(&answer, "/apiVersion"), text(&answer, "/kind"));
    if gvk != ("apiextensions.k8s.io/v1", "ConversionReview") {
        return Err(format!(
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {}, Kind={}",
            gvk.0, gvk.1
        ));
    }
    let Some(response) = answer.get_mut("response").filter(|r| r.is_object()) else {
        return Err("no response provided".to_owned());
    };
    let echoed = text(response, "/uid");
    if echoed != uid {
        return Err(format!("expected response.uid={uid:?}, got {echoed:?}"));
    }
    let status = text(response, "/result/status");
    if status != "Success" {
        return Err(match text(response, "/result/message") {
            "" => format!("response.result.status was '{status}', not 'Success'"),
            message => message.to_owned(),
        });
    }
    match response.get_mut("convertedObjects").map(Value::take) {
        Some(Value::Array(objects)) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

/// The converted object with the metadata of the original: a webhook has a say
/// in labels and annotations only.
fn same(mut original: Value, mut converted: Value, wanted: &Resource) -> Result<Value, String> {
    let version = wanted.api_version();
    for (field, what, wanted) in [
        ("/apiVersion", "apiVersion", version.as_str()),
        ("/kind", "kind", text(&original, "/kind")),
        ("/metadata/name", "name", text(&original, "/metadata/name")),
        ("/metadata/uid", "UID", text(&original, "/metadata/uid")),
    ] {
        let found = text(&converted, field);
        if found != wanted {
            return Err(format!("must have the same {what}: {wanted} != {found}"));
        }
    }
    let kept = original.get_mut("metadata").map(Value::take);
    let mut kept = kept.unwrap_or_else(|| json!({}));
    let told = converted.get_mut("metadata").map(Value::take);
    if let (Some(kept), Some(Value::Object(mut told))) = (kept.as_object_mut(), told) {
        for field in ["labels", "annotations"] {
            match told.shift_remove(field).filter(|value| !value.is_null()) {
                Some(value) => kept.insert(field.to_owned(), value),
                None => kept.shift_remove(field),
            };
        }
    }
    converted["metadata"] = kept;
    Ok(converted)
}

#[cfg(test)]
mod tests;

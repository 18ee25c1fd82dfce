//! Subresources and reviews that are no plain objects: they are made from an
//! object, or change a part of it.

use http::StatusCode;
use serde_json::{Value, json};

use super::access;
use super::body;
use super::catalog::{Sub, Verbs};
use super::cluster::text;
use super::objects;
use super::patch;
use super::request::{Call, Verb};
use super::schema::Schema;
use super::status::{Cause, Outcome, Status};
use super::write;
use crate::sandbox::http::Reply;

/// Answers what is no plain object; none for all else.
pub async fn perform(call: &Call) -> Outcome<Option<Reply>> {
    if call.resource.verbs == Verbs::Create {
        let review = body::object(call, &call.request.body)?;
        let answer = access::review(call, review)?;
        return Ok(Some(Reply::json(StatusCode::CREATED, &answer)));
    }
    match call.sub {
        Some(Sub::Scale) => scale(call).await.map(Some),
        Some(Sub::Token) => access::token_request(call).map(Some),
        Some(Sub::Eviction) => {
            objects::delete(call, &objects::DeleteOptions::default()).await?;
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            Ok(Some(Reply::json(StatusCode::CREATED, &status)))
        }
        Some(Sub::Binding) => bind(call).await.map(Some),
        _ => Ok(None),
    }
}

/// Where a kind keeps its numbers.
struct Paths {
    replicas: String,
    status: String,
    selector: String,
}

fn paths(call: &Call) -> Paths {
    let custom = call.resource.custom.as_ref().and_then(|c| c.scale.as_ref());
    let path = |field: &str, default: &str| {
        let own = custom.map_or("", |scale| text(scale, &format!("/{field}")));
        let path = if own.is_empty() { default } else { own };
        path.replace('.', "/")
    };
    Paths {
        replicas: path("specReplicasPath", ".spec.replicas"),
        status: path("statusReplicasPath", ".status.replicas"),
        selector: path("labelSelectorPath", ""),
    }
}

/// Reads or writes how many there shall be.
async fn scale(call: &Call) -> Outcome<Reply> {
    let paths = paths(call);
    if call.verb == Verb::Get {
        return Ok(Reply::json(
            StatusCode::OK,
            &scale_of(call, &paths, &objects::get(call)?),
        ));
    }
    let change = |live: &Value| -> Outcome<Value> {
        let shown = scale_of(call, &paths, live);
        let wanted = if call.verb == Verb::Patch {
            let kind = patch::Kind::of(&call.request)?;
            let schema = Schema::builtin("autoscaling.v1.Scale");
            let schema = schema.ok_or_else(|| Status::internal("no schema for scales"))?;
            patch::Patch::parse(kind, &call.request.body)?.apply(&schema, &shown)?
        } else {
            body::object(call, &call.request.body)?
        };
        let version = text(&wanted, "/metadata/resourceVersion");
        if !version.is_empty() && version != text(live, "/metadata/resourceVersion") {
            return Err(Status::modified(&call.resource, &call.target.name));
        }
        let replicas = wanted
            .pointer("/spec/replicas")
            .cloned()
            .unwrap_or(json!(0));
        if replicas.as_i64().is_none_or(|n| n < 0) {
            let cause = Cause::invalid(
                "spec.replicas",
                &replicas,
                "must be greater than or equal to 0",
            );
            return Err(Status::invalid(
                "autoscaling",
                "Scale",
                &call.target.name,
                vec![cause],
            ));
        }
        let mut object = live.clone();
        let mut parts = paths.replicas.trim_start_matches('/').split('/');
        let last = parts.next_back().unwrap_or("replicas");
        let parent = parts.fold(&mut object, |at, name| &mut at[name]);
        parent[last] = replicas;
        Ok(object)
    };
    let written = write::change(call, change).await?;
    Ok(Reply::json(
        StatusCode::OK,
        &scale_of(call, &paths, &written.object),
    ))
}

fn scale_of(call: &Call, paths: &Paths, object: &Value) -> Value {
    let number = |path: &str| {
        object
            .pointer(path)
            .cloned()
            .filter(Value::is_number)
            .unwrap_or(json!(0))
    };
    let metadata = |field: &str| object.pointer(&format!("/metadata/{field}")).cloned();
    let selector = if paths.selector.is_empty() {
        let labels = object.pointer("/spec/selector/matchLabels");
        let labels = labels.or_else(|| object.pointer("/spec/selector"));
        let pairs = labels.and_then(Value::as_object).into_iter().flatten();
        let mut pairs: Vec<_> = pairs
            .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
            .collect();
        pairs.sort();
        pairs.join(",")
    } else {
        text(object, &paths.selector).to_owned()
    };
    let mut status = json!({"replicas": number(&paths.status)});
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": call.target.name,
            "namespace": call.target.namespace,
            "uid": metadata("uid"),
            "resourceVersion": metadata("resourceVersion"),
            "creationTimestamp": metadata("creationTimestamp"),
        },
        "spec": {"replicas": number(&paths.replicas)},
        "status": status,
    })
}

/// Gives a pod its node.
async fn bind(call: &Call) -> Outcome<Reply> {
    let binding = body::object(call, &call.request.body)?;
    let node = text(&binding, "/target/name").to_owned();
    let now = call.cluster.now();
    write::change(call, |live| {
        let bound = text(live, "/spec/nodeName");
        if !bound.is_empty() {
            let why = format!(
                "pod {} is already assigned to node \"{bound}\"",
                call.target.name
            );
            return Err(Status::conflict(&call.resource, &call.target.name, &why));
        }
        let mut pod = live.clone();
        pod["spec"]["nodeName"] = json!(node);
        let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
        pod["status"]["conditions"] = json!([scheduled]);
        Ok(pod)
    })
    .await?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Reply::json(StatusCode::CREATED, &status))
}

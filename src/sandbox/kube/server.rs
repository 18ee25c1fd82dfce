//! The server: who asks, may they, and what for.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::catalog::Resource;
use super::cluster::Cluster;
use super::crd::Conversion;
use super::objects::{Deleted, Page, delete, delete_collection, delete_options, get, list};
use super::render::{self, Shown};
use super::request::{Call, Target, Verb, accepted, resolve};
use super::status::{Outcome, Status};
use super::{
    User, access, connect, discovery, impersonate, metrics, openapi, subresources, watch, write,
};
use crate::sandbox::http::{Handler, Reply, Request};

/// A cluster's API server.
pub struct Server(pub Arc<Cluster>);

impl Handler for Server {
    fn system(&self) -> &'static str {
        "kube"
    }

    async fn handle(&self, request: Request) -> Reply {
        let user = self.authenticate(&request);
        let user = user.and_then(|own| impersonate::effective(&self.0, own, &request));
        let user = match user {
            Ok(user) => user,
            Err(status) => return status.reply(),
        };
        let name = user.name.clone();
        let reply = self.answer(user, request).await;
        reply.unwrap_or_else(|status| status.reply()).by(name)
    }

    fn fault(&self, status: StatusCode, _: &Request) -> Reply {
        Status::fault(status).reply()
    }
}

impl Server {
    fn authenticate(&self, request: &Request) -> Outcome<User> {
        let open = matches!(
            request.path.as_str(),
            "/healthz" | "/livez" | "/readyz" | "/version" | "/version/"
        );
        let token = request
            .header("authorization")
            .and_then(|h| h.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let Some(token) = token.filter(|t| !t.is_empty()) else {
            let anonymous = User::new("system:anonymous", &["system:unauthenticated"]);
            return if open {
                Ok(anonymous)
            } else {
                Err(Status::unauthorized())
            };
        };
        if let Some(user) = impersonate::component(&self.0, token) {
            return Ok(user);
        }
        access::service_account(&self.0, token)
            .unwrap_or_else(|| self.0.auth.authenticate(&self.0.ocid, token))
            .map_err(|_| Status::unauthorized())
    }

    async fn answer(&self, user: User, request: Request) -> Outcome<Reply> {
        let segments = request.segments();
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => {
                return Ok(Reply::text(
                    StatusCode::OK,
                    "text/plain; charset=utf-8",
                    "ok",
                ));
            }
            ["version"] => {
                let version = discovery::version(&self.0.version());
                return Ok(Reply::json(StatusCode::OK, &version));
            }
            [""] => return Ok(discovery::root(&self.0)),
            ["api"] => return discovery::api(&self.0, &request),
            ["apis"] => return discovery::apis(&self.0, &request),
            ["apis", group] => return discovery::group(&self.0, group),
            ["api", version] => return discovery::resources(&self.0, "", version),
            ["apis", group, version] => return discovery::resources(&self.0, group, version),
            ["openapi", "v2"] => return openapi::v2(&self.0, &request),
            ["openapi", "v3"] => return Ok(openapi::index(&self.0)),
            ["openapi", "v3", rest @ ..] => return openapi::document(&self.0, rest),
            _ => {}
        }
        let Some(target) = Target::parse(&segments) else {
            return Ok(lost());
        };
        let registry = self.0.registry();
        if registry.of(&target.group, &target.version).is_empty() {
            return Ok(lost());
        }
        let (resource, sub, verb) = resolve(&registry, &target, &request)?;
        let call = Call {
            cluster: self.0.clone(),
            user,
            resource,
            target,
            sub,
            verb,
            request,
            warnings: std::sync::Mutex::default(),
        };
        access::check(&call)?;
        let call = match connect::perform(call).await {
            Ok(answered) => return answered,
            Err(call) => *call,
        };
        let reply = perform(&call).await?;
        let warnings = call.take_warnings();
        Ok(warn(reply, &warnings))
    }
}

/// The reply to paths of no API.
fn lost() -> Reply {
    Reply::text(
        StatusCode::NOT_FOUND,
        "text/plain; charset=utf-8",
        "404 page not found\n",
    )
}

/// Adds warnings as headers.
fn warn(mut reply: Reply, warnings: &[String]) -> Reply {
    for text in warnings {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = http::HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            reply.headers.append(http::header::WARNING, value);
        }
    }
    reply
}

/// The reply that shows an object.
pub(super) fn object(resource: &Resource, shown: Shown, value: Value, created: bool) -> Reply {
    let code = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Reply::json(code, &render::one(resource, &shown, value))
}

async fn perform(call: &Call) -> Outcome<Reply> {
    let format = accepted(&call.request)?;
    let shown = Shown::of(call, format);
    let object = |value, created| object(&call.resource, shown, value, created);
    if call.resource.group == metrics::GROUP {
        return metrics::perform(call, &shown);
    }
    if let Some(reply) = subresources::perform(call).await? {
        return Ok(reply);
    }
    if let Some(conversion) = Conversion::of(call) {
        return Box::pin(conversion.perform(call, shown)).await;
    }
    match call.verb {
        Verb::Get => Ok(object(get(call)?, false)),
        Verb::List => {
            let list = render::many(&call.resource, &shown, list(call)?);
            Ok(Reply::json(StatusCode::OK, &list))
        }
        Verb::Watch => watch::watch(call, shown, None).await,
        Verb::Create => write::create(call)
            .await
            .map(|w| object(w.object, w.created)),
        Verb::Update => write::update(call)
            .await
            .map(|w| object(w.object, w.created)),
        Verb::Patch => write::patch(call)
            .await
            .map(|w| object(w.object, w.created)),
        Verb::Delete => match delete(call, &delete_options(call)?).await? {
            Deleted::Waiting(value) => Ok(object(value, false)),
            Deleted::Gone(uid, last) => Ok(gone(call, &uid, &last)),
        },
        Verb::DeleteCollection => {
            let items = delete_collection(call, &delete_options(call)?).await?;
            let page = Page::of_deleted(items, &call.cluster);
            let list = render::many(&call.resource, &shown, page);
            Ok(Reply::json(StatusCode::OK, &list))
        }
    }
}

/// What is said about an object that is no more: a status, or for pods the
/// object itself.
pub(super) fn gone(call: &Call, uid: &str, last: &Value) -> Reply {
    let shown = [
        "pods",
        "serviceaccounts",
        "services",
        "persistentvolumeclaims",
        "persistentvolumes",
    ];
    if call.resource.group.is_empty() && shown.contains(&call.resource.plural.as_str()) {
        return Reply::json(StatusCode::OK, last);
    }
    let mut details = json!({"name": call.target.name});
    if !call.resource.group.is_empty() {
        details["group"] = json!(call.resource.group);
    }
    details["kind"] = json!(call.resource.plural);
    details["uid"] = json!(uid);
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    });
    Reply::json(StatusCode::OK, &status)
}

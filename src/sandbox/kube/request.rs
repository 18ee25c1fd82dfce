//! What a request asks for: the resource in its path, the verb, and how the
//! answer shall look.

use std::sync::Arc;
use std::sync::Mutex;

use http::Method;

use super::User;
use super::catalog::{Resource, Sub, Verbs};
use super::cluster::Cluster;
use super::registry::Registry;
use super::status::{Outcome, Status};
use crate::sandbox::http::Request;

/// The parts of a resource's path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The group; empty for the core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace; empty for all, or for cluster-wide resources.
    pub namespace: String,
    /// The resource.
    pub plural: String,
    /// The object; empty for the collection.
    pub name: String,
    /// The subresource; may be empty.
    pub sub: String,
    /// What follows the subresource.
    pub rest: Vec<String>,
}

impl Target {
    /// Reads the segments of a path below `/api` or `/apis`; none when it is
    /// no resource's path.
    pub fn parse(segments: &[String]) -> Option<Self> {
        let (group, rest) = match segments {
            [api, rest @ ..] if api == "api" => (String::new(), rest),
            [apis, group, rest @ ..] if apis == "apis" => (group.clone(), rest),
            _ => return None,
        };
        let (version, rest) = rest.split_first()?;
        let mut target = Self {
            group,
            version: version.clone(),
            ..Self::default()
        };
        let rest = match rest {
            // The parts of a namespace itself.
            [namespaces, _, sub]
                if namespaces == "namespaces" && (sub == "status" || sub == "finalize") =>
            {
                rest
            }
            [namespaces, namespace, rest @ ..]
                if namespaces == "namespaces" && !rest.is_empty() =>
            {
                target.namespace.clone_from(namespace);
                rest
            }
            rest => rest,
        };
        let mut rest = rest.iter();
        target.plural.clone_from(rest.next()?);
        target.name = rest.next().cloned().unwrap_or_default();
        target.sub = rest.next().cloned().unwrap_or_default();
        target.rest = rest.cloned().collect();
        Some(target)
    }
}

/// A verb, as roles name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read many.
    List,
    /// Be told of changes.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change one.
    Patch,
    /// Delete one.
    Delete,
    /// Delete many.
    DeleteCollection,
}

impl Verb {
    /// The name in roles.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// How strictly unknown fields are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// They are dropped.
    Ignore,
    /// They are dropped with a warning.
    Warn,
    /// They are refused.
    Strict,
}

/// A request for a resource, by somebody who may make it.
pub struct Call {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// Who asks.
    pub user: User,
    /// The resource.
    pub resource: Arc<Resource>,
    /// Where it is.
    pub target: Target,
    /// The subresource.
    pub sub: Option<Sub>,
    /// What is to be done.
    pub verb: Verb,
    /// The request itself.
    pub request: Request,
    /// Warnings for the answer's headers.
    pub warnings: Mutex<Vec<String>>,
}

impl Call {
    /// The name under which the caller's writes are noted.
    pub fn manager(&self) -> String {
        let given = self.request.param("fieldManager").unwrap_or_default();
        if !given.is_empty() {
            return given.to_owned();
        }
        let agent = self.request.header("user-agent").unwrap_or_default();
        let agent = agent.split('/').next().unwrap_or_default();
        let agent = if agent.is_empty() { "unknown" } else { agent };
        agent.chars().take(128).collect()
    }

    /// Whether nothing shall be kept.
    pub fn dry_run(&self) -> Outcome<bool> {
        match self.request.params("dryRun").collect::<Vec<_>>().as_slice() {
            [] => Ok(false),
            ["All"] => Ok(true),
            [other, ..] => Err(Status::invalid(
                "meta.k8s.io",
                self.options_kind(),
                "",
                vec![super::status::Cause::unsupported(
                    "dryRun",
                    &serde_json::json!(other),
                    &["All"],
                )],
            )),
        }
    }

    fn options_kind(&self) -> &'static str {
        match self.verb {
            Verb::Create => "CreateOptions",
            Verb::Update => "UpdateOptions",
            Verb::Patch => "PatchOptions",
            _ => "DeleteOptions",
        }
    }

    /// How strictly unknown fields are taken.
    pub fn strictness(&self) -> Outcome<Strictness> {
        match self.request.param("fieldValidation") {
            None | Some("" | "Warn") => Ok(Strictness::Warn),
            Some("Strict") => Ok(Strictness::Strict),
            Some("Ignore") => Ok(Strictness::Ignore),
            Some(other) => Err(Status::invalid(
                "meta.k8s.io",
                self.options_kind(),
                "",
                vec![super::status::Cause::unsupported(
                    "fieldValidation",
                    &serde_json::json!(other),
                    &["", "Ignore", "Warn", "Strict"],
                )],
            )),
        }
    }

    /// The same call for another object.
    #[must_use]
    pub fn for_object(&self, target: Target) -> Self {
        Self {
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            resource: self.resource.clone(),
            target,
            sub: self.sub,
            verb: Verb::Delete,
            request: Request {
                method: Method::DELETE,
                target: String::new(),
                path: String::new(),
                query: Vec::new(),
                headers: self.request.headers.clone(),
                body: bytes::Bytes::new(),
                upgrade: None,
            },
            warnings: Mutex::default(),
        }
    }

    /// The same call for the resource in another version, with another body.
    #[must_use]
    pub fn in_version(&self, resource: &Arc<Resource>, verb: Verb, body: bytes::Bytes) -> Self {
        let request = &self.request;
        let mut headers = request.headers.clone();
        if verb != Verb::Patch {
            let json = http::HeaderValue::from_static("application/json");
            headers.insert(http::header::CONTENT_TYPE, json);
        }
        Self {
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            resource: resource.clone(),
            target: self.target.clone(),
            sub: self.sub,
            verb,
            request: Request {
                method: request.method.clone(),
                target: request.target.clone(),
                path: request.path.clone(),
                query: request.query.clone(),
                headers,
                body,
                upgrade: None,
            },
            warnings: Mutex::default(),
        }
    }

    /// The warnings so far, which are not told again.
    pub fn take_warnings(&self) -> Vec<String> {
        let mut warnings = self
            .warnings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *warnings)
    }

    /// Adds a warning to the answer.
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(text.into());
    }
}

/// The resource, subresource and verb of a path; refuses what is not served.
pub fn resolve(
    registry: &Registry,
    target: &Target,
    request: &Request,
) -> Outcome<(Arc<Resource>, Option<Sub>, Verb)> {
    let resource = registry
        .find(&target.group, &target.version, &target.plural)
        .ok_or_else(Status::no_such_resource)?;
    if !resource.namespaced && !target.namespace.is_empty() {
        return Err(Status::no_such_resource());
    }
    let sub = if target.sub.is_empty() {
        None
    } else {
        let sub = resource.sub(&target.sub);
        Some(sub.ok_or_else(Status::no_such_resource)?)
    };
    let watching = matches!(request.param("watch"), Some("true" | "1" | ""));
    let named = !target.name.is_empty();
    let verb = match request.method {
        Method::GET | Method::HEAD if named => Verb::Get,
        Method::GET | Method::HEAD if watching => Verb::Watch,
        Method::GET | Method::HEAD => Verb::List,
        Method::POST if !named || sub.is_some() => Verb::Create,
        Method::PUT if named => Verb::Update,
        Method::PATCH if named => Verb::Patch,
        Method::DELETE if named => Verb::Delete,
        Method::DELETE => Verb::DeleteCollection,
        _ => return Err(Status::method_not_allowed()),
    };
    let allowed = match (sub, resource.verbs) {
        (Some(sub), _) => sub.verbs().contains(&verb.name()),
        (None, Verbs::All) => !(verb == Verb::DeleteCollection && no_deletecollection(&resource)),
        (None, verbs) => verbs.names().contains(&verb.name()),
    };
    // Objects in namespaces are written in one.
    let nowhere = resource.namespaced
        && target.namespace.is_empty()
        && (named || !matches!(verb, Verb::List | Verb::Watch));
    if !allowed || nowhere {
        return Err(Status::method_not_allowed());
    }
    Ok((resource, sub, verb))
}

/// Collections that cannot be deleted as a whole.
pub fn no_deletecollection(resource: &Resource) -> bool {
    resource.is("", "namespaces")
}

/// How the answer shall look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Objects as they are.
    Object,
    /// A table for people.
    Table,
    /// Only the metadata.
    Partial,
}

/// Picks the first acceptable format; 406 when there is none.
pub fn accepted(request: &Request) -> Outcome<Format> {
    let accept = request.header("accept").unwrap_or_default();
    if accept.trim().is_empty() {
        return Ok(Format::Object);
    }
    for choice in accept.split(',') {
        let mut parts = choice.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let media_fits = matches!(media, "application/json" | "*/*" | "application/*");
        let parameter = |name: &str| {
            choice.split(';').map(str::trim).find_map(|p| {
                let (key, value) = p.split_once('=')?;
                (key == name).then_some(value)
            })
        };
        if !media_fits {
            continue;
        }
        match parameter("as") {
            None => return Ok(Format::Object),
            Some("Table") if parameter("v") != Some("v1beta1") => return Ok(Format::Table),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                return Ok(Format::Partial);
            }
            Some(_) => {}
        }
    }
    Err(Status::not_acceptable(
        "application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let cases = [
            ("api/v1/pods", ("", "v1", "", "pods", "", "")),
            ("api/v1/namespaces", ("", "v1", "", "namespaces", "", "")),
            ("api/v1/namespaces/a", ("", "v1", "", "namespaces", "a", "")),
            (
                "api/v1/namespaces/a/status",
                ("", "v1", "", "namespaces", "a", "status"),
            ),
            (
                "api/v1/namespaces/a/pods/p/log",
                ("", "v1", "a", "pods", "p", "log"),
            ),
            (
                "apis/apps/v1/namespaces/a/deployments",
                ("apps", "v1", "a", "deployments", "", ""),
            ),
        ];
        for (path, (group, version, namespace, plural, name, sub)) in cases {
            let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
            let expected = Target {
                group: group.to_owned(),
                version: version.to_owned(),
                namespace: namespace.to_owned(),
                plural: plural.to_owned(),
                name: name.to_owned(),
                sub: sub.to_owned(),
                rest: Vec::new(),
            };
            assert_eq!(Target::parse(&segments), Some(expected), "{path}");
        }
    }
}

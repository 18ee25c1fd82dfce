//! Who may do what: service account tokens, roles, and the reviews that ask.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};

use super::User;
use super::body;
use super::catalog::Sub;
use super::cluster::{Cluster, stamp, text};
use super::objects;
use super::request::{Call, Verb};
use super::status::{Outcome, Status};
use crate::sandbox::http::Reply;

/// The group whose members may do everything.
pub(super) const MASTERS: &str = "system:masters";
const RBAC: &str = "rbac.authorization.k8s.io";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// What kubelets may do.
const NODE_RULES: &[(&[&str], &[&str])] = &[
    (
        &["get", "list", "watch"],
        &[
            "configmaps",
            "csidrivers",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "runtimeclasses",
            "secrets",
            "serviceaccounts",
            "services",
            "volumeattachments",
        ],
    ),
    (
        &["create", "delete", "patch", "update"],
        &["events", "nodes", "nodes/status", "pods", "pods/status"],
    ),
    (
        &["create", "get", "patch", "update"],
        &["csinodes", "leases"],
    ),
    (
        &["create"],
        &["pods/eviction", "serviceaccounts/token", "tokenreviews"],
    ),
    (
        &["create"],
        &["localsubjectaccessreviews", "subjectaccessreviews"],
    ),
];

/// What a request is about, as rules state it.
#[derive(Debug, Default)]
pub struct Attributes<'a> {
    /// `get`, `impersonate`, …
    pub verb: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The resource, with its subresource if it has one.
    pub resource: String,
    /// The object; may be empty.
    pub name: &'a str,
    /// The namespace; may be empty.
    pub namespace: &'a str,
    /// The path, for requests that are about no resource.
    pub path: &'a str,
}

/// The key that signs this cluster's service account tokens.
fn key(cluster: &Cluster) -> ring::hmac::Key {
    let secret = cluster.world.draw(&format!("token-key/{}", cluster.ocid));
    ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret.to_le_bytes())
}

/// The service account behind a token that this cluster made; none for other
/// tokens.
pub fn service_account(cluster: &Cluster, token: &str) -> Option<Result<User, String>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (_, payload) = signed.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let account = text(&claims, "/sub").strip_prefix("system:serviceaccount:")?;
    let (namespace, name) = account.split_once(':')?;
    let check = || {
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        if ring::hmac::verify(&key(cluster), signed.as_bytes(), &signature).is_err() {
            return Err("token signature does not match".to_owned());
        }
        let now = cluster.world.clock.now().as_second();
        if claims
            .get("exp")
            .and_then(Value::as_i64)
            .is_none_or(|exp| exp < now)
        {
            return Err("token has expired".to_owned());
        }
        let table = cluster.table_of("", "serviceaccounts");
        let row = cluster
            .world
            .store
            .get(&table, &format!("{namespace}/{name}"));
        let uid = row.map(|r| text(&r.value, "/metadata/uid").to_owned());
        if uid.as_deref() != Some(text(&claims, "/kubernetes.io/serviceaccount/uid")) {
            return Err("service account of the token is gone".to_owned());
        }
        let own = format!("system:serviceaccounts:{namespace}");
        let groups = ["system:serviceaccounts", &own, "system:authenticated"];
        Ok(User {
            uid: uid.unwrap_or_default(),
            ..User::new(format!("system:serviceaccount:{account}"), &groups)
        })
    };
    Some(check())
}

/// Makes a token for a service account.
pub fn token_request(call: &Call) -> Outcome<Reply> {
    let account = objects::get(call)?;
    let mut request = body::object(call, &call.request.body)?;
    let cluster = &call.cluster;
    let seconds = request
        .pointer("/spec/expirationSeconds")
        .and_then(Value::as_i64)
        .filter(|s| *s > 0)
        .unwrap_or(3600);
    let now = cluster.world.clock.now();
    let expires = now.as_second() + seconds;
    let (namespace, name) = (&call.target.namespace, &call.target.name);
    let claims = json!({
        "aud": [ISSUER],
        "exp": expires,
        "iat": now.as_second(),
        "nbf": now.as_second(),
        "iss": ISSUER,
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": text(&account, "/metadata/uid")},
        },
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(&json!({"alg": "HS256", "typ": "JWT"})),
        part(&claims)
    );
    let signature = ring::hmac::sign(&key(cluster), signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    let expires = jiff::Timestamp::from_second(expires).unwrap_or(now);
    request["metadata"]["name"] = json!(name);
    request["metadata"]["namespace"] = json!(namespace);
    request["spec"]["expirationSeconds"] = json!(seconds);
    request["spec"]["audiences"] = json!([ISSUER]);
    request["status"] = json!({"token": token, "expirationTimestamp": stamp(expires)});
    Ok(Reply::json(StatusCode::CREATED, &request))
}

/// Refuses a call that its user may not make.
pub fn check(call: &Call) -> Outcome<()> {
    let sub = call.sub.map_or(String::new(), |s| format!("/{}", s.name()));
    let resource = format!("{}{sub}", call.resource.plural);
    let attributes = Attributes {
        verb: call.verb.name(),
        group: &call.resource.group,
        resource,
        name: &call.target.name,
        namespace: &call.target.namespace,
        path: "",
    };
    // Everybody may ask about themselves.
    if call.resource.plural.starts_with("selfsubject") {
        return Ok(());
    }
    require(&call.cluster, &call.user, &attributes)?;
    if streams(call) && creates_streams(&call.cluster.version()) {
        let create = Attributes {
            verb: "create",
            ..attributes
        };
        require(&call.cluster, &call.user, &create)?;
    }
    Ok(())
}

/// Whether a call reads by its method, but opens a stream into a pod.
fn streams(call: &Call) -> bool {
    let into = matches!(call.sub, Some(Sub::Exec | Sub::Attach | Sub::PortForward));
    into && call.verb == Verb::Get && call.resource.plural == "pods"
}

/// From 1.35 on, streams by websocket need the right to `create` as those by
/// SPDY always did.
fn creates_streams(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.');
    let major = parts.next().and_then(|part| part.parse::<u32>().ok());
    let minor = parts.next().and_then(|part| part.parse::<u32>().ok());
    major.zip(minor).is_some_and(|known| known >= (1, 35))
}

/// Refuses what no role allows.
pub fn require(cluster: &Cluster, user: &User, wanted: &Attributes<'_>) -> Outcome<()> {
    if allowed(cluster, user, wanted) {
        return Ok(());
    }
    let (group, resource) = (wanted.group, &wanted.resource);
    let place = if wanted.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", wanted.namespace)
    };
    let why = format!(
        "User \"{}\" cannot {} resource \"{resource}\" in API group \"{group}\" {place}",
        user.name, wanted.verb,
    );
    let plural = resource.split('/').next().unwrap_or_default();
    Err(Status::forbidden_to(group, plural, wanted.name, &why))
}

/// Whether any role allows it.
fn allowed(cluster: &Cluster, user: &User, wanted: &Attributes<'_>) -> bool {
    if user.groups.iter().any(|g| g == MASTERS) {
        return true;
    }
    // Kubelets are told apart by their name alone; what they may do is what
    // the node authorizer would let them do to all nodes.
    if user.name.starts_with("system:node:") {
        return NODE_RULES.iter().any(|(verbs, resources)| {
            verbs.contains(&wanted.verb) && resources.contains(&wanted.resource.as_str())
        });
    }
    let rows = |plural: &str, prefix: &str| {
        let table = cluster.table_of(RBAC, plural);
        cluster.world.store.list(&table, prefix).0
    };
    let grants = |binding: &Value, namespace: &str| {
        is_subject(binding, user)
            && rules(cluster, binding, namespace)
                .iter()
                .any(|rule| covers(rule, wanted))
    };
    let everywhere = rows("clusterrolebindings", "");
    if everywhere.iter().any(|(_, row)| grants(&row.value, "")) {
        return true;
    }
    let namespace = wanted.namespace;
    !namespace.is_empty()
        && rows("rolebindings", &format!("{namespace}/"))
            .iter()
            .any(|(_, row)| grants(&row.value, namespace))
}

fn is_subject(binding: &Value, user: &User) -> bool {
    let subjects = binding.get("subjects").and_then(Value::as_array);
    subjects.into_iter().flatten().any(|subject| {
        let name = text(subject, "/name");
        match text(subject, "/kind") {
            "User" => name == user.name,
            "Group" => user.groups.iter().any(|g| g == name),
            "ServiceAccount" => {
                let namespace = text(subject, "/namespace");
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    })
}

fn rules(cluster: &Cluster, binding: &Value, namespace: &str) -> Vec<Value> {
    let name = text(binding, "/roleRef/name");
    let (plural, key) = match text(binding, "/roleRef/kind") {
        "Role" => ("roles", format!("{namespace}/{name}")),
        _ => ("clusterroles", name.to_owned()),
    };
    let row = cluster
        .world
        .store
        .get(&cluster.table_of(RBAC, plural), &key);
    row.and_then(|r| r.value.get("rules")?.as_array().cloned())
        .unwrap_or_default()
}

fn covers(rule: &Value, wanted: &Attributes<'_>) -> bool {
    let list = |field: &str| {
        rule.get(field)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let has = |field: &str, value: &str| list(field).any(|v| v == "*" || v == value);
    if !has("verbs", wanted.verb) {
        return false;
    }
    if !wanted.path.is_empty() {
        return list("nonResourceURLs")
            .filter_map(Value::as_str)
            .any(|url| {
                url == wanted.path
                    || url
                        .strip_suffix('*')
                        .is_some_and(|p| wanted.path.starts_with(p))
            });
    }
    let named =
        list("resourceNames").next().is_none() || list("resourceNames").any(|n| n == wanted.name);
    let sub = wanted
        .resource
        .split_once('/')
        .map(|(_, sub)| format!("*/{sub}"));
    let resource = has("resources", &wanted.resource)
        || sub.is_some_and(|s| list("resources").any(|r| *r == s));
    named && resource && has("apiGroups", wanted.group)
}

/// Answers a review.
pub fn review(call: &Call, mut review: Value) -> Outcome<Value> {
    let spec = review.get("spec").cloned().unwrap_or_default();
    let status = match call.resource.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": call.user.info()}),
        "SelfSubjectRulesReview" => own_rules(call, text(&spec, "/namespace")),
        "TokenReview" => token_review(call, text(&spec, "/token")),
        kind => {
            let user = if kind == "SelfSubjectAccessReview" {
                call.user.clone()
            } else {
                let groups = spec.get("groups").and_then(Value::as_array);
                let groups = groups.into_iter().flatten().filter_map(Value::as_str);
                User::new(text(&spec, "/user"), &groups.collect::<Vec<_>>())
            };
            json!({"allowed": allowed(&call.cluster, &user, &stated(&spec))})
        }
    };
    if call.resource.kind == "SelfSubjectReview" {
        review["metadata"] = json!({"creationTimestamp": call.cluster.now()});
    }
    if let Some(map) = review.as_object_mut() {
        map.insert("status".to_owned(), status);
    }
    Ok(review)
}

/// What a review asks about.
fn stated(spec: &Value) -> Attributes<'_> {
    if spec
        .get("nonResourceAttributes")
        .is_some_and(|a| !a.is_null())
    {
        return Attributes {
            verb: text(spec, "/nonResourceAttributes/verb"),
            path: text(spec, "/nonResourceAttributes/path"),
            ..Attributes::default()
        };
    }
    let field = |name: &str| text(spec, &format!("/resourceAttributes/{name}"));
    let resource = match field("subresource") {
        "" => field("resource").to_owned(),
        sub => format!("{}/{sub}", field("resource")),
    };
    Attributes {
        verb: field("verb"),
        group: field("group"),
        resource,
        name: field("name"),
        namespace: field("namespace"),
        path: "",
    }
}

fn token_review(call: &Call, token: &str) -> Value {
    let user = service_account(&call.cluster, token)
        .unwrap_or_else(|| call.cluster.auth.authenticate(&call.cluster.ocid, token));
    match user {
        Ok(user) => json!({
            "authenticated": true,
            "user": user.info(),
        }),
        Err(_) => json!({"user": {}, "error": "[invalid bearer token]"}),
    }
}

fn own_rules(call: &Call, namespace: &str) -> Value {
    let mut resource_rules = Vec::new();
    let mut path_rules = Vec::new();
    let mut add = |rule: Value| {
        if rule.get("nonResourceURLs").is_some() {
            path_rules.push(rule);
        } else {
            resource_rules.push(rule);
        }
    };
    if call.user.groups.iter().any(|g| g == MASTERS) {
        add(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        add(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    } else {
        let cluster = &call.cluster;
        for (plural, prefix) in [
            ("clusterrolebindings", String::new()),
            ("rolebindings", format!("{namespace}/")),
        ] {
            let table = cluster.table_of(RBAC, plural);
            for (_, row) in cluster.world.store.list(&table, &prefix).0 {
                if is_subject(&row.value, &call.user) {
                    rules(cluster, &row.value, namespace)
                        .into_iter()
                        .for_each(&mut add);
                }
            }
        }
    }
    json!({
        "resourceRules": resource_rules,
        "nonResourceRules": path_rules,
        "incomplete": false,
    })
}

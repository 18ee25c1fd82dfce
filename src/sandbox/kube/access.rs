//! Who may do what.

use serde_json::{Value, json};

use super::User;
use super::cluster::Cluster;
use super::request::Call;
use super::status::{Outcome, Status};

/// The group whose members may do everything.
const MASTERS: &str = "system:masters";

/// The service account behind a token that this cluster made; none for other
/// tokens.
pub fn service_account(_cluster: &Cluster, _token: &str) -> Option<Result<User, String>> {
    None
}

/// Refuses a call that its user may not make.
pub fn check(call: &Call) -> Outcome<()> {
    let user = &call.user;
    if user.groups.iter().any(|g| g == MASTERS) {
        return Ok(());
    }
    let verb = call.verb.name();
    let sub = call.sub.map_or(String::new(), |s| format!("/{}", s.name()));
    let resource = format!("{}{sub}", call.resource.plural);
    let group = &call.resource.group;
    let place = match (call.resource.namespaced, call.target.namespace.as_str()) {
        (true, namespace) if !namespace.is_empty() => format!("in the namespace \"{namespace}\""),
        _ => "at the cluster scope".to_owned(),
    };
    let why = format!(
        "User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}",
        user.name
    );
    Err(Status::forbidden(&call.resource, &call.target.name, &why))
}

/// Answers a review.
pub fn review(call: &Call, mut review: Value) -> Outcome<Value> {
    let allowed = call.user.groups.iter().any(|g| g == MASTERS);
    let status = match call.resource.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": {
            "username": call.user.name,
            "groups": call.user.groups,
        }}),
        "SelfSubjectRulesReview" => json!({
            "resourceRules": if allowed { json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]) } else { json!([]) },
            "nonResourceRules": if allowed { json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]) } else { json!([]) },
            "incomplete": false,
        }),
        _ => json!({"allowed": allowed}),
    };
    if let Some(map) = review.as_object_mut() {
        map.insert("status".to_owned(), status);
    }
    Ok(review)
}

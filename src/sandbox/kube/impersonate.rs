//! Acting in another's name: the `Impersonate-User` and `Impersonate-Group`
//! headers, and the token of the cluster's own components.

use super::User;
use super::access::{self, MASTERS};
use super::cluster::Cluster;
use super::status::{Outcome, Status};
use crate::sandbox::http::Request;

/// The cluster's own components, by their token.
pub fn component(cluster: &Cluster, token: &str) -> Option<User> {
    let own = cluster.component_token.expose();
    (!own.is_empty() && token == own).then(|| User {
        name: "system:cluster-components".to_owned(),
        groups: vec![MASTERS.to_owned(), "system:authenticated".to_owned()],
    })
}

/// The user in whose name a request is made.
pub fn effective(cluster: &Cluster, user: User, request: &Request) -> Outcome<User> {
    let Some(name) = request.header("impersonate-user") else {
        return Ok(user);
    };
    if !access::may(cluster, &user, "impersonate", "users", name) {
        return Err(Status::may_not_impersonate(&user.name, name));
    }
    let mut groups: Vec<String> = request
        .headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|group| Some(group.to_str().ok()?.to_owned()))
        .collect();
    if groups.is_empty()
        && let Some(account) = name.strip_prefix("system:serviceaccount:")
        && let Some((namespace, _)) = account.split_once(':')
    {
        groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
    }
    if !groups.iter().any(|group| group == "system:authenticated") {
        groups.push("system:authenticated".to_owned());
    }
    Ok(User {
        name: name.to_owned(),
        groups,
    })
}

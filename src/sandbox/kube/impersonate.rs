//! Acting in somebody else's name: the `Impersonate-*` headers, each of which
//! needs the right to `impersonate` what it names, and the token of the
//! cluster's own components.

use super::User;
use super::access::{self, Attributes, MASTERS};
use super::cluster::Cluster;
use super::status::{Outcome, Status};
use crate::sandbox::http::Request;

const AUTHENTICATION: &str = "authentication.k8s.io";
const EXTRA: &str = "impersonate-extra-";

/// The cluster's own components, by their token.
pub fn component(cluster: &Cluster, token: &str) -> Option<User> {
    let own = cluster.component_token.expose();
    let known = !own.is_empty() && token == own;
    known.then(|| {
        User::new(
            "system:cluster-components",
            &[MASTERS, "system:authenticated"],
        )
    })
}

/// Who a request is to be made as: its own user, or whom the headers name.
pub fn effective(cluster: &Cluster, own: User, request: &Request) -> Outcome<User> {
    let name = request.header("impersonate-user").unwrap_or_default();
    let groups: Vec<String> = request
        .headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|value| value.to_str().ok().map(str::to_owned))
        .collect();
    let uid = request.header("impersonate-uid").unwrap_or_default();
    let mut user = User {
        name: name.to_owned(),
        groups,
        uid: uid.to_owned(),
        ..User::default()
    };
    for (header, value) in &request.headers {
        let Some(key) = header.as_str().strip_prefix(EXTRA) else {
            continue;
        };
        if let Ok(value) = value.to_str() {
            let values = user.extra.entry(percent_decoded(key)).or_default();
            values.push(value.to_owned());
        }
    }
    if name.is_empty() {
        if user == User::default() {
            return Ok(own);
        }
        return Err(nobody(&user));
    }
    authorize(cluster, &own, &user)?;
    complete(&mut user);
    Ok(user)
}

/// Groups without anybody to be in them, as Go prints a user.
fn nobody(user: &User) -> Box<Status> {
    let groups = match user.groups.as_slice() {
        [] => "[]string(nil)".to_owned(),
        groups => {
            let groups: Vec<_> = groups.iter().map(|g| format!("{g:?}")).collect();
            format!("[]string{{{}}}", groups.join(", "))
        }
    };
    let extra = if user.extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        let values = user.extra.iter().map(|(key, values)| {
            let values: Vec<_> = values.iter().map(|v| format!("{v:?}")).collect();
            format!("{key:?}:[]string{{{}}}", values.join(", "))
        });
        let values: Vec<_> = values.collect();
        format!("map[string][]string{{{}}}", values.join(", "))
    };
    Status::bad_request(format!(
        "requested &user.DefaultInfo{{Name:\"\", UID:{:?}, Groups:{groups}, Extra:{extra}}} without impersonating a user name",
        user.uid
    ))
}

fn percent_decoded(key: &str) -> String {
    let plain = key.replace('+', "%2B");
    url::form_urlencoded::parse(plain.as_bytes())
        .next()
        .map_or_else(|| key.to_owned(), |(key, _)| key.into_owned())
}

/// Refuses what the real user may not impersonate.
fn authorize(cluster: &Cluster, own: &User, wanted: &User) -> Outcome<()> {
    let ask = |group: &str, resource: &str, namespace: &str, name: &str| {
        let attributes = Attributes {
            verb: "impersonate",
            group,
            resource: resource.to_owned(),
            name,
            namespace,
            path: "",
        };
        access::require(cluster, own, &attributes)
    };
    match service_account(&wanted.name) {
        Some((namespace, name)) => ask("", "serviceaccounts", namespace, name)?,
        None => ask("", "users", "", &wanted.name)?,
    }
    for group in &wanted.groups {
        ask("", "groups", "", group)?;
    }
    for (key, values) in &wanted.extra {
        for value in values {
            ask(AUTHENTICATION, &format!("userextras/{key}"), "", value)?;
        }
    }
    if !wanted.uid.is_empty() {
        ask(AUTHENTICATION, "uids", "", &wanted.uid)?;
    }
    Ok(())
}

fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

/// Adds the groups that somebody is in without saying so.
fn complete(user: &mut User) {
    if user.groups.is_empty()
        && let Some((namespace, _)) = service_account(&user.name)
    {
        user.groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
    }
    let known = ["system:authenticated", "system:unauthenticated"];
    if !user.groups.iter().any(|g| known.contains(&g.as_str())) {
        let anonymous = user.name == "system:anonymous";
        user.groups.push(known[usize::from(anonymous)].to_owned());
    }
}

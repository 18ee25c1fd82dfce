//! Fields and methods: what stands after a point.

use super::exec::Held;
use crate::helm::funcs::Function;
use crate::helm::methods;
use crate::helm::object::Object;
use crate::helm::value::{MapType, Value};

/// What a name means for a value.
pub(super) enum Member {
    Method(&'static Function),
    /// A field of a struct.
    Field(Value),
    /// An entry of a map.
    Entry(Held),
    /// A key that the map has not, and what it reads as.
    Absent(Held),
    None,
}

/// Looks a name up: methods come before entries.
pub(super) fn find(value: &Value, name: &str) -> Member {
    if let Some(method) = methods::find(value, name) {
        return Member::Method(method);
    }
    match value {
        Value::Map(map) => {
            let iface = matches!(map.ty(), MapType::Any | MapType::Values);
            match map.get(name) {
                Some(value) => Member::Entry(Held { value, iface }),
                None => Member::Absent(Held {
                    value: crate::helm::funcs::zero_of(map),
                    iface,
                }),
            }
        }
        Value::Obj(object) => match object_field(object, name) {
            Some(value) => Member::Field(value),
            None => Member::None,
        },
        _ => Member::None,
    }
}

fn object_field(object: &Object, name: &str) -> Option<Value> {
    Some(match (object, name) {
        (Object::Certificate(pair), "Cert") => Value::str(&pair.cert),
        (Object::Certificate(pair), "Key") => Value::str(&pair.key),
        (Object::Capabilities(caps), "KubeVersion") => {
            Value::Obj(Object::KubeVersion(caps.kube_version.clone()))
        }
        (Object::Capabilities(caps), "APIVersions") => caps.api_version_list(),
        (Object::Capabilities(caps), "HelmVersion") => {
            Value::Obj(Object::HelmVersion(caps.helm_version.clone()))
        }
        (Object::KubeVersion(v), "Version") => Value::str(&v.version),
        (Object::KubeVersion(v), "Major") => Value::str(&v.major),
        (Object::KubeVersion(v), "Minor") => Value::str(&v.minor),
        (Object::HelmVersion(v), "Version") => Value::str(&v.version),
        (Object::HelmVersion(v), "GitCommit") => Value::str(&v.git_commit),
        (Object::HelmVersion(v), "GitTreeState") => Value::str(&v.git_tree_state),
        (Object::HelmVersion(v), "GoVersion") => Value::str(&v.go_version),
        (Object::HelmVersion(v), "KubeClientVersion") => Value::str(&v.kube_client_version),
        _ => return None,
    })
}

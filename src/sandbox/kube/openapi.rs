//! `OpenAPI` documents, made from the schemas: enough of version 3 for
//! validation, patches and `explain`; version 2 in JSON for older readers.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::catalog::{Resource, Sub};
use super::cluster::Cluster;
use super::describe;
use super::schema::{Field, List, Object, Scalar, Topology, Type, TypeId, Types, builtin};
use super::status::{Outcome, Status};
use crate::sandbox::http::{Reply, Request};

/// `/openapi/v3`.
pub fn index(cluster: &Cluster) -> Reply {
    let mut paths = Map::new();
    for (group, versions) in cluster.registry().groups() {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            // The hash lets clients keep a document until it changes.
            let content = content(cluster, &group, &version).to_string();
            let hash = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
            let hash = hash
                .as_ref()
                .first_chunk()
                .map_or(0, |b| u128::from_be_bytes(*b));
            let url = format!("/openapi/v3/{path}?hash={hash:032X}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    Reply::json(StatusCode::OK, &json!({"paths": paths}))
}

/// `/openapi/v3/…`.
pub fn document(cluster: &Cluster, path: &[&str]) -> Outcome<Reply> {
    let (group, version) = match path {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return Err(Status::no_such_resource()),
    };
    if cluster.registry().of(group, version).is_empty() {
        return Err(Status::no_such_resource());
    }
    Ok(Reply::json(
        StatusCode::OK,
        &content(cluster, group, version),
    ))
}

fn content(cluster: &Cluster, group: &str, version: &str) -> Value {
    let resources = cluster.registry().of(group, version);
    let mut paths = Map::new();
    let mut schemas = Schemas::new("#/components/schemas/");
    for resource in &resources {
        add_paths(&mut paths, resource);
        schemas.add_resource(resource);
    }
    schemas.add_options(group, version);
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": cluster.version()},
        "paths": paths,
        "components": {"schemas": schemas.finish()},
    })
}

/// `/openapi/v2`.
pub fn v2(cluster: &Cluster, request: &Request) -> Outcome<Reply> {
    let accept = request.header("accept").unwrap_or_default();
    if accept.contains("proto") && !accept.contains("json") {
        return Err(Status::not_acceptable("application/json"));
    }
    let registry = cluster.registry();
    let mut paths = Map::new();
    let mut schemas = Schemas::new("#/definitions/");
    for resource in &registry.resources {
        add_paths(&mut paths, resource);
        schemas.add_resource(resource);
    }
    let document = json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": cluster.version()},
        "paths": paths,
        "definitions": schemas.finish(),
    });
    Ok(Reply::json(StatusCode::OK, &document))
}

fn gvk(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

/// The paths of a resource with what clients look for: kinds, actions and the
/// parameters of writes.
fn add_paths(paths: &mut Map<String, Value>, resource: &Resource) {
    let base = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let scope = if resource.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{base}{scope}/{}", resource.plural);
    let operation = |action: &str, write: bool| {
        let names: &[&str] = if write {
            &["dryRun", "fieldManager", "fieldValidation"]
        } else {
            &[]
        };
        let parameters: Vec<_> = names
            .iter()
            .map(|n| json!({"name": n, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
            .collect();
        json!({
            "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk(resource),
        })
    };
    paths.insert(
        collection.clone(),
        json!({"get": operation("list", false), "post": operation("post", true)}),
    );
    paths.insert(
        format!("{collection}/{{name}}"),
        json!({
            "get": operation("get", false),
            "put": operation("put", true),
            "patch": operation("patch", true),
            "delete": operation("delete", false),
        }),
    );
    if resource.has(Sub::Status) {
        paths.insert(
            format!("{collection}/{{name}}/status"),
            json!({"get": operation("get", false), "put": operation("put", true), "patch": operation("patch", true)}),
        );
    }
}

/// The schemas of a document, with what they refer to.
struct Schemas {
    prefix: &'static str,
    out: Map<String, Value>,
    types: Arc<Types>,
    pending: Vec<TypeId>,
    seen: BTreeSet<TypeId>,
}

impl Schemas {
    fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            out: Map::new(),
            types: builtin(),
            pending: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    fn add_resource(&mut self, resource: &Resource) {
        let kinds = json!([gvk(resource)]);
        match &resource.custom {
            None => {
                let id = resource.schema.root;
                let name = self.name(id);
                if let Some(name) = name {
                    let mut schema = self.schema(id);
                    schema["x-kubernetes-group-version-kind"] = kinds;
                    self.seen.insert(id);
                    self.out.insert(name, schema);
                }
            }
            Some(custom) => {
                let mut schema = custom.schema.clone();
                if let Some(id) = self.types.named("meta.v1.ObjectMeta") {
                    self.pending.push(id);
                }
                let metadata = json!({
                    "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
                    "allOf": [{"$ref": format!("{}io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", self.prefix)}],
                });
                schema["properties"]["apiVersion"] = json!({"type": "string"});
                schema["properties"]["kind"] = json!({"type": "string"});
                schema["properties"]["metadata"] = metadata;
                schema["x-kubernetes-group-version-kind"] = kinds;
                let reversed: Vec<_> = resource.group.rsplit('.').collect();
                let name = format!(
                    "{}.{}.{}",
                    reversed.join("."),
                    resource.version,
                    resource.kind
                );
                self.out.insert(name, schema);
            }
        }
    }

    /// The options of deletes are in every group.
    fn add_options(&mut self, group: &str, version: &str) {
        if let Some(id) = self.types.named("meta.v1.DeleteOptions") {
            let mut schema = self.schema(id);
            schema["x-kubernetes-group-version-kind"] =
                json!([{"group": group, "version": version, "kind": "DeleteOptions"}]);
            self.seen.insert(id);
            if let Some(name) = self.name(id) {
                self.out.insert(name, schema);
            }
        }
    }

    fn finish(mut self) -> Map<String, Value> {
        while let Some(id) = self.pending.pop() {
            if self.seen.insert(id)
                && let Some(name) = self.name(id)
            {
                let schema = self.schema(id);
                self.out.insert(name, schema);
            }
        }
        self.out.sort_keys();
        self.out
    }

    /// The full name of a named type.
    fn name(&self, id: TypeId) -> Option<String> {
        let Type::Object(Object {
            name: Some(name), ..
        }) = self.types.get(id)
        else {
            return None;
        };
        Some(full_name(name))
    }

    fn schema(&mut self, id: TypeId) -> Value {
        let types = self.types.clone();
        let Type::Object(object) = types.get(id) else {
            return json!({});
        };
        let mut schema = json!({"type": "object"});
        let own = object.name.as_deref().unwrap_or_default();
        match describe::kind(own) {
            Some(text) => schema["description"] = json!(text),
            None if object.kind => schema["description"] = json!(format!("{own}.")),
            None => {}
        }
        let mut properties = Map::new();
        for (name, field) in &object.fields {
            let mut property = self.property(field);
            if let Some(text) = describe::field(own, name) {
                property["description"] = json!(text);
            }
            properties.insert(name.to_string(), property);
        }
        if !properties.is_empty() {
            schema["properties"] = Value::Object(properties);
        }
        let required: Vec<_> = object
            .fields
            .iter()
            .filter(|(_, f)| f.required)
            .map(|(name, _)| name.to_string())
            .collect();
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if object.atomic {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        schema
    }

    fn property(&mut self, field: &Field) -> Value {
        let mut schema = self.reference(field.ty);
        if let Some(default) = &field.default {
            schema["default"] = default.clone();
        } else if field.inline {
            schema["default"] = json!({});
        }
        let mut strategies = Vec::new();
        if field.patch.merge {
            strategies.push("merge");
        }
        if field.patch.retain_keys {
            strategies.push("retainKeys");
        }
        if !strategies.is_empty() {
            schema["x-kubernetes-patch-strategy"] = json!(strategies.join(","));
        }
        if let Some(key) = &field.patch.key {
            schema["x-kubernetes-patch-merge-key"] = json!(&**key);
        }
        schema
    }

    fn reference(&mut self, id: TypeId) -> Value {
        let types = self.types.clone();
        match types.get(id) {
            Type::Any => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            Type::Scalar(scalar) => scalar_schema(*scalar),
            Type::List(list) => self.list(list),
            Type::Object(Object {
                name: Some(name), ..
            }) => {
                self.pending.push(types.named(name).unwrap_or(id));
                json!({"allOf": [{"$ref": format!("{}{}", self.prefix, full_name(name))}]})
            }
            Type::Object(object) => {
                let rest = object.rest.map(|rest| self.reference(rest));
                let mut schema = json!({"type": "object"});
                if let Some(rest) = rest {
                    schema["additionalProperties"] = rest;
                }
                if object.atomic {
                    schema["x-kubernetes-map-type"] = json!("atomic");
                }
                schema
            }
        }
    }

    fn list(&mut self, list: &List) -> Value {
        let mut schema = json!({"type": "array", "items": self.reference(list.item)});
        match &list.topology {
            Topology::Atomic => schema["x-kubernetes-list-type"] = json!("atomic"),
            Topology::Set => schema["x-kubernetes-list-type"] = json!("set"),
            Topology::Map(keys) => {
                let keys: Vec<_> = keys.iter().map(|(key, _)| key.to_string()).collect();
                schema["x-kubernetes-list-type"] = json!("map");
                schema["x-kubernetes-list-map-keys"] = json!(keys);
            }
        }
        schema
    }
}

fn scalar_schema(scalar: Scalar) -> Value {
    match scalar {
        Scalar::String | Scalar::Duration => json!({"type": "string"}),
        Scalar::Bool => json!({"type": "boolean"}),
        Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
        Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
        Scalar::Double => json!({"type": "number", "format": "double"}),
        Scalar::Bytes => json!({"type": "string", "format": "byte"}),
        Scalar::Time | Scalar::MicroTime => json!({"type": "string", "format": "date-time"}),
        Scalar::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Scalar::IntOrString => {
            json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"})
        }
    }
}

/// The name that published documents use: `io.k8s.api.core.v1.Pod`.
fn full_name(name: &str) -> String {
    let package = name.split('.').next().unwrap_or_default();
    match package {
        "meta" => format!("io.k8s.apimachinery.pkg.apis.{name}"),
        "apiextensions" => format!("io.k8s.apiextensions-apiserver.pkg.apis.{name}"),
        "apiregistration" => format!("io.k8s.kube-aggregator.pkg.apis.{name}"),
        _ => format!("io.k8s.api.{name}"),
    }
}

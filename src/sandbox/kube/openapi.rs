//! OpenAPI documents, made from the schemas.

use http::StatusCode;
use serde_json::{Map, json};

use super::cluster::Cluster;
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
            let url = format!("/openapi/v3/{path}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    Reply::json(StatusCode::OK, &json!({"paths": paths}))
}

/// `/openapi/v3/…`.
pub fn document(_cluster: &Cluster, _path: &[&str]) -> Outcome<Reply> {
    Err(Status::no_such_resource())
}

/// `/openapi/v2`.
pub fn v2(_cluster: &Cluster, _request: &Request) -> Reply {
    let document = json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.34.1"},
        "paths": {},
        "definitions": {},
    });
    Reply::json(StatusCode::OK, &document)
}

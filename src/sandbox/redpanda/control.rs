//! The control plane: resource groups, regions, clusters, operations.
//!
//! States follow from the world's age, so a cluster that was asked for becomes
//! ready while nobody looks, and after a restart too.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::super::http::Request;
use super::error::Refusal;
use super::{Answer, Cloud, SYSTEM, body, page, text};

const CLUSTERS: &str = "redpanda/clusters";
const GROUPS: &str = "redpanda/resource-groups";
const OPERATIONS: &str = "sandbox/redpanda/operations";
const NOTES: &str = "sandbox/redpanda/notes";

/// How long a new cluster looks for its place.
const PLACING_MS: u64 = 3_000;
/// What a trial lasts.
const TRIAL: Duration = Duration::from_hours(30 * 24);
const REGIONS: [&str; 7] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "eu-central-1",
    "eu-west-2",
    "us-east-1",
    "us-west-2",
];

/// Answers a request of the control plane.
pub async fn answer(cloud: &Arc<Cloud>, request: &Request) -> Answer {
    cloud.forget_gone();
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["v1", "resource-groups"]) => Ok(cloud.list_groups(request)),
        ("POST", ["v1", "resource-groups"]) => cloud.create_group(request),
        ("GET", ["v1", "resource-groups", id]) => {
            let group = cloud.group(id)?;
            Ok((StatusCode::OK, json!({ "resource_group": group })))
        }
        ("DELETE", ["v1", "resource-groups", id]) => cloud.delete_group(id),
        ("GET", ["v1", "serverless", "regions"]) => {
            let rows = REGIONS.iter().map(|name| region(name)).collect();
            Ok(page(request, "serverless_regions", rows))
        }
        ("GET", ["v1", "serverless", "region"]) => {
            let wanted = request.param("name").unwrap_or_default();
            let known = REGIONS.iter().find(|name| **name == wanted);
            let name = known.ok_or_else(|| Refusal::not_found("region"))?;
            Ok((StatusCode::OK, json!({"serverless_region": region(name)})))
        }
        ("GET", ["v1", "serverless", "clusters"]) => Ok(cloud.list_clusters(request)),
        ("POST", ["v1", "serverless", "clusters"]) => cloud.create_cluster(request).await,
        ("GET", ["v1", "serverless", "clusters", id]) => {
            let row = cloud.world.store.get(CLUSTERS, id);
            let row = row.ok_or_else(|| Refusal::not_found("serverless cluster"))?;
            Ok((StatusCode::OK, cloud.cluster(id, &row.value)))
        }
        ("DELETE", ["v1", "serverless", "clusters", id]) => cloud.delete_cluster(id),
        ("GET", ["v1", "operations"]) => Ok(cloud.list_operations(request)),
        ("GET", ["v1", "operations", id]) => {
            let row = cloud.world.store.get(OPERATIONS, id);
            let row = row.ok_or_else(|| Refusal::not_found("operation"))?;
            let shown = cloud.operation(id, &row.value);
            Ok((StatusCode::OK, json!({ "operation": shown })))
        }
        _ => Err(Refusal::not_found("resource")),
    }
}

/// Removes clusters once they are gone, while nobody asks.
pub async fn sweep(cloud: Arc<Cloud>) {
    let mut changes = cloud.world.store.subscribe();
    loop {
        cloud.forget_gone();
        let now = cloud.age_ms();
        let rows = cloud.world.store.list(CLUSTERS, "").0;
        let next = rows
            .iter()
            .filter_map(|(_, row)| row.value["goneMs"].as_u64());
        let wait = next
            .min()
            .map_or(3_600_000, |at| at.saturating_sub(now) + 1);
        tokio::select! {
            () = cloud.stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            slept = cloud.world.clock.sleep(Duration::from_millis(wait)) => {
                if slept.is_err() { return }
            }
        }
    }
}

fn region(name: &str) -> Value {
    json!({
        "name": name,
        "cloud_provider": "CLOUD_PROVIDER_AWS",
        "default_timezone": {"id": "Etc/UTC", "version": ""},
        "placement": {"enabled": true},
    })
}

impl Cloud {
    /// The clusters that are not gone.
    pub(super) fn cluster_ids(&self) -> Vec<String> {
        let rows = self.world.store.list(CLUSTERS, "").0;
        let lives = |row: &Value| row["goneMs"].is_null();
        let live = rows.iter().filter(|(_, row)| lives(&row.value));
        live.map(|(id, _)| id.to_string()).collect()
    }

    fn forget_gone(&self) {
        let now = self.age_ms();
        for (id, row) in self.world.store.list(CLUSTERS, "").0 {
            if row.value["goneMs"].as_u64().is_some_and(|at| at <= now) {
                self.world.store.delete(CLUSTERS, &id);
            }
        }
    }

    fn time(&self, at_ms: &Value) -> String {
        let at = Duration::from_millis(at_ms.as_u64().unwrap_or(0));
        self.world.wall_at(at).to_string()
    }

    /// Twenty characters of `[a-v0-9]`.
    fn new_id(&self, what: &str) -> String {
        let turn = self.world.store.get(NOTES, "turn");
        let turn = turn.and_then(|row| row.value.as_u64()).unwrap_or(0) + 1;
        self.world.store.put(NOTES, "turn", json!(turn));
        let letters = self.world.letters(&format!("redpanda/{what}/{turn}"), 20);
        letters
            .chars()
            .map(|c| match c {
                'w' => '0',
                'x' => '1',
                'y' => '8',
                'z' => '9',
                c => c,
            })
            .collect()
    }

    fn new_uuid(&self, what: &str) -> String {
        let (high, low) = (
            self.world.draw(what),
            self.world.draw(&format!("{what}/low")),
        );
        let digits = format!("{high:016x}{low:016x}");
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        format!(
            "{}-{}-4{}-8{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }

    /// The group that every organisation has.
    fn default_group(&self) -> Value {
        let made = self.time(&json!(0));
        json!({
            "id": self.new_uuid("redpanda/default-group"),
            "name": "default",
            "created_at": made,
            "updated_at": made,
        })
    }

    #[cfg(test)]
    pub(super) fn default_group_id(&self) -> String {
        let group = self.default_group();
        group["id"].as_str().unwrap_or_default().to_owned()
    }

    fn groups(&self) -> Vec<Value> {
        let rows = self.world.store.list(GROUPS, "").0;
        let made = rows.iter().map(|(_, row)| (*row.value).clone());
        std::iter::once(self.default_group()).chain(made).collect()
    }

    fn group(&self, id: &str) -> Result<Value, Refusal> {
        let found = self.groups().into_iter().find(|group| group["id"] == id);
        found.ok_or_else(|| Refusal::not_found("resource group"))
    }

    fn list_groups(&self, request: &Request) -> (StatusCode, Value) {
        let part = request.param("filter.name_contains").unwrap_or_default();
        let mut rows = self.groups();
        rows.retain(|group| group["name"].as_str().unwrap_or_default().contains(part));
        page(request, "resource_groups", rows)
    }

    fn create_group(&self, request: &Request) -> Answer {
        let body = body(request)?;
        let name = text(&body["resource_group"], "name")?;
        if self.groups().iter().any(|group| group["name"] == name) {
            return Err(Refusal::new(
                "ALREADY_EXISTS",
                "REASON_RESOURCE_GROUP_ALREADY_EXISTS",
                format!("resource group with name {name} already exists"),
            ));
        }
        let id = self.new_uuid(&self.new_id("group"));
        let now = self.world.clock.now().to_string();
        let group = json!({"id": id, "name": name, "created_at": now, "updated_at": now});
        self.world.store.put(GROUPS, &id, group.clone());
        Ok((StatusCode::CREATED, json!({ "resource_group": group })))
    }

    fn delete_group(&self, id: &str) -> Answer {
        self.group(id)?;
        let rows = self.world.store.list(CLUSTERS, "").0;
        if rows.iter().any(|(_, row)| row.value["group"] == id) {
            return Err(Refusal::new(
                "FAILED_PRECONDITION",
                "REASON_RESOURCE_GROUP_NOT_EMPTY",
                "the resource group is not empty",
            ));
        }
        self.world.store.delete(GROUPS, id);
        Ok((StatusCode::NO_CONTENT, Value::Null))
    }

    fn list_clusters(&self, request: &Request) -> (StatusCode, Value) {
        let part = request.param("filter.name_contains").unwrap_or_default();
        let states: Vec<&str> = request.params("filter.state_in").collect();
        let is = |shown: &Value, field: &str| {
            let wanted = request.param(&format!("filter.{field}"));
            wanted.is_none_or(|wanted| shown[field] == wanted)
        };
        let rows = self.world.store.list(CLUSTERS, "").0;
        let mut shown: Vec<Value> = rows
            .iter()
            .map(|(id, row)| self.cluster(id, &row.value))
            .collect();
        shown.retain(|cluster| {
            let state = cluster["state"].as_str().unwrap_or_default();
            cluster["name"].as_str().unwrap_or_default().contains(part)
                && (states.is_empty() || states.contains(&state))
                && is(cluster, "resource_group_id")
                && is(cluster, "serverless_region")
        });
        page(request, "serverless_clusters", shown)
    }

    fn state(&self, row: &Value) -> &'static str {
        let now = self.age_ms();
        let ms = |field: &str| row[field].as_u64().unwrap_or(0);
        match row {
            _ if !row["goneMs"].is_null() => "STATE_DELETING",
            _ if now < ms("madeMs") + PLACING_MS => "STATE_PLACING",
            _ if now < ms("readyMs") => "STATE_CREATING",
            _ if row["fails"] == true => "STATE_FAILED",
            _ if self.suspended() => "STATE_SUSPENDED",
            _ => "STATE_READY",
        }
    }

    /// A cluster as it is shown.
    fn cluster(&self, id: &str, row: &Value) -> Value {
        let state = self.state(row);
        let made = Duration::from_millis(row["madeMs"].as_u64().unwrap_or(0));
        let mut shown = json!({
            "id": id,
            "name": row["name"],
            "state": state,
            "resource_group_id": row["group"],
            "serverless_region": row["region"],
            "tags": match &row["tags"] {
                Value::Object(tags) => json!(tags),
                _ => json!({}),
            },
            "created_at": self.time(&row["madeMs"]),
            "updated_at": self.time(&row["readyMs"]),
            "planned_deletion": {
                "delete_after": self.world.wall_at(made + TRIAL).to_string(),
                "reason": "REASON_TRIAL_EXPIRED",
            },
            "networking_config": {"public": "STATE_ENABLED", "private": "STATE_DISABLED"},
            "quota": {
                "acls": "120",
                "client_connections": "10000",
                "consumer_groups": "200",
                "partitions": "5000",
                "producer_ids": "250",
                "users": "30",
            },
        });
        let serves = matches!(state, "STATE_READY" | "STATE_SUSPENDED");
        let behind = self.broker(id).zip(self.door(id));
        if let Some(((_, addresses), url)) = behind.filter(|_| serves) {
            shown["dataplane_api"] = json!({ "url": url });
            shown["kafka_api"] = json!({"seed_brokers": [addresses.sasl_tls]});
            shown["console_url"] = json!(format!("{url}/console"));
        }
        shown
    }

    async fn create_cluster(self: &Arc<Self>, request: &Request) -> Answer {
        let body = body(request)?;
        let asked = &body["serverless_cluster"];
        let name = text(asked, "name")?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':');
        if !(3..=128).contains(&name.len()) || !name.chars().all(legal) {
            let why = "name: value does not match regex pattern `^[A-Za-z0-9-_:]+$`";
            return Err(Refusal::invalid(why));
        }
        let group = text(asked, "resource_group_id")?;
        self.group(group)?;
        let region = text(asked, "serverless_region")?;
        if !REGIONS.contains(&region) {
            return Err(Refusal::invalid(format!(
                "serverless_region: {region} does not exist"
            )));
        }
        let rows = self.world.store.list(CLUSTERS, "").0;
        if rows.iter().any(|(_, row)| row.value["name"] == name) {
            return Err(Refusal::new(
                "ALREADY_EXISTS",
                "REASON_CLUSTER_ALREADY_EXISTS",
                format!("cluster with name {name} already exists"),
            ));
        }
        let hit = |kind: &str| self.world.faults.take(SYSTEM, kind, name).is_some();
        if hit("no-quota") {
            return Err(Refusal::new(
                "RESOURCE_EXHAUSTED",
                "REASON_INSUFFICIENT_QUOTA",
                "the organization's quota of serverless clusters is used up",
            ));
        }
        let id = self.new_id("cluster");
        let now = self.age_ms();
        let (low, high) = (Duration::from_secs(15), Duration::from_secs(90));
        let takes = self.world.latency(&id, low, high);
        let ready = now + u64::try_from(takes.as_millis()).unwrap_or(0);
        let fails = hit("create-fails");
        let row = json!({
            "name": name,
            "group": group,
            "region": region,
            "madeMs": now,
            "readyMs": ready,
            "fails": fails,
            "tags": asked["tags"],
        });
        self.world.store.put(CLUSTERS, &id, row);
        self.start(&id)
            .await
            .map_err(|why| Refusal::new("INTERNAL", "REASON_SERVER_ERROR", why.to_string()))?;
        let operation = self.begin("TYPE_CREATE_SERVERLESS_CLUSTER", &id, ready, fails);
        Ok((StatusCode::ACCEPTED, json!({ "operation": operation })))
    }

    fn delete_cluster(&self, id: &str) -> Answer {
        let row = self.world.store.get(CLUSTERS, id);
        let row = row.ok_or_else(|| Refusal::not_found("serverless cluster"))?;
        if !row.value["goneMs"].is_null() {
            return Err(Refusal::new(
                "FAILED_PRECONDITION",
                "REASON_CLUSTER_DELETING",
                "the cluster is being deleted",
            ));
        }
        let takes = self.world.latency(
            &format!("{id}/gone"),
            Duration::from_secs(10),
            Duration::from_secs(40),
        );
        let gone = self.age_ms() + u64::try_from(takes.as_millis()).unwrap_or(0);
        let mut changed = (*row.value).clone();
        changed["goneMs"] = json!(gone);
        self.world.store.put(CLUSTERS, id, changed);
        self.fleet.remove(&format!("redpanda-{id}"));
        let operation = self.begin("TYPE_DELETE_SERVERLESS_CLUSTER", id, gone, false);
        Ok((StatusCode::ACCEPTED, json!({ "operation": operation })))
    }

    fn begin(&self, kind: &str, cluster: &str, end_ms: u64, fails: bool) -> Value {
        let id = self.new_id("operation");
        let row = json!({
            "type": kind,
            "cluster": cluster,
            "startMs": self.age_ms(),
            "endMs": end_ms,
            "fails": fails,
        });
        self.world.store.put(OPERATIONS, &id, row.clone());
        self.operation(&id, &row)
    }

    fn list_operations(&self, request: &Request) -> (StatusCode, Value) {
        let rows = self.world.store.list(OPERATIONS, "").0;
        let shown = rows.iter().map(|(id, row)| self.operation(id, &row.value));
        let is = |operation: &Value, filter: &str, field: &str| {
            let wanted = request.param(filter);
            wanted.is_none_or(|wanted| operation[field] == wanted)
        };
        let rows = shown
            .filter(|o| is(o, "filter.resource_id", "resource_id"))
            .filter(|o| is(o, "filter.state", "state") && is(o, "filter.type_in", "type"))
            .collect();
        page(request, "operations", rows)
    }

    /// An operation as it is shown.
    fn operation(&self, id: &str, row: &Value) -> Value {
        let ended = self.age_ms() >= row["endMs"].as_u64().unwrap_or(0);
        let failed = row["fails"] == true;
        let mut shown = json!({
            "id": id,
            "type": row["type"],
            "state": match (ended, failed) {
                (false, _) => "STATE_IN_PROGRESS",
                (true, false) => "STATE_COMPLETED",
                (true, true) => "STATE_FAILED",
            },
            "started_at": self.time(&row["startMs"]),
            "resource_id": row["cluster"],
        });
        if ended {
            shown["finished_at"] = json!(self.time(&row["endMs"]));
        }
        if ended && failed {
            let message = "no capacity in the region";
            shown["error"] = json!({"code": "INTERNAL", "message": message, "details": []});
        }
        shown
    }
}

//! A whole life of a cluster, call by call, as the provider asks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::faults::Fault;
use super::super::http::{Body, Handler as _, Request};
use super::super::kafka::{Client, ClientError, Fleet, Mechanism, Place, Record};
use super::super::world::World;
use super::{Cloud, Door};
use crate::clock::Clock;

struct Org {
    cloud: Arc<Cloud>,
    world: Arc<World>,
    token: String,
    _dir: tempfile::TempDir,
}

impl Org {
    async fn new(rate: f64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let clock = Clock::new(rate, stop.clone());
        let world = Arc::new(World::open(dir.path(), clock, 7).unwrap());
        let fleet = Fleet::open(&world).await.unwrap();
        let (cloud, access) = Cloud::open(&world, &fleet, &stop).await.unwrap();
        let mut org = Self {
            cloud,
            world,
            token: String::new(),
            _dir: dir,
        };
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}\
             &audience=cloudv2-production.redpanda.cloud",
            access.client_id, access.client_secret
        );
        let (status, body) = org.send(None, "POST", "/oauth/token", &form).await;
        assert_eq!(status, StatusCode::OK);
        body["access_token"]
            .as_str()
            .unwrap()
            .clone_into(&mut org.token);
        org
    }

    async fn send(
        &self,
        cluster: Option<&str>,
        method: &str,
        target: &str,
        body: &str,
    ) -> (StatusCode, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {}", self.token);
        headers.insert("authorization", bearer.parse().unwrap());
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            target: target.to_owned(),
            path: path.to_owned(),
            query: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            upgrade: None,
        };
        let door = Door {
            cloud: self.cloud.clone(),
            cluster: cluster.map(str::to_owned),
        };
        let reply = door.handle(request).await;
        let Body::Full(bytes) = reply.body else {
            panic!("a whole body")
        };
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (reply.status, body)
    }

    async fn control(&self, method: &str, target: &str, body: Value) -> (StatusCode, Value) {
        self.send(None, method, target, &body.to_string()).await
    }

    async fn data(&self, id: &str, method: &str, target: &str, body: Value) -> (StatusCode, Value) {
        self.send(Some(id), method, target, &body.to_string()).await
    }

    /// Asks for a cluster and waits for the end of its operation.
    async fn cluster(&self, name: &str) -> (String, Value) {
        let (_, groups) = self
            .control("GET", "/v1/resource-groups", Value::Null)
            .await;
        let wanted = json!({"serverless_cluster": {
            "name": name,
            "resource_group_id": groups["resource_groups"][0]["id"],
            "serverless_region": "eu-central-1",
        }});
        let (status, begun) = self
            .control("POST", "/v1/serverless/clusters", wanted)
            .await;
        assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
        let id = begun["operation"]["resource_id"]
            .as_str()
            .unwrap()
            .to_owned();
        (id, self.ended(&begun).await)
    }

    async fn ended(&self, begun: &Value) -> Value {
        let path = format!(
            "/v1/operations/{}",
            begun["operation"]["id"].as_str().unwrap()
        );
        loop {
            let (_, now) = self.control("GET", &path, Value::Null).await;
            if now["operation"]["state"] != "STATE_IN_PROGRESS" {
                return now["operation"].clone();
            }
            let wait = Duration::from_secs(5);
            self.world.clock.sleep(wait).await.unwrap();
        }
    }

    fn fault(&self, kind: &str) {
        self.world.faults.add(Fault {
            id: 0,
            system: "redpanda".into(),
            kind: kind.into(),
            arg: None,
            method: None,
            path: None,
            nth: 1,
            times: None,
            seen: 0,
            since_ms: 0,
        });
    }
}

#[tokio::test]
async fn a_cluster_is_made_used_and_deleted() {
    let org = Org::new(500.0).await;
    let (id, ended) = org.cluster("todo").await;
    assert_eq!(ended["state"], "STATE_COMPLETED");
    let path = format!("/v1/serverless/clusters/{id}");
    let (_, cluster) = org.control("GET", &path, Value::Null).await;
    assert_eq!(cluster["state"], "STATE_READY");
    assert!(cluster["kafka_api"]["seed_brokers"][0].is_string());

    let topic = json!({"name": "task-events", "partition_count": 3, "replication_factor": 1});
    let (status, made) = org.data(&id, "POST", "/v1/topics", topic.clone()).await;
    assert_eq!(
        (status, &made["replication_factor"]),
        (StatusCode::CREATED, &json!(3))
    );
    let (status, again) = org.data(&id, "POST", "/v1/topics", topic).await;
    assert_eq!(
        (status, &again["code"]),
        (StatusCode::CONFLICT, &json!("ALREADY_EXISTS"))
    );
    let user = json!({
        "name": "todo",
        "password": "secret",
        "mechanism": "SASL_MECHANISM_SCRAM_SHA_256",
    });
    let (status, made) = org.data(&id, "POST", "/v1/users", user).await;
    assert_eq!(
        (status, &made["password"]),
        (StatusCode::CREATED, &Value::Null)
    );

    let (broker, _) = org.cloud.broker(&id).unwrap();
    let login = |password| Client::login(&broker, Mechanism::Sha256, "todo", password);
    assert_eq!(login("wrong").unwrap_err(), ClientError::Denied);
    let client = login("secret").unwrap();
    let event = Record::default();
    let refused = client
        .append("task-events", Place::Key, event.clone())
        .await;
    assert!(
        matches!(refused, Err(ClientError::Refused(_))),
        "no rule allows it yet"
    );
    let rule = json!({
        "resource_type": "RESOURCE_TYPE_TOPIC",
        "resource_name": "task-",
        "resource_pattern_type": "RESOURCE_PATTERN_TYPE_PREFIXED",
        "principal": "User:todo",
        "host": "*",
        "operation": "OPERATION_ALL",
        "permission_type": "PERMISSION_TYPE_ALLOW",
    });
    let (status, _) = org.data(&id, "POST", "/v1/acls", rule).await;
    assert_eq!(status, StatusCode::CREATED);
    client
        .append("task-events", Place::Key, event.clone())
        .await
        .unwrap();
    let (_, rules) = org
        .data(
            &id,
            "GET",
            "/v1/acls?filter.principal=User:todo",
            Value::Null,
        )
        .await;
    assert_eq!(
        rules["resources"][0]["acls"][0]["operation"],
        "OPERATION_ALL"
    );

    org.fault("trial-ended");
    let (_, cluster) = org.control("GET", &path, Value::Null).await;
    assert_eq!(cluster["state"], "STATE_SUSPENDED");
    let gone = client.append("task-events", Place::Key, event).await;
    assert_eq!(gone, Err(ClientError::Away));
    org.world.faults.clear();

    let (status, begun) = org.control("DELETE", &path, Value::Null).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(org.ended(&begun).await["state"], "STATE_COMPLETED");
    let (status, error) = org.control("GET", &path, Value::Null).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::NOT_FOUND, &json!("NOT_FOUND"))
    );
    let tables = org.world.store.tables();
    let left: Vec<_> = tables
        .iter()
        .filter(|(name, _)| name.contains(&id))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_reason() {
    // The hour of a token is a fraction of a second.
    let mut org = Org::new(10_000.0).await;
    let reason = |body: &Value| body["details"][0]["reason"].as_str().unwrap().to_owned();
    org.fault("no-quota");
    let wanted = json!({"serverless_cluster": {
        "name": "todo",
        "resource_group_id": org.cloud.default_group_id(),
        "serverless_region": "us-east-1",
    }});
    let clusters = "/v1/serverless/clusters";
    let (status, body) = org.control("POST", clusters, wanted.clone()).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reason(&body), "REASON_INSUFFICIENT_QUOTA");
    org.world.faults.clear();
    org.fault("create-fails");
    let (_, ended) = org.cluster("todo").await;
    assert_eq!(ended["state"], "STATE_FAILED");
    let (status, body) = org.control("POST", clusters, wanted).await;
    assert_eq!(
        (status, reason(&body).as_str()),
        (StatusCode::CONFLICT, "REASON_CLUSTER_ALREADY_EXISTS")
    );
    let group = format!("/v1/resource-groups/{}", org.cloud.default_group_id());
    let (_, body) = org.control("DELETE", &group, Value::Null).await;
    assert_eq!(reason(&body), "REASON_RESOURCE_GROUP_NOT_EMPTY");

    let hour = Duration::from_secs(3601);
    org.world.clock.sleep(hour).await.unwrap();
    let (status, body) = org.control("GET", clusters, Value::Null).await;
    assert_eq!(
        (status, reason(&body).as_str()),
        (StatusCode::UNAUTHORIZED, "REASON_TOKEN_EXPIRED")
    );
    org.token = "made up".into();
    let (_, body) = org.control("GET", clusters, Value::Null).await;
    assert_eq!(reason(&body), "REASON_TOKEN_INVALID");
}

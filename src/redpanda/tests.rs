//! The client against a scripted server.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::net::testing::{Reply, Server, reply};

fn ok(body: &Value) -> Reply {
    reply(200, body.to_string())
}

fn token() -> Reply {
    ok(&json!({"access_token": "tok-1", "expires_in": 3600, "token_type": "Bearer"}))
}

fn refusal(status: u16, code: &str, reason: &str) -> Reply {
    let body = json!({"code": code, "message": "no", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "x"}
    ]});
    reply(status, body.to_string())
}

fn cluster(state: &str) -> Value {
    json!({"id": "d1k9abc", "name": "todo", "state": state, "serverless_region": "eu-central-1",
        "dataplane_api": {"url": "http://localhost:1/"},
        "kafka_api": {"seed_brokers": ["d1k9abc.any.eu-central-1.example.com:9092"]}})
}

fn cloud(server: &Server) -> Cloud {
    let url = |path: &str| Url::parse(&format!("{}{path}", server.base())).unwrap();
    let account = ServiceAccount {
        client_id: "id".to_owned(),
        client_secret: Secret::new("very-secret"),
    };
    let endpoints = Endpoints {
        token: url("/oauth/token"),
        api: url("/"),
    };
    let clock = Clock::new(1000.0, CancellationToken::new());
    Cloud::new(account, endpoints, Trust::Only(Vec::new()), clock).unwrap()
}

fn lines(server: &Server) -> Vec<String> {
    server.seen().into_iter().map(|seen| seen.line).collect()
}

#[tokio::test]
async fn a_cluster_is_made_once_and_waited_for() {
    let server = Server::start([
        token(),
        ok(&json!({"serverless_clusters": [], "next_page_token": ""})),
        ok(&json!({"resource_groups": [{"id": "group-1", "name": "default"}]})),
        reply(
            202,
            json!({"operation": {"id": "op1", "resource_id": "d1k9abc"}}).to_string(),
        ),
        ok(&json!({"serverless_cluster": cluster("STATE_CREATING")})),
        ok(&cluster("STATE_READY")),
    ])
    .await;
    let made = cloud(&server)
        .ensure_cluster("todo", "eu-central-1", "todo", |_| {})
        .await
        .unwrap();
    assert_eq!(made.state, State::Ready);
    assert_eq!(made.brokers.len(), 1);
    assert_eq!(
        lines(&server),
        [
            "POST /oauth/token",
            "GET /v1/serverless/clusters?filter.name_contains=todo",
            "GET /v1/resource-groups",
            "POST /v1/serverless/clusters",
            "GET /v1/serverless/clusters/d1k9abc",
            "GET /v1/serverless/clusters/d1k9abc",
        ]
    );
    let seen = server.seen();
    assert!(
        seen[0]
            .body
            .contains("audience=cloudv2-production.redpanda.cloud")
    );
    assert_eq!(seen[1].header("authorization"), Some("Bearer tok-1"));
    let sent: Value = serde_json::from_str(&seen[3].body).unwrap();
    assert_eq!(sent["serverless_cluster"]["resource_group_id"], "group-1");
}

#[tokio::test]
async fn what_is_on_its_way_or_gone_is_deleted() {
    let unwilling = || refusal(400, "FAILED_PRECONDITION", "REASON_CLUSTER_DELETING");
    let missing = || refusal(404, "NOT_FOUND", "REASON_RESOURCE_NOT_FOUND");
    let deleting = || ok(&cluster("STATE_DELETING"));
    let ways = [
        vec![missing(), missing()],
        vec![unwilling(), deleting(), deleting(), missing()],
        // Between the refusal and the look it has gone.
        vec![unwilling(), missing()],
    ];
    for (nth, way) in ways.into_iter().enumerate() {
        let server = Server::start([vec![token()], way].concat()).await;
        let deleted = cloud(&server).delete_cluster("d1k9abc").await;
        assert!(deleted.is_ok(), "way {nth}: {deleted:?}");
    }
    let works = ok(&cluster("STATE_READY"));
    let server = Server::start([token(), unwilling(), works]).await;
    let kept = cloud(&server).delete_cluster("d1k9abc").await;
    assert_eq!(
        kept.unwrap_err().to_string(),
        "Redpanda Cloud refused deleting the cluster: no"
    );
}

#[tokio::test]
async fn a_suspended_cluster_is_told_with_its_end() {
    let mut suspended = cluster("STATE_SUSPENDED");
    suspended["planned_deletion"] = json!({"delete_after": {"seconds": 1_800_000_000}});
    let list = json!({"serverless_clusters": [suspended.clone()]});
    let server = Server::start([token(), ok(&list), ok(&suspended)]).await;
    let error = cloud(&server)
        .ensure_cluster("todo", "eu-central-1", "todo", |_| {})
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Redpanda cluster `todo` is suspended, and is deleted with its data after \
         2027-01-15T08:00:00Z"
    );
    assert!(error.hint().unwrap().contains("strimzi"));
}

#[tokio::test]
async fn an_ended_token_is_renewed_once() {
    let ended = refusal(401, "UNAUTHENTICATED", "REASON_TOKEN_EXPIRED");
    let server = Server::start([token(), ended, token(), ok(&cluster("STATE_READY"))]).await;
    assert_eq!(
        cloud(&server).cluster("d1k9abc").await.unwrap().name,
        "todo"
    );
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_wrong_account_is_told_without_its_secret() {
    let server = Server::start([reply(401, r#"{"error": "access_denied"}"#)]).await;
    let error = cloud(&server).find_cluster("todo").await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("service account `id`") && !text.contains("very-secret"));
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let full = refusal(429, "RESOURCE_EXHAUSTED", "REASON_INSUFFICIENT_QUOTA");
    let denied = refusal(403, "PERMISSION_DENIED", "REASON_OTHER");
    let server = Server::start([token(), denied]).await;
    let error = cloud(&server).find_cluster("todo").await.unwrap_err();
    assert!(error.hint().unwrap().contains("Organization IAM"));
    let server = Server::start([token(), full]).await;
    let error = cloud(&server).find_cluster("todo").await.unwrap_err();
    assert!(error.hint().unwrap().contains("delete a cluster"));
}

async fn plane(server: &Server) -> DataPlane {
    let mut ready = cluster("STATE_READY");
    ready["dataplane_api"]["url"] = json!(server.base());
    let cloud = cloud(server);
    let cluster = cloud.cluster("d1k9abc").await.unwrap();
    let cluster = Cluster {
        data_plane: Some(server.base()),
        ..cluster
    };
    cloud.data_plane(&cluster).unwrap()
}

#[tokio::test]
async fn a_user_that_exists_gets_the_new_password() {
    let exists = refusal(409, "ALREADY_EXISTS", "REASON_ALREADY_EXISTS");
    let ready = ok(&cluster("STATE_READY"));
    let server = Server::start([token(), ready, exists, ok(&json!({}))]).await;
    let plane = plane(&server).await;
    let password = Secret::new("p");
    plane
        .set_user("todo app", &password, Mechanism::ScramSha256)
        .await
        .unwrap();
    assert_eq!(
        lines(&server)[2..],
        ["POST /v1/users", "PUT /v1/users/todo%20app"]
    );
}

#[tokio::test]
async fn only_missing_access_rules_are_made() {
    let acls = Acl::for_app("todo", &["task-events"], &["todo-"]);
    let found = json!({"resources": [{
        "resource_type": "RESOURCE_TYPE_TOPIC", "resource_name": "task-events",
        "resource_pattern_type": "RESOURCE_PATTERN_TYPE_LITERAL",
        "acls": [{"principal": "User:todo", "host": "*", "operation": "OPERATION_ALL",
            "permission_type": "PERMISSION_TYPE_ALLOW"}],
    }]});
    let ready = ok(&cluster("STATE_READY"));
    let server = Server::start([token(), ready, ok(&found), reply(201, "{}")]).await;
    let plane = plane(&server).await;
    assert_eq!(acls.len(), 3);
    assert_eq!(plane.ensure_acls(&acls).await.unwrap(), 2);
    let sent: Value = serde_json::from_str(&server.seen()[3].body).unwrap();
    assert_eq!(sent["resource_type"], "RESOURCE_TYPE_GROUP");
    assert_eq!(sent["operation"], "OPERATION_READ");
}

#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    let ready = ok(&cluster("STATE_READY"));
    let first = json!({"topics": [{"name": "a", "partition_count": "3"}], "next_page_token": "2"});
    let second = json!({"topics": [{"name": "b"}, {"name": "x", "internal": true}]});
    let server = Server::start([token(), ready, ok(&first), ok(&second)]).await;
    let topics = plane(&server).await.topics().await.unwrap();
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!((names, topics[0].partitions), (vec!["a", "b"], Some(3)));
    assert_eq!(lines(&server)[3], "GET /v1/topics?page_token=2");
}

#[test]
fn regions_have_neighbours() {
    for (oci, aws) in [
        ("us-ashburn-1", "us-east-1"),
        ("eu-frankfurt-1", "eu-central-1"),
        ("uk-london-1", "eu-west-2"),
        ("ap-mumbai-1", "ap-south-1"),
        ("us-phoenix-1", "us-west-2"),
        ("ap-tokyo-1", "ap-northeast-1"),
        ("somewhere-new-1", "us-east-1"),
    ] {
        assert_eq!(nearest_region(oci), aws, "{oci}");
    }
}

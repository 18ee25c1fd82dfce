//! What the rules say of good and bad resources.

use super::*;
use serde_json::json;

fn around() -> Surroundings {
    let keys = |keys: &[&str]| keys.iter().map(|k| (*k).to_owned()).collect();
    Surroundings {
        secrets: BTreeMap::from([
            ("dapr-state".to_owned(), keys(&["connection-string"])),
            (
                "kafka-credentials".to_owned(),
                keys(&["username", "password"]),
            ),
        ]),
        app_ids: keys(&["backend", "worker"]),
        topics: keys(&["task-events", "task-events-dlq"]),
    }
}

fn object(kind: &str, name: &str, rest: Value) -> Manifest {
    let mut body =
        json!({"apiVersion": "dapr.io/v1alpha1", "kind": kind, "metadata": {"name": name}});
    let Value::Object(rest) = rest else {
        panic!("fields of an object, not {rest}")
    };
    for (key, value) in rest {
        body[key] = value;
    }
    Manifest::new(body).unwrap()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "literals read better at the calls"
)]
fn component(of: &str, version: &str, metadata: Value) -> Manifest {
    object(
        "Component",
        "c",
        json!({"spec": {"type": of, "version": version, "metadata": metadata}}),
    )
}

fn kafka(more: Value) -> Manifest {
    let mut metadata = vec![
        json!({"name": "brokers", "value": "b:9092"}),
        json!({"name": "authType", "value": "none"}),
    ];
    let Value::Array(more) = more else {
        panic!("a list of fields, not {more}")
    };
    metadata.extend(more);
    component("pubsub.kafka", "v1", json!(metadata))
}

fn said(manifests: &[Manifest]) -> Vec<String> {
    check(manifests, &around())
        .into_iter()
        .map(|f| match f.hint {
            Some(hint) => format!("{} ({hint})", f.summary),
            None => f.summary,
        })
        .collect()
}

#[test]
fn slips_in_components_are_found_with_what_was_meant() {
    let cases = [
        (
            kafka(json!([{"name": "saslMechansim", "value": "SHA-512"}])),
            "Component `c` has the unknown metadata `saslMechansim` (did you mean `saslMechanism`?)",
        ),
        (
            kafka(json!([{"name": "saslMechanism", "value": "SCRAM-SHA-256"}])),
            "Component `c` has `SCRAM-SHA-256` as its saslMechanism (Dapr's word for it is `SHA-256`; it takes all others for PLAIN)",
        ),
        (
            kafka(json!([{"name": "initialOffset", "value": "earliest"}])),
            "Component `c` has `earliest` as its initialOffset (one of: newest, oldest)",
        ),
        (
            kafka(
                json!([{"name": "caCert", "secretKeyRef": {"name": "kafka-credential", "key": "ca"}}]),
            ),
            "Component `c` takes `caCert` from the secret `kafka-credential`, which is not there (did you mean `kafka-credentials`?)",
        ),
        (
            kafka(
                json!([{"name": "caCert", "secretKeyRef": {"name": "kafka-credentials", "key": "pasword"}}]),
            ),
            "Component `c` takes `caCert` from the key `pasword`, which the secret `kafka-credentials` lacks (did you mean `password`?)",
        ),
        (
            kafka(json!([{"name": "clientID"}])),
            "Component `c` needs one value for `clientID`, and has 0 (write `value`, `secretKeyRef` or `envRef`)",
        ),
        (
            component("state.postgres", "v2", json!([])),
            "Component `c` has the type `state.postgres`, which Dapr does not have (did you mean `state.postgresql`?)",
        ),
        (
            component("scheduler.jobs", "v1", json!([])),
            "Component `c` has the invented type `scheduler.jobs` (jobs need no component: the app schedules them through its sidecar)",
        ),
        (
            component("pubsup.kafka", "v1", json!([])),
            "Component `c` has the invented type `pubsup.kafka` (did you mean `pubsub.kafka`?)",
        ),
        (
            component(
                "state.postgresql",
                "v3",
                json!([{"name": "host", "value": "h"}]),
            ),
            "Component `c` asks for version `v3` of state.postgresql (there is v1 and v2)",
        ),
        (
            component(
                "state.postgresql",
                "v2",
                json!([{"name": "connectionString", "value": "postgres://u:p@h/d"}]),
            ),
            "Component `c` shows `connectionString` to everyone who may read components (put it into a Kubernetes secret and write `secretKeyRef`)",
        ),
        (
            object("Componnent", "c", json!({})),
            "Componnent `c` is of a kind that Dapr does not have (did you mean `Component`?)",
        ),
    ];
    for (manifest, wanted) in cases {
        assert_eq!(said(&[manifest]), [wanted]);
    }
}

#[test]
fn scopes_and_stores_must_exist() {
    let manifest = object(
        "Component",
        "secrets",
        json!({
            "spec": {"type": "secretstores.kubernetes", "version": "v1", "metadata": [], "scopes": ["backend"]},
            "auth": {"secretStore": "kubernets"},
            "scopes": ["backand"],
        }),
    );
    assert_eq!(
        said(&[manifest]),
        [
            "Component `secrets` has `scopes` inside `spec`, where Dapr does not look (move `scopes` to the top level, beside `spec`)",
            "Component `secrets` takes its secrets from the store `kubernets`, which is not there (did you mean `kubernetes`?)",
            "Component `secrets` is for the app ID `backand`, which no service has (did you mean `backend`?)",
        ]
    );
}

#[test]
fn a_password_needs_its_user_and_more_than_plain() {
    let manifest = component(
        "pubsub.kafka",
        "v1",
        json!([
            {"name": "brokers", "value": "b:9092"},
            {"name": "authType", "value": "password"},
            {"name": "disableTls", "value": true},
            {"name": "saslPassword", "secretKeyRef": {"name": "kafka-credentials", "key": "password"}},
        ]),
    );
    assert_eq!(
        said(&[manifest]),
        [
            "Component `c` lacks the metadata `saslUsername`, which authType `password` needs",
            "Component `c` would send its password in the clear (use TLS, or a SCRAM mechanism)",
        ]
    );
}

#[test]
fn subscriptions_and_resiliency_point_at_what_is_there() {
    let broker = {
        let mut body = kafka(json!([])).body().clone();
        body["metadata"]["name"] = json!("kafka-pubsub");
        Manifest::new(body).unwrap()
    };
    let mut subscription = object(
        "Subscription",
        "s",
        json!({"spec": {"pubsubname": "kafka-pubsb", "topic": "task-event", "route": "/e"}}),
    )
    .body()
    .clone();
    subscription["apiVersion"] = json!("dapr.io/v2alpha1");
    let resiliency = object(
        "Resiliency",
        "r",
        json!({"spec": {
            "policies": {"retries": {"publish": {}}},
            "targets": {"components": {"kafka": {"outbound": {"retry": "publsh"}}}},
        }}),
    );
    assert_eq!(
        said(&[broker, Manifest::new(subscription).unwrap(), resiliency]),
        [
            "Subscription `s` listens to the pub/sub component `kafka-pubsb`, which is not there (did you mean `kafka-pubsub`?)",
            "Subscription `s` names the topic `task-event`, which does not exist (did you mean `task-events`?)",
            "Subscription `s` needs `routes` in version v2alpha1 (`v1alpha1` has `route`, `v2alpha1` has `routes`)",
            "Resiliency `r` is for the component `kafka`, which is not there (did you mean `kafka-pubsub`?)",
            "Resiliency `r` uses the retry `publsh`, which it does not define (did you mean `publish`?)",
        ]
    );
}

fn resolved(sets: &[&str]) -> Profile {
    struct Nothing;
    impl crate::profile::Sources for Nothing {
        fn env(&self, _: &str) -> Option<String> {
            None
        }
        fn file(&self, _: &std::path::Path) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }
        fn secret(&self, _: &str) -> Option<crate::secret::Secret> {
            None
        }
    }
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
    let loaded = crate::profile::load("sandbox", &sets).unwrap();
    loaded.resolve(&Nothing).unwrap()
}

#[test]
fn what_todoctl_renders_passes_its_own_checks() {
    for sets in [
        vec![],
        vec!["kafka.auth.mechanism=scram-sha-512", "kafka.tls=true"],
        vec![
            "kafka.provider=external",
            "kafka.brokers=[b.example:9092]",
            "kafka.tls=true",
            "kafka.auth={mechanism: scram-sha-256, username: u, password: pw-pw-pw}",
            "dapr.subscriptions=[{topic: reminders, app_id: backend, route: /r}]",
        ],
    ] {
        let (all, warnings) = checked(&resolved(&sets), &render::Inputs::default(), &[]).unwrap();
        assert!(all.len() >= 5);
        assert_eq!(warnings.len(), 0, "{sets:?}");
    }
}

#[test]
fn files_of_the_user_are_checked_like_our_own() {
    let file = |text: &str| {
        let files = [("extra.yaml".to_owned(), text.to_owned())];
        checked(&resolved(&[]), &render::Inputs::default(), &files)
            .map_err(|findings| findings.into_iter().map(|f| f.summary).collect::<Vec<_>>())
    };
    let head = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: extra}\n";
    let good = format!(
        "{head}spec: {{type: bindings.cron, version: v1, metadata: [{{name: schedule, value: '@daily'}}]}}\n"
    );
    let (all, warnings) = file(&good).unwrap();
    assert!(all.iter().any(|m| m.name() == "extra"));
    assert_eq!(warnings.len(), 1);
    let bad = format!("{head}spec: {{type: scheduler.jobs, version: v1, metadata: []}}\n");
    assert_eq!(
        file(&bad).unwrap_err(),
        ["Component `extra` has the invented type `scheduler.jobs`"]
    );
    let foreign = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n";
    assert_eq!(
        file(foreign).unwrap_err(),
        ["extra.yaml: Pod p is no resource of Dapr's"]
    );
}

#[test]
fn foreign_types_are_let_through_with_a_warning() {
    let manifest = component(
        "state.redis",
        "v1",
        json!([{"name": "redisHost", "value": "r"}]),
    );
    let findings: Vec<Finding> = check(&[manifest], &around()).into_iter().collect();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity, crate::finding::Severity::Warning);
}

#[test]
fn durations_are_gos() {
    for (text, good) in [
        ("60s", true),
        ("1m30s", true),
        ("1.5h", true),
        ("60", false),
        ("s", false),
        ("", false),
    ] {
        assert_eq!(is_duration(text), good, "{text}");
    }
}

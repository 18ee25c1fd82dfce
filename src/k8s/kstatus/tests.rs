//! The rules, kind by kind.

use super::*;
use serde_json::json;

/// An object of a kind with this spec and status.
fn object(api_version: &str, kind: &str, spec: &Value, status: &Value) -> Manifest {
    Manifest::new(json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": "x", "generation": 2},
        "spec": spec, "status": status
    }))
    .unwrap()
}

fn conditions(list: &[(&str, &str, &str)]) -> Value {
    let list: Vec<Value> = list
        .iter()
        .map(|(kind, status, reason)| {
            json!({"type": kind, "status": status, "reason": reason, "message": "said so"})
        })
        .collect();
    json!(list)
}

/// `ok`, or the first letter of what else, with its reason.
fn judged(api: &str, kind: &str, spec: &Value, status: &Value, rules: Rules) -> String {
    match assess(&object(api, kind, spec, status), rules) {
        Readiness::Current => "ok".to_owned(),
        Readiness::InProgress(why) => format!("... {why}"),
        Readiness::Failed(why) => format!("!!! {why}"),
    }
}

fn table(api: &str, kind: &str, cases: &[(Value, Value, &str)]) {
    for (spec, status, wanted) in cases {
        let got = judged(api, kind, spec, status, Rules::default());
        assert_eq!(&got, wanted, "{kind} {spec} {status}");
    }
}

#[test]
fn a_deployment_is_ready_when_its_new_pods_are_and_its_old_ones_are_gone() {
    let status = |updated: i64, total: i64, available: i64| {
        json!({"observedGeneration": 2, "updatedReplicas": updated, "replicas": total,
               "availableReplicas": available, "readyReplicas": available})
    };
    let stuck = json!({"observedGeneration": 2, "conditions":
        conditions(&[("Progressing", "False", "ProgressDeadlineExceeded")])});
    let two = json!({"replicas": 2});
    table(
        "apps/v1",
        "Deployment",
        &[
            (
                two.clone(),
                json!({}),
                "... its controller has not seen it yet",
            ),
            (
                two.clone(),
                json!({"observedGeneration": 1}),
                "... its controller has not seen the latest change yet",
            ),
            (
                two.clone(),
                status(1, 2, 2),
                "... 1 of 2 new pods are there",
            ),
            (
                two.clone(),
                status(2, 3, 2),
                "... 1 old pods are still there",
            ),
            (
                two.clone(),
                status(2, 2, 1),
                "... 1 of 2 pods are available",
            ),
            (two.clone(), status(2, 2, 2), "ok"),
            (json!({}), status(1, 1, 1), "ok"),
            (json!({"paused": true}), json!({}), "ok"),
            (two, stuck, "!!! ProgressDeadlineExceeded: said so"),
        ],
    );
}

#[test]
fn a_deadline_of_an_older_form_says_nothing_about_the_newest() {
    let judged = |said: &str, written: &str| {
        let body = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "x", "generation": 2, "managedFields": [
                {"manager": "helm", "operation": "Apply", "time": written},
                {"manager": "kubelet", "operation": "Update", "subresource": "status",
                 "time": "2030-01-01T00:00:00Z"}]},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 2, "conditions": [{
                "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                "message": "late", "lastUpdateTime": said}]},
        });
        assess(&Manifest::new(body).unwrap(), Rules::default())
    };
    let (before, after) = ("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z");
    assert!(matches!(judged(after, before), Readiness::Failed(_)));
    assert!(matches!(judged(before, after), Readiness::InProgress(_)));
    // A deadline is never over in the second in which it was set.
    assert!(matches!(judged(after, after), Readiness::InProgress(_)));
}

#[test]
fn a_stateful_set_honours_its_strategy() {
    let status = |ready: i64, updated: i64, done: bool| {
        json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": ready,
               "updatedReplicas": updated, "currentRevision": if done {"b"} else {"a"},
               "updateRevision": "b"})
    };
    let spec = json!({"replicas": 2});
    let partition = json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}});
    table(
        "apps/v1",
        "StatefulSet",
        &[
            (
                json!({}),
                json!({}),
                "... its controller has not seen it yet",
            ),
            (
                spec.clone(),
                status(1, 2, true),
                "... 1 of 2 pods are ready",
            ),
            (
                spec.clone(),
                status(2, 1, false),
                "... 1 of 2 pods are updated",
            ),
            (spec, status(2, 2, true), "ok"),
            (
                partition.clone(),
                status(2, 0, false),
                "... 0 of 1 pods are updated",
            ),
            (partition, status(2, 1, false), "ok"),
            (
                json!({"updateStrategy": {"type": "OnDelete"}}),
                json!({}),
                "ok",
            ),
        ],
    );
}

#[test]
fn other_kinds_have_rules_of_their_own() {
    table(
        "apps/v1",
        "DaemonSet",
        &[
            (
                json!({}),
                json!({}),
                "... its controller has not seen it yet",
            ),
            (
                json!({}),
                json!({"observedGeneration": 2, "desiredNumberScheduled": 2,
                       "currentNumberScheduled": 2, "updatedNumberScheduled": 1}),
                "... 1 of 2 pods are updated",
            ),
            (
                json!({}),
                json!({"observedGeneration": 2, "desiredNumberScheduled": 0}),
                "ok",
            ),
        ],
    );
    table(
        "v1",
        "Pod",
        &[
            (
                json!({}),
                json!({"phase": "Pending"}),
                "... its containers are not running yet",
            ),
            (
                json!({}),
                json!({"phase": "Pending", "conditions":
                       conditions(&[("PodScheduled", "False", "Unschedulable")])}),
                "... Unschedulable: said so",
            ),
            (
                json!({}),
                json!({"phase": "Running"}),
                "... nothing says that it is ready",
            ),
            (
                json!({}),
                json!({"phase": "Running", "conditions": conditions(&[("Ready", "True", "")])}),
                "ok",
            ),
            (json!({}), json!({"phase": "Succeeded"}), "ok"),
            (
                json!({}),
                json!({"phase": "Failed"}),
                "!!! its containers ended with an error",
            ),
        ],
    );
    table(
        "v1",
        "PersistentVolumeClaim",
        &[
            (
                json!({}),
                json!({"phase": "Pending"}),
                "... its phase is Pending",
            ),
            (json!({}), json!({"phase": "Bound"}), "ok"),
        ],
    );
    table(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &[
            (json!({}), json!({}), "... it is not established yet"),
            (
                json!({}),
                json!({"conditions": conditions(&[("NamesAccepted", "False", "ListKindConflict")])}),
                "!!! ListKindConflict: said so",
            ),
            (
                json!({}),
                json!({"conditions": conditions(&[("Established", "True", "")])}),
                "ok",
            ),
        ],
    );
    table(
        "apiregistration.k8s.io/v1",
        "APIService",
        &[(
            json!({}),
            json!({"conditions": conditions(&[("Available", "False", "MissingEndpoints")])}),
            "... MissingEndpoints: said so",
        )],
    );
}

#[test]
fn unknown_kinds_go_by_their_conditions() {
    table(
        "example.com/v1",
        "Thing",
        &[
            (json!({}), json!({}), "ok"),
            (
                json!({}),
                json!({"conditions": conditions(&[("Ready", "False", "NoDisk")])}),
                "... NoDisk: said so",
            ),
            (
                json!({}),
                json!({"conditions": conditions(&[("Reconciling", "True", "Busy")])}),
                "... Busy: said so",
            ),
            (
                json!({}),
                json!({"conditions": conditions(&[("Stalled", "True", "Stuck")])}),
                "!!! Stuck: said so",
            ),
            (
                json!({}),
                json!({"observedGeneration": 1, "conditions": conditions(&[("Ready", "True", "")])}),
                "... its controller has not seen the latest change yet",
            ),
        ],
    );
}

#[test]
fn jobs_and_load_balancers_are_waited_for_when_asked() {
    let strict = Rules {
        jobs: true,
        load_balancers: true,
        completion: false,
        ..Rules::default()
    };
    let running = json!({"startTime": "2026-01-01T00:00:00Z", "active": 1});
    let spec = json!({});
    let job = |status: &Value, rules| judged("batch/v1", "Job", &spec, status, rules);
    assert_eq!(job(&running, Rules::default()), "ok");
    assert_eq!(
        job(&running, strict),
        "... 1 pods run, 0 succeeded, 0 failed"
    );
    let failed = json!({"conditions": conditions(&[("Failed", "True", "BackoffLimitExceeded")])});
    assert_eq!(
        job(&failed, Rules::default()),
        "!!! BackoffLimitExceeded: said so"
    );
    let balancer = json!({"type": "LoadBalancer"});
    let service = |status: &Value, rules| judged("v1", "Service", &balancer, status, rules);
    assert_eq!(service(&json!({}), Rules::default()), "ok");
    assert_eq!(
        service(&json!({}), strict),
        "... its load balancer has no address yet"
    );
    let address = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}});
    assert_eq!(service(&address, strict), "ok");
}

#[test]
fn what_is_being_deleted_is_not_ready() {
    let mut body = object("v1", "ConfigMap", &json!({}), &json!({}))
        .body()
        .clone();
    body["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let gone = assess(&Manifest::new(body).unwrap(), Rules::default());
    assert_eq!(
        gone,
        Readiness::InProgress("it is being deleted".to_owned())
    );
}

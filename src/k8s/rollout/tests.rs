use super::super::script::{Script, json_status, ok};
use super::*;
use serde_json::json;
use std::cell::RefCell;

const KINDS: &[(&str, &str, &str, &str, &str)] = &[
    ("apps", "v1", "Deployment", "deployments", "Namespaced"),
    ("apps", "v1", "ReplicaSet", "replicasets", "Namespaced"),
    ("", "v1", "Pod", "pods", "Namespaced"),
    ("", "v1", "Event", "events", "Namespaced"),
];
const DEPLOYMENTS: &str = "GET /apis/apps/v1/namespaces/n/deployments";
const ONLY: &str = "GET /apis/apps/v1/namespaces/n/deployments/b";
const SETS: &str = "GET /apis/apps/v1/namespaces/n/replicasets";
const PODS: &str = "GET /api/v1/namespaces/n/pods";

fn deployment(name: &str, available: i64) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "generation": 1,
                     "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1,
                   "availableReplicas": available, "readyReplicas": available}
    })
}

/// The answer where one Deployment is left to ask for.
fn only(mut deployment: Value) -> (u16, Value) {
    deployment["apiVersion"] = json!("apps/v1");
    deployment["kind"] = json!("Deployment");
    ok(&deployment)
}

fn sets() -> (u16, Value) {
    list(&[set("set-1", "b", "1"), set("set-2", "b", "2")])
}

fn set(name: &str, of: &str, revision: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "uid": name,
           "annotations": {"deployment.kubernetes.io/revision": revision},
           "ownerReferences": [{"uid": of}]}})
}

fn pod(name: &str, of: &str, reason: &str, restarts: i64) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "uid": name,
                        "ownerReferences": [{"uid": of}]},
           "status": {"phase": "Running", "containerStatuses": [
               {"name": "app", "restartCount": restarts, "state": {"waiting": {"reason": reason}},
                "lastState": {"terminated": {"exitCode": 7}}}]}})
}

fn list(items: &[Value]) -> (u16, Value) {
    ok(&json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}))
}

fn objects() -> Vec<ObjectRef> {
    let deployment = |name| ObjectRef::namespaced("apps/v1", "Deployment", "n", name);
    let settings = ObjectRef::namespaced("v1", "ConfigMap", "n", "settings");
    vec![deployment("a"), deployment("b"), settings]
}

async fn wait(script: Script) -> (Result<(), K8sError>, Vec<String>) {
    let (kube, script) = script.kube();
    let told = RefCell::new(Vec::new());
    let options = WaitOptions::within(Duration::from_mins(10));
    let say = |text: &str| told.borrow_mut().push(text.to_owned());
    let result = kube.wait_ready(&objects(), &options, &say).await;
    assert_eq!(script.left(), 0, "requests that did not come");
    (result, told.into_inner())
}

#[tokio::test]
async fn many_objects_take_one_list_a_look() {
    let script = Script::new()
        .discovery(KINDS)
        .answer(DEPLOYMENTS, list(&[deployment("a", 1), deployment("b", 0)]))
        .answer(PODS, list(&[]))
        .answer(SETS, list(&[]))
        .answer(ONLY, only(deployment("b", 1)));
    let (result, told) = wait(script).await;
    result.unwrap();
    assert_eq!(
        told,
        ["1 of 2 ready; Deployment n/b: 0 of 1 pods are available"]
    );
}

#[tokio::test]
async fn pods_are_not_judged_before_the_controller_has_seen_the_change() {
    let mut unseen = deployment("b", 0);
    unseen["metadata"]["generation"] = json!(2);
    let script = Script::new()
        .discovery(KINDS)
        .answer(DEPLOYMENTS, list(&[deployment("a", 1), unseen]))
        .answer(ONLY, only(deployment("b", 1)));
    let (result, _) = wait(script).await;
    result.unwrap();
}

#[tokio::test]
async fn a_crash_loop_ends_the_wait_with_the_end_of_the_log() {
    let script = Script::new()
        .discovery(KINDS)
        .answer(DEPLOYMENTS, list(&[deployment("a", 1), deployment("b", 0)]))
        .answer(
            PODS,
            list(&[
                // One of the revision before: it is going anyway.
                pod("old", "set-1", "CrashLoopBackOff", 50),
                pod("new", "set-2", "ContainerCreating", 0),
            ]),
        )
        .answer(SETS, sets())
        .answer("GET /api/v1/namespaces/n/events", list(&[]))
        .answer(ONLY, only(deployment("b", 0)))
        .answer(PODS, list(&[pod("new", "set-2", "CrashLoopBackOff", 3)]))
        .answer(SETS, sets())
        .answer(
            "GET /api/v1/namespaces/n/pods/new/log",
            json_status(404, "NotFound", "no such log"),
        )
        .answer(
            "GET /api/v1/namespaces/n/pods/new/log",
            (200, json!("boom")),
        );
    let (result, _) = wait(script).await;
    let error = result.unwrap_err().to_string();
    assert_eq!(
        error,
        "Deployment n/b cannot become ready: container app of Pod n/new: it ended with exit \
         code 7; CrashLoopBackOff; its log ends: \"boom\""
    );
}

#[tokio::test]
async fn what_failed_before_the_wait_has_another_try() {
    let crash = |restarts| list(&[pod("p", "set-2", "CrashLoopBackOff", restarts)]);
    let mut late = deployment("b", 0);
    late["status"]["conditions"] = json!([{"type": "Progressing", "status": "False",
        "reason": "ProgressDeadlineExceeded", "message": "it has timed out"}]);
    let script = Script::new()
        .discovery(KINDS)
        .answer(DEPLOYMENTS, list(&[deployment("a", 1), late]))
        .answer(PODS, crash(9))
        .answer(SETS, sets())
        .answer(
            "GET /api/v1/namespaces/n/pods/p/log",
            (200, json!("no configuration")),
        )
        .answer(ONLY, only(deployment("b", 1)));
    let (result, told) = wait(script).await;
    result.unwrap();
    let [told] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(told.contains("no configuration"), "{told}");
}

#[tokio::test]
async fn a_deadline_that_passes_during_the_wait_ends_it() {
    let mut late = deployment("b", 0);
    late["spec"]["progressDeadlineSeconds"] = json!(0);
    late["status"]["conditions"] = json!([{"type": "Progressing", "status": "False",
        "reason": "ProgressDeadlineExceeded", "message": "it has timed out"}]);
    let script = Script::new()
        .discovery(KINDS)
        .answer(DEPLOYMENTS, list(&[deployment("a", 1), deployment("b", 0)]))
        .answer(PODS, list(&[]))
        .answer(SETS, sets())
        .answer(ONLY, only(late))
        .answer(PODS, list(&[]))
        .answer(SETS, sets());
    let (result, _) = wait(script).await;
    assert_eq!(
        result.unwrap_err().to_string(),
        "Deployment n/b cannot become ready: ProgressDeadlineExceeded: it has timed out"
    );
}

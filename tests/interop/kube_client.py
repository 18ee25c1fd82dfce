#!/usr/bin/env python3
"""Drives a cluster with the unmodified Kubernetes client for Python.

    KUBECONFIG=... tests/interop/kube_client.py

Everything happens in a namespace of its own, so any cluster will do.
"""

import os
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException

from world import check, finish, same

NAMESPACE = f"interop-python-{os.getpid()}"


def refused(name, status, call, *args, **more):
    try:
        call(*args, **more)
        check(name, False, "is not refused")
    except ApiException as error:
        same(name, error.status, status)


def until(name, seconds, holds):
    """Waits for what controllers and kubelets do."""
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.2)
    check(name, held, "does not come")
    return held


def about_api():
    version = client.VersionApi().get_code()
    same("version", version.major, "1")
    groups = {group.name for group in client.ApisApi().get_api_versions().groups}
    check("groups", {"apps", "batch", "rbac.authorization.k8s.io"} <= groups, groups)
    resources = {r.name for r in client.AppsV1Api().get_api_resources().resources}
    check("resources", {"deployments", "deployments/scale"} <= resources, resources)
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(verb="list", resource="pods")
        )
    )
    made = client.AuthorizationV1Api().create_self_subject_access_review(review)
    same("may I", made.status.allowed, True)


def config_maps():
    core = client.CoreV1Api()
    body = client.V1ConfigMap(
        metadata=client.V1ObjectMeta(name="settings", labels={"app": "todo"}), data={"a": "1"}
    )
    made = core.create_namespaced_config_map(NAMESPACE, body)
    check("created", made.metadata.uid and made.metadata.creation_timestamp.tzinfo)
    refused("created again", 409, core.create_namespaced_config_map, NAMESPACE, body)
    read = core.read_namespaced_config_map("settings", NAMESPACE)
    same("read", read.data, {"a": "1"})
    refused("nothing to read", 404, core.read_namespaced_config_map, "none", NAMESPACE)
    patched = core.patch_namespaced_config_map("settings", NAMESPACE, {"data": {"b": "2"}})
    same("patched", patched.data, {"a": "1", "b": "2"})
    refused("stale", 409, core.replace_namespaced_config_map, "settings", NAMESPACE, read)
    patched.data = {"c": "3"}
    replaced = core.replace_namespaced_config_map("settings", NAMESPACE, patched)
    same("replaced", replaced.data, {"c": "3"})
    patch = [{"op": "add", "path": "/data/d", "value": "4"}]
    same("patched by JSON", core.patch_namespaced_config_map("settings", NAMESPACE, patch).data["d"], "4")
    dry = core.patch_namespaced_config_map("settings", NAMESPACE, {"data": {"e": "5"}}, dry_run="All")
    same("dry run", dry.data["e"], "5")
    for n in range(4):
        name = client.V1ObjectMeta(name=f"page-{n}", labels={"paged": "yes"})
        core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(metadata=name))
    first = core.list_namespaced_config_map(NAMESPACE, label_selector="paged=yes", limit=3)
    same("first page", (len(first.items), first.metadata.remaining_item_count), (3, None))
    rest = core.list_namespaced_config_map(
        NAMESPACE, label_selector="paged=yes", limit=3, _continue=first.metadata._continue
    )
    same("second page", [item.metadata.name for item in rest.items], ["page-3"])
    found = core.list_config_map_for_all_namespaces(field_selector="metadata.name=settings")
    check("by field", any(item.metadata.namespace == NAMESPACE for item in found.items))
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="paged=yes")
    seen = []
    for event in watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=5
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 4:
            break
    same("watched", sorted(seen), [("DELETED", f"page-{n}") for n in range(4)])


def applied():
    """Server-side apply by the dynamic client, which discovers kinds itself."""
    dynamic_client = dynamic.DynamicClient(client.ApiClient())
    services = dynamic_client.resources.get(api_version="v1", kind="Service")
    body = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    more = {"namespace": NAMESPACE, "field_manager": "python"}
    made = services.server_side_apply(body=body, **more)
    check("applied", made.spec.clusterIP.startswith("10."), made.spec.clusterIP)
    again = services.server_side_apply(body=body, **more)
    same("applied again", again.metadata.resourceVersion, made.metadata.resourceVersion)
    body["spec"]["ports"][0]["targetPort"] = 9090
    more["field_manager"] = "other"
    refused("conflict", 409, services.server_side_apply, body=body, **more)
    forced = services.server_side_apply(body=body, force_conflicts=True, **more)
    same("forced", forced.spec.ports[0].targetPort, 9090)
    utils.create_from_dict(
        client.ApiClient(), namespace=NAMESPACE,
        data={"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}},
    )
    secret = client.CoreV1Api().read_namespaced_secret("s", NAMESPACE)
    same("secret", secret.data, {"k": "dg=="})


def workloads():
    apps, core, batch = client.AppsV1Api(), client.CoreV1Api(), client.BatchV1Api()
    pod = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": pod}
    apps.create_namespaced_deployment(NAMESPACE, {"metadata": {"name": "web"}, "spec": spec})
    read = lambda: apps.read_namespaced_deployment_status("web", NAMESPACE).status
    until("deployment is ready", 60, lambda: read().ready_replicas == 2)
    pods = core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items
    same("pods run", [pod.status.phase for pod in pods], ["Running"] * 2)
    check("logs", isinstance(core.read_namespaced_pod_log(pods[0].metadata.name, NAMESPACE), str))
    scale = apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 1}})
    same("scaled", scale.spec.replicas, 1)
    until("pods leave", 60, lambda: len(core.list_namespaced_pod(NAMESPACE).items) == 1)
    invalid = {"metadata": {"name": "bad"}, "spec": spec | {"replicas": -1}}
    refused("invalid", 422, apps.create_namespaced_deployment, NAMESPACE, invalid)
    left = core.list_namespaced_pod(NAMESPACE).items[0].metadata.name
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=left))
    core.create_namespaced_pod_eviction(left, NAMESPACE, eviction)
    new = lambda: [p.metadata.name for p in core.list_namespaced_pod(NAMESPACE).items]
    until("evicted pod is replaced", 60, lambda: new() and left not in new())
    once = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox:1"}]}
    job = {"metadata": {"name": "once"}, "spec": {"template": {"spec": once}}}
    batch.create_namespaced_job(NAMESPACE, job)
    until("job is over", 60, lambda: batch.read_namespaced_job("once", NAMESPACE).status.conditions)
    nodes = core.list_node().items
    check("nodes", nodes and all(node.status.allocatable["cpu"] for node in nodes))


def ends():
    core = client.CoreV1Api()
    client.AppsV1Api().delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")
    until("pods go with it", 60, lambda: not core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items)
    core.delete_namespace(NAMESPACE)

    def gone():
        try:
            core.read_namespace(NAMESPACE)
            return False
        except ApiException as error:
            return error.status == 404

    until("namespace goes", 60, gone)


def main():
    config.load_kube_config()
    client.CoreV1Api().create_namespace({"metadata": {"name": NAMESPACE}})
    for part in (about_api, config_maps, applied, workloads, ends):
        try:
            part()
        except Exception as error:
            check(part.__name__, False, f"{type(error).__name__}: {error}")
    finish()


if __name__ == "__main__":
    main()

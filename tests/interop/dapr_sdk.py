#!/usr/bin/env python3
"""Drives the sidecar of a rehearsal's backend with the unmodified Dapr SDK for
Python, reached by port-forward as a real one is.

    WORLD=… KUBECONFIG=… TODOCTL=… tests/interop/dapr_sdk.py

WORLD is the home folder of the rehearsal, with the app deployed.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time

os.environ["no_proxy"] = "127.0.0.1,localhost"

from dapr.clients import BulkPublishEntry, DaprClient
from dapr.clients.exceptions import DaprGrpcError
from dapr.clients.grpc._jobs import ConstantFailurePolicy, DropFailurePolicy, Job
from dapr.clients.grpc._request import TransactionalStateOperation, TransactionOperationType
from dapr.clients.grpc._state import Concurrency, StateItem, StateOptions
from dapr.conf import settings
from google.protobuf.any_pb2 import Any
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value
from grpc import RpcError, StatusCode
from kubernetes import client, config
from kubernetes.stream import portforward

from world import check, finish, same

NAMESPACE, PUBSUB, STORE, SECRETS = "todo", "kafka-pubsub", "statestore", "kubernetes-secrets"
TOPICS = ("task-events", "task-updates", "reminders")
RUN = f"interop-{os.getpid()}"


def refused(name, code, text, call, *args, **more):
    """The SDK passes some errors of gRPC on as they are."""
    try:
        call(*args, **more)
    except DaprGrpcError as error:
        got = error.code(), error.details()
    except RpcError as error:
        got = error.code(), error.details()
    else:
        check(name, False, "is not refused")
        return
    check(name, got[0] == code and text in got[1], got)


def until(name, seconds, holds):
    """Waits for what the world does."""
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.2)
    check(name, held, "does not come")


def pump(source, sink):
    """Passes bytes on until one side ends."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def forward(api, pod, port):
    """A local port whose connections go to a port of the pod."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            near, _ = listener.accept()
            connect = api.connect_get_namespaced_pod_portforward
            far = portforward(connect, pod, NAMESPACE, ports=str(port)).socket(port)
            far.setblocking(True)
            for ends in ((near, far), (far, near)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def sidecar(api):
    """The name of a pod with a sidecar."""
    pods = api.list_namespaced_pod(NAMESPACE).items
    names = [p.metadata.name for p in pods if any(c.name == "daprd" for c in p.spec.containers)]
    if not names:
        sys.exit("no pod has a sidecar")
    return names[0]


def todoctl(*arguments):
    env = {"HOME": os.environ["WORLD"], "PATH": os.environ["PATH"]}
    command = [os.environ["TODOCTL"], *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    return done.stdout


def events(topic):
    tail = todoctl("events", "tail", topic, "--from", "earliest", "--no-follow", "-o", "json")
    return [json.loads(line) for line in tail.splitlines() if line.startswith("{")]


def about_metadata(dapr):
    about = dapr.get_metadata()
    same("app id", about.application_id, "backend")
    kinds = {c.name: c.type for c in about.registered_components}
    same("components", (kinds.get(PUBSUB), kinds.get(STORE)), ("pubsub.kafka", "state.postgresql"))
    check("version", about.extended_metadata.get("daprRuntimeVersion"), about.extended_metadata)
    dapr.set_metadata("interop", RUN)
    same("own metadata", dapr.get_metadata().extended_metadata.get("interop"), RUN)


def about_publishing(dapr):
    for topic in TOPICS:
        # The app drops what has expired, so that nothing is done for it.
        metadata = {"cloudevent.id": f"{RUN}-{topic}", "cloudevent.type": "dev.todoctl.interop",
                    "partitionKey": RUN, "ttlInSeconds": "-1"}
        data = json.dumps({"run": RUN, "text": "\u00e4 %"})
        dapr.publish_event(PUBSUB, topic, data, publish_metadata=metadata,
                           data_content_type="application/json")
        found = [e["event"] for e in events(topic) if e["event"].get("id") == f"{RUN}-{topic}"]
        same(f"one event in {topic}", len(found), 1)
        event = found[0] if found else {}
        same(f"data in {topic}", event.get("data"), {"run": RUN, "text": "\u00e4 %"})
        same(f"envelope in {topic}",
             [event.get(name) for name in ("source", "type", "topic", "pubsubname")],
             ["backend", "dev.todoctl.interop", topic, PUBSUB])
    refused("unknown pubsub", StatusCode.INVALID_ARGUMENT, "pubsub nowhere is not found",
            dapr.publish_event, "nowhere", "task-events", "1")
    refused("unknown topic", StatusCode.INTERNAL, "nothing-here",
            dapr.publish_event, PUBSUB, "nothing-here", "1")
    refused("too large", StatusCode.RESOURCE_EXHAUSTED, "larger than max",
            dapr.publish_event, PUBSUB, "task-events", b"x" * (5 << 20))


def about_bulk_publishing(dapr):
    topic = "reminders"
    names = [f"{RUN}-bulk-{n}" for n in range(5)]
    entries = [
        BulkPublishEntry(event=json.dumps({"n": n}), metadata={"cloudevent.id": name})
        for n, name in enumerate(names)
    ]
    # Of all at once: one key, and nobody has to take them.
    metadata = {"partitionKey": RUN, "ttlInSeconds": "-1"}
    answer = dapr.publish_events(PUBSUB, topic, entries, publish_metadata=metadata,
                                 data_content_type="application/json")
    same("none of many failed", list(answer.failed_entries), [])
    found = [e for e in events(topic) if e["event"].get("id") in names]
    same("many events in their order", [e["event"]["id"] for e in found], names)
    same("data of many", [e["event"].get("data") for e in found], [{"n": n} for n in range(5)])
    same("one partition for one key", len({e["partition"] for e in found}), 1)
    twice = [BulkPublishEntry(event="1", entry_id="same"), BulkPublishEntry(event="2", entry_id="same")]
    refused("the same entry twice", StatusCode.INVALID_ARGUMENT, "entryId is duplicated",
            dapr.publish_events, PUBSUB, topic, twice)
    refused("many to an unknown pubsub", StatusCode.INVALID_ARGUMENT, "pubsub nowhere is not found",
            dapr.publish_events, "nowhere", topic, ["1"])
    refused("many to an unknown topic", StatusCode.INTERNAL, "nothing-here",
            dapr.publish_events, PUBSUB, "nothing-here", ["1", "2"])


def about_state(dapr):
    key, other = f"{RUN}-a", f"{RUN}-b"
    for value in (b'{"n": 1}', b'{"n":1}', b"plain text", b"\x00\xff", "\u00e4".encode()):
        dapr.save_state(STORE, key, value)
        same(f"state {value!r}", dapr.get_state(STORE, key).data, value)
    etag = dapr.get_state(STORE, key).etag
    check("an etag", etag, etag)
    dapr.save_state(STORE, key, "2", etag=etag)
    refused("old etag", StatusCode.ABORTED, "etag mismatch", dapr.save_state, STORE, key, "3", etag=etag)
    refused("no etag of ours", StatusCode.ABORTED, "etag mismatch",
            dapr.delete_state, STORE, key, etag="0")
    refused("not the first write", StatusCode.INTERNAL, "no item was updated", dapr.save_state, STORE,
            key, "3", options=StateOptions(concurrency=Concurrency.first_write))
    same("unchanged", dapr.get_state(STORE, key).data, b"2")
    dapr.save_bulk_state(STORE, [StateItem(key=key, value="1"), StateItem(key=other, value="[2]")])
    items = {i.key: i.data for i in dapr.get_bulk_state(STORE, [key, other, f"{RUN}-c"]).items}
    same("in bulk", items, {key: b"1", other: b"[2]", f"{RUN}-c": b""})
    change = TransactionalStateOperation
    delete = TransactionOperationType.delete
    dapr.execute_state_transaction(STORE, [change(key, "5"), change(other, operation_type=delete)])
    same("transaction writes", dapr.get_state(STORE, key).data, b"5")
    same("transaction deletes", dapr.get_state(STORE, other).data, b"")
    refused("transaction with an old etag", StatusCode.INTERNAL, "state transaction",
            dapr.execute_state_transaction, STORE, [change(other, "6"), change(key, "6", etag=etag)])
    same("all or nothing", dapr.get_state(STORE, other).data, b"")
    dapr.save_state(STORE, other, "1", state_metadata={"ttlInSeconds": "1"})
    until("expiry", 10, lambda: dapr.get_state(STORE, other).data == b"")
    dapr.delete_state(STORE, key, etag=dapr.get_state(STORE, key).etag)
    same("deleted", dapr.get_state(STORE, key).data, b"")
    dapr.delete_state(STORE, key)
    check("deleting what is not there", True)
    refused("unknown store", StatusCode.INVALID_ARGUMENT, "state store nowhere is not found",
            dapr.get_state, "nowhere", key)
    refused("odd key", StatusCode.INVALID_ARGUMENT, "can't contain '||'",
            dapr.save_state, STORE, "a||b", "1")


def about_secrets(dapr, api, account):
    wanted = api.read_namespaced_secret("app-secrets", NAMESPACE).data
    got = dict(dapr.get_secret(SECRETS, "app-secrets").secret)
    same("keys of a secret", sorted(got), sorted(wanted))
    check("a secret's texts", all(got.values()))
    refused("a secret that the policy denies", StatusCode.PERMISSION_DENIED, "access denied by policy",
            dapr.get_secret, SECRETS, "dapr-state")
    refused("unknown secret store", StatusCode.INVALID_ARGUMENT, "nowhere",
            dapr.get_secret, "nowhere", "app-secrets")
    refused("all secrets without the right", StatusCode.INTERNAL, "forbidden",
            dapr.get_bulk_secret, SECRETS)
    rbac = client.RbacAuthorizationV1Api()
    rule = client.V1PolicyRule(api_groups=[""], resources=["secrets"], verbs=["list"])
    meta = client.V1ObjectMeta(name=RUN)
    rbac.create_namespaced_role(NAMESPACE, client.V1Role(metadata=meta, rules=[rule]))
    who = client.RbacV1Subject(kind="ServiceAccount", name=account, namespace=NAMESPACE)
    role = client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name=RUN)
    binding = client.V1RoleBinding(metadata=meta, subjects=[who], role_ref=role)
    rbac.create_namespaced_role_binding(NAMESPACE, binding)
    every = {name: dict(data) for name, data in dapr.get_bulk_secret(SECRETS).secrets.items()}
    same("all secrets that the policy allows", every, {"app-secrets": got})
    rbac.delete_namespaced_role_binding(RUN, NAMESPACE)
    rbac.delete_namespaced_role(RUN, NAMESPACE)


def about_jobs(dapr):
    name = f"{RUN}-job"
    own, packed = Any(value=b'{"task": 7}'), Any()
    value = Value()
    value.struct_value.update({"task": 7, "tags": ["a", None, True], "half": 0.5})
    packed.Pack(value)
    for kind, data in (("bytes", own), ("a value", packed)):
        wanted = Job(name, schedule="@every 1000h", repeats=3, ttl="2000h", data=data,
                     failure_policy=ConstantFailurePolicy(max_retries=2, interval_seconds=5))
        dapr.schedule_job(wanted, overwrite=True)
        got = dapr.get_job(name)
        same(f"a job with {kind}", (got.name, got.schedule, got.repeats, got.ttl),
             (name, "@every 1000h", 3, "2000h"))
        if kind == "bytes":
            same("its bytes", (got.data.type_url, got.data.value), ("", own.value))
        else:
            read = Value()
            check("its type", got.data.Unpack(read))
            same("its value", MessageToDict(read), MessageToDict(value))
        policy = got.failure_policy
        same(f"the policy of a job with {kind}", (policy.max_retries, policy.interval_seconds), (2, 5))
    refused("the same job again", StatusCode.ALREADY_EXISTS, "already exists",
            dapr.schedule_job, Job(name, schedule="@daily"))
    dapr.schedule_job(Job(name, due_time="1000h", failure_policy=DropFailurePolicy()), overwrite=True)
    got = dapr.get_job(name)
    same("another job of the name", (got.schedule, got.due_time, got.data), (None, "1000h", None))
    check("a policy without tries", isinstance(got.failure_policy, DropFailurePolicy))
    dapr.delete_job(name)
    refused("a deleted job", StatusCode.INTERNAL, "job not found", dapr.get_job, name)
    dapr.delete_job(name)
    check("deleting what is not there", True)
    refused("an odd schedule", StatusCode.INTERNAL, "failed to parse schedule",
            dapr.schedule_job, Job(name, schedule="now and then"))

    def gone():
        try:
            dapr.get_job(name)
        except DaprGrpcError:
            return True
        return False

    dapr.schedule_job(Job(name, due_time="1s", failure_policy=DropFailurePolicy()))
    until("a due job is triggered", 20, gone)


def main():
    config.load_kube_config()
    api = client.CoreV1Api()
    pod = sidecar(api)
    account = api.read_namespaced_pod(pod, NAMESPACE).spec.service_account_name
    # A connection of its own: the client for port-forwards is patched while used.
    streams = client.CoreV1Api(client.ApiClient())
    settings.DAPR_HTTP_PORT = forward(streams, pod, 3500)
    with DaprClient(f"127.0.0.1:{forward(streams, pod, 50001)}") as dapr:
        about_metadata(dapr)
        about_publishing(dapr)
        about_bulk_publishing(dapr)
        about_state(dapr)
        about_secrets(dapr, api, account)
        about_jobs(dapr)
        refused("what is not there", StatusCode.UNIMPLEMENTED, "unknown method",
                dapr.try_lock, "lock", "thing", "me", 10)
    finish()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Real helm 3 and 4 on releases that todoctl made, and the other way round.

    KUBECONFIG=... HELM=... DRIVER=... tests/interop/releases.py

HELM is a helm binary, DRIVER the behaviour tests' binary, whose test
`release::driver` does one operation of todoctl's library. Everything happens in
namespaces and with a definition of its own, so any cluster will do; releases are
made without waiting, as a cluster may have no nodes.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HELM = os.environ["HELM"]
DRIVER = os.environ["DRIVER"]
KUBECONFIG = os.environ["KUBECONFIG"]
MAJOR = subprocess.run(
    [HELM, "version", "--template", "{{.Version}}"], capture_output=True, text=True, check=True
).stdout.strip()[1]

CHART = {
    "Chart.yaml": """\
apiVersion: v2
name: web
version: 1.0.0
appVersion: "7"
""",
    "values.yaml": "level: info\nextra: true\nkept: true\nreplicas: 1\n",
    "README.md": "Not for records.\n",
    "templates/NOTES.txt": "Level {{ .Values.level }} in {{ .Release.Namespace }}.\n",
    "templates/app.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  level: {{ .Values.level | quote }}
{{- if .Values.extra }}
  extra: "yes"
{{- end }}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec: {selector: {app: web}, ports: [{port: 80, name: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: example.com/c:{{ .Values.level }}
        resources: {requests: {cpu: 1000m, memory: 1024Mi}}
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {k: v}
{{- if .Values.extra }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: extra}
{{- end }}
{{- if .Values.kept }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: kept
  annotations: {helm.sh/resource-policy: keep}
{{- end }}
""",
    "templates/hook.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: hook
  annotations:
    helm.sh/hook: pre-install,pre-upgrade,post-rollback,pre-delete
    helm.sh/hook-weight: "-5"
""",
}

failures = 0
passed = 0


def write_chart(folder):
    for name, text in CHART.items():
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


def helm(*args, wanted=0):
    done = subprocess.run([HELM, *args], capture_output=True, text=True)
    if done.returncode != wanted:
        raise AssertionError(
            f"helm {' '.join(args)} ends with {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout if wanted == 0 else done.stderr


def todoctl(operation, namespace, **more):
    request = {"kubeconfig": KUBECONFIG, "operation": operation, "namespace": namespace}
    request |= {"name": "one", "createNamespace": True, "chart": chart} | more
    done = subprocess.run(
        [DRIVER, "release::driver", "--exact", "--ignored", "--nocapture"],
        env=os.environ | {"RELEASE_REQUEST": json.dumps(request)},
        capture_output=True,
        text=True,
    )
    for line in done.stdout.splitlines():
        _, found, answer = line.partition("ANSWER ")
        if found:
            answer = json.loads(answer)
            if "ok" not in answer:
                raise AssertionError(f"todoctl {operation}: {': '.join(answer['error'])}")
            return answer["ok"]
    raise AssertionError(f"todoctl {operation} gives no answer\n{done.stdout}{done.stderr}")


def helm_json(*args):
    return json.loads(helm(*args, "-o", "json"))


def story(namespace):
    """The history as helm tells it: `1 superseded, 2 deployed`."""
    rows = helm_json("history", "one", "-n", namespace)
    return ", ".join(f"{row['revision']} {row['status']}" for row in rows)


def same(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r} instead of {wanted!r}")


def holds(text, part, what):
    if part not in text:
        raise AssertionError(f"{what}: no {part!r} in {text!r}")


def both_tell(namespace, wanted):
    same(story(namespace), wanted, "helm history")
    rows = todoctl("history", namespace)
    told = ", ".join(f"{row['revision']} {row['status']}" for row in rows)
    same(told, wanted, "todoctl history")


def values(namespace):
    return helm_json("get", "values", "one", "-n", namespace)


def live(namespace, name="settings"):
    """The data of a ConfigMap as helm's `lookup` sees it; {} when absent."""
    probe = pathlib.Path(work) / "probe"
    (probe / "templates").mkdir(parents=True, exist_ok=True)
    (probe / "Chart.yaml").write_text("apiVersion: v2\nname: probe\nversion: 1.0.0\n")
    (probe / "templates/probe.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: probe}\ndata:\n  found: "
        '{{ (lookup "v1" "ConfigMap" .Values.ns .Values.name).data | default dict | toJson | quote }}\n'
        '  there: {{ (lookup "v1" "ConfigMap" .Values.ns .Values.name) | empty | not | quote }}\n'
    )
    text = helm(
        "template", "probe", str(probe), "--dry-run=server", "-n", namespace,
        "--set", f"ns={namespace},name={name}",
    )
    there = 'there: "true"' in text
    found = next(line for line in text.splitlines() if line.startswith("  found: "))
    return json.loads(json.loads(found.removeprefix("  found: "))) if there else None


def read_ours(ns):
    """helm reads what todoctl installed."""
    same(todoctl("install", ns), {"revision": 1, "changed": True}, "install")
    same(todoctl("install", ns)["changed"], False, "the second run")
    same(todoctl("install", ns, set=["level=debug", "replicas=2"])["revision"], 2, "upgrade")
    both_tell(ns, "1 superseded, 2 deployed")
    everywhere = helm_json("list", "-A", "--filter", "^one$")
    row = next(row for row in everywhere if row["namespace"] == ns)
    same((row["revision"], row["status"], row["chart"], row["app_version"]),
         ("2", "deployed", "web-1.0.0", "7"), "helm list")
    same(values(ns), {"level": "debug", "replicas": 2}, "helm get values")
    same(helm("get", "notes", "one", "-n", ns), f"NOTES:\nLevel debug in {ns}.\n\n", "helm get notes")
    rendered = helm("template", "one", chart, "-n", ns, "--no-hooks", "--set", "level=debug,replicas=2")
    manifest = helm("get", "manifest", "one", "-n", ns)
    tidy = lambda text: [part.strip() for part in text.split("---\n") if part.strip()]
    same(tidy(manifest), tidy(rendered), "helm get manifest")
    holds(helm("get", "hooks", "one", "-n", ns), "name: hook", "helm get hooks")
    holds(helm("get", "all", "one", "-n", ns), "COMPUTED VALUES", "helm get all")
    holds(helm("status", "one", "-n", ns), "STATUS: deployed", "helm status")


def helm_goes_on(ns):
    """helm upgrades, rolls back and uninstalls what todoctl installed."""
    todoctl("install", ns)
    helm("upgrade", "one", chart, "-n", ns, "--set", "level=warn,extra=false")
    both_tell(ns, "1 superseded, 2 deployed")
    same(live(ns), {"level": "warn"}, "settings after helm upgrade")
    same(live(ns, "extra"), None, "what left the manifest")
    helm("rollback", "one", "1", "-n", ns)
    both_tell(ns, "1 superseded, 2 superseded, 3 deployed")
    same(live(ns), {"level": "info", "extra": "yes"}, "settings after helm rollback")
    same(todoctl("install", ns, set=["level=error"])["revision"], 4, "todoctl goes on")
    helm("upgrade", "one", chart, "-n", ns, "--reuse-values", "--set", "replicas=3,kept=false")
    same(values(ns), {"level": "error", "replicas": 3, "kept": False}, "helm upgrade --reuse-values")
    # Last, as helm 3 does not roll back to a revision with what is kept.
    same(live(ns, "kept") is not None, True, "what is kept")
    helm("uninstall", "one", "-n", ns)
    same(live(ns), None, "settings after helm uninstall")
    same(todoctl("history", ns), [], "todoctl history")


def todoctl_goes_on(ns):
    """todoctl upgrades, rolls back and uninstalls what helm installed."""
    helm("install", "one", chart, "-n", ns, "--create-namespace", "--set", "level=warn")
    both_tell(ns, "1 deployed")
    same(todoctl("install", ns, set=["level=warn"])["changed"], False, "nothing to do")
    same(todoctl("install", ns, set=["level=debug", "extra=false", "kept=false"])["revision"], 2, "upgrade")
    both_tell(ns, "1 superseded, 2 deployed")
    same(live(ns), {"level": "debug"}, "settings after todoctl's upgrade")
    same(live(ns, "extra"), None, "what left the manifest")
    same(live(ns, "kept") is not None, True, "what is kept")
    same(todoctl("rollback", ns, revision=1)["revision"], 3, "rollback")
    both_tell(ns, "1 superseded, 2 superseded, 3 deployed")
    same(live(ns), {"level": "warn", "extra": "yes"}, "settings after todoctl's rollback")
    helm("upgrade", "one", chart, "-n", ns, "--set", "level=last,replicas=2")
    same(live(ns), {"level": "last", "extra": "yes"}, "settings after helm's upgrade")
    helm("rollback", "one", "2", "-n", ns)
    same(live(ns), {"level": "debug"}, "settings after helm's rollback")
    both_tell(ns, ", ".join(f"{n} superseded" for n in range(1, 5)) + ", 5 deployed")
    todoctl("uninstall", ns, keepHistory=True)
    same(story(ns).endswith("5 uninstalled"), True, "the end of the story")
    same(live(ns), None, "settings after todoctl's uninstall")
    same(todoctl("install", ns)["revision"], 6, "installed again")
    todoctl("uninstall", ns)
    holds(helm("history", "one", "-n", ns, wanted=1), "not found", "helm history")


def ownership_is_shared(ns):
    """Neither takes over what the other's releases own."""
    todoctl("install", ns)
    text = helm("install", "two", chart, "-n", ns, wanted=1)
    holds(text, "cannot be imported into the current release: invalid ownership metadata", "helm install")
    try:
        todoctl("install", ns, name="two")
        raise AssertionError("todoctl installs over another release")
    except AssertionError as error:
        holds(str(error), "cannot be imported into the current release: invalid ownership metadata", "todoctl")
    todoctl("uninstall", ns)


def main():
    global failures, passed
    for number, scene in enumerate([read_ours, helm_goes_on, todoctl_goes_on, ownership_is_shared]):
        namespace = f"interop-{MAJOR}-{number}-{os.getpid()}"
        try:
            scene(namespace)
            passed += 1
        except AssertionError as error:
            failures += 1
            print(f"FAILED helm {MAJOR}: {scene.__doc__}\n{error}", file=sys.stderr)
    print(f"releases with helm {MAJOR}: {passed} scenes hold, {failures} do not")
    return 1 if failures else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        chart = write_chart(pathlib.Path(work) / "web")
        sys.exit(main())

#!/usr/bin/env bash
# Drives a Kubernetes API with an unmodified kubectl and checks what it prints.
#
#   KUBECONFIG=… tests/interop/kubectl.sh
#
# kubectl is built once from its Go modules into target/interop/bin. Whatever
# the checks make is in namespaces and a definition of their own, which they
# delete at the end, so any cluster will do.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=$root/target/interop/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ ! -x "$bin/kubectl" ]; then
    mkdir -p "$bin"
    # Release builds state their version at link time.
    package=k8s.io/component-base/version
    flags="-X $package.gitVersion=v1.36.2 -X $package.gitMajor=1 -X $package.gitMinor=36"
    (cd "$here/kubectl" && go build -ldflags "$flags" -o "$bin/kubectl" .) || exit 1
fi
: "${KUBECONFIG:?is the cluster to test}"

passed=0
failed=0
ns=interop-$$
k() { "$bin/kubectl" --cache-dir "$work/cache" --request-timeout 20s "$@"; }

# check TITLE WANTED-EXIT WANTED-PATTERN COMMAND…
check() {
    local title=$1 exit=$2 pattern=$3 out code
    shift 3
    out=$("$@" 2>&1)
    code=$?
    if [ "$code" -eq "$exit" ] && grep -qE -- "$pattern" <<<"$out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s (exit %s, wanted %s and /%s/)\n%s\n' "$title" "$code" "$exit" "$pattern" "$out" | head -20
    fi
}
ok() { local t=$1 p=$2; shift 2; check "$t" 0 "$p" "$@"; }
no() { local t=$1 p=$2; shift 2; check "$t" 1 "$p" "$@"; }

cat >"$work/app.yaml" <<YAML
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: todo}}
data: {level: info}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: todo}}
spec:
  replicas: 2
  selector: {matchLabels: {app: todo}}
  template:
    metadata: {labels: {app: todo}}
    spec:
      containers:
      - {name: web, image: "nginx:1.27", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: todo}}
spec: {selector: {app: todo}, ports: [{port: 80, targetPort: 80}]}
YAML
sed 's/info/debug/; s/1\.27/1.28/' "$work/app.yaml" >"$work/app2.yaml"
cat >"$work/crd.yaml" <<YAML
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.interop.example}
spec:
  group: interop.example
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wdg]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, description: How large it is.}
              color: {type: string, enum: [red, blue], default: red}
          status: {type: object, properties: {phase: {type: string}}}
YAML
widget() { printf 'apiVersion: interop.example/v1\nkind: Widget\nmetadata: {name: %s}\nspec: %s\n' "$1" "$2" >"$work/$1.yaml"; }
widget w '{size: 3}'
widget small '{size: 0}'
widget odd '{size: 1, shape: round}'
widget text '{size: large}'

ok 'version' 'Server Version' k version
ok 'api versions' 'networking.k8s.io/v1' k api-versions
ok 'api resources' 'deployments +deploy +apps/v1 +true +Deployment' k api-resources
ok 'api resources by verb' 'nodes' k api-resources --namespaced=false --verbs=list -o name
ok 'readyz' 'ok' k get --raw /readyz
ok 'who am I' 'Username' k auth whoami
ok 'may I' 'yes' k auth can-i create deployments
ok 'my rules' '\*\.\*' k auth can-i --list
ok 'create namespace' "namespace/$ns created" k create namespace "$ns"
no 'create namespace again' 'AlreadyExists' k create namespace "$ns"
ok 'namespaces' 'NAME +STATUS +AGE' k get namespaces
ok 'default service account' 'default' k -n "$ns" wait --for=create serviceaccount/default --timeout=10s
ok 'root certificate' 'kube-root-ca.crt +1' k -n "$ns" get configmap kube-root-ca.crt
k() { "$bin/kubectl" --cache-dir "$work/cache" --request-timeout 20s -n "$ns" "$@"; }

ok 'apply' 'deployment.apps/web created' k apply -f "$work/app.yaml"
ok 'apply again' 'deployment.apps/web unchanged' k apply -f "$work/app.yaml"
ok 'get' 'web +0/2' k get deployments
ok 'get wide' 'nginx:1.27 +app=todo' k get deployments -o wide
ok 'get service' 'web +ClusterIP +10\.[0-9.]+ +<none> +80/TCP' k get service web
ok 'get by label' 'configmap/settings' k get configmaps,services -l app=todo -o name
ok 'get by set label' 'configmap/settings' k get configmaps -l 'app in (todo,other),!gone' -o name
ok 'get by field' 'settings' k get configmaps --field-selector metadata.name=settings
no 'get by unknown field' 'field label not supported' k get configmaps --field-selector data.x=y
ok 'get jsonpath' '^2$' k get deployment web -o 'jsonpath={.spec.replicas}'
ok 'get custom columns' 'nginx:1.27' k get deployment web -o 'custom-columns=I:.spec.template.spec.containers[0].image'
ok 'get all' 'service/web' k get all
no 'get missing' 'Error from server \(NotFound\): configmaps "none" not found' k get configmap none
no 'get unknown kind' "the server doesn't have a resource type" k get unicorns
ok 'describe deployment' 'StrategyType: +RollingUpdate' k describe deployment web
ok 'describe service' 'Selector: +app=todo' k describe service web
ok 'describe namespace' 'Status: +Active' k describe namespace "$ns"
check 'diff' 1 '\+ +level: debug|\+  level: debug' k diff -f "$work/app2.yaml"
ok 'apply changes' 'deployment.apps/web configured' k apply -f "$work/app2.yaml"
ok 'diff without a difference' '^$' k diff -f "$work/app2.yaml"
ok 'generation' '^2$' k get deployment web -o 'jsonpath={.metadata.generation}'
ok 'scale' 'scaled' k scale deployment web --replicas=3
ok 'scaled' '^3$' k get deployment web -o 'jsonpath={.spec.replicas}'
ok 'label' 'labeled' k label configmap settings tier=back
ok 'label is there' 'back' k get configmap settings -L tier
no 'label without overwrite' 'already has a value' k label configmap settings tier=front
ok 'label overwritten' 'labeled' k label --overwrite configmap settings tier=front
ok 'unlabel' 'unlabeled' k label configmap settings tier-
ok 'annotate' 'annotated' k annotate configmap settings note=x
ok 'merge patch' 'patched' k patch configmap settings --type merge -p '{"data":{"a":"b"}}'
ok 'json patch' 'patched' k patch configmap settings --type json -p '[{"op":"remove","path":"/data/a"}]'
no 'json patch that fails' 'the server rejected our request' k patch configmap settings --type json -p '[{"op":"test","path":"/data/level","value":"no"}]'
ok 'strategic patch' 'patched' k patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"busybox:1"}]}}}}'
ok 'strategic patch kept the first' 'side web|web side' k get deployment web -o 'jsonpath={.spec.template.spec.containers[*].name}'
ok 'set image' 'image updated' k set image deployment/web web=nginx:1.29
ok 'set env' 'env updated' k set env deployment/web -c web A=b
ok 'dry run' 'created \(server dry run\)' k create configmap dry --from-literal=a=b --dry-run=server
no 'dry run left nothing' 'NotFound' k get configmap dry
ok 'create configmap' 'created' k create configmap made --from-literal=a=b
ok 'create secret' 'created' k create secret generic pass --from-literal=p=w
ok 'secret is base64' '^dw==$' k get secret pass -o 'jsonpath={.data.p}'
ok 'create deployment' 'created' k create deployment other --image=busybox:1
ok 'expose' 'exposed' k expose deployment other --port=80
ok 'create role' 'created' k create role reader --verb=get --resource=pods
ok 'create binding' 'created' k create rolebinding reader --role=reader --serviceaccount="$ns:default"
ok 'create job' 'created' k create job once --image=busybox:1
ok 'create cronjob' 'created' k create cronjob daily --image=busybox:1 --schedule='0 0 * * *'
ok 'create ingress' 'created' k create ingress web --rule='a.example/=web:80'
ok 'get ingress' 'a.example' k get ingress web
ok 'replace' 'replaced' sh -c "'$bin/kubectl' -n $ns get configmap made -o json | sed 's/\"b\"/\"c\"/' | '$bin/kubectl' -n $ns replace -f -"
ok 'explain' 'KIND: +Deployment' k explain deployment
ok 'explain a field' 'replicas.*<integer>|FIELD: replicas' k explain deployment.spec.replicas
ok 'explain recursively' 'maxUnavailable' k explain deployment.spec.strategy --recursive
no 'unknown field' 'unknown field "spec.replica"' sh -c "sed 's/replicas/replica/' '$work/app.yaml' | '$bin/kubectl' -n $ns apply --dry-run=server -f -"
no 'wrong type' 'expected|cannot be handled|invalid' sh -c "sed 's/replicas: 2/replicas: two/' '$work/app.yaml' | '$bin/kubectl' -n $ns apply --dry-run=server -f -"
no 'bad name' 'RFC 1123' k create configmap Bad_Name
no 'immutable selector' 'field is immutable' k patch deployment web --type merge -p '{"spec":{"selector":{"matchLabels":{"app":"x"}},"template":{"metadata":{"labels":{"app":"x"}}}}}'
ok 'server-side apply' 'serverside-applied' k apply --server-side --field-manager=one -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shared"},"data":{"a":"1","b":"1"}}'
no 'server-side conflict' 'conflict with "one": .data.a' k apply --server-side --field-manager=two -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shared"},"data":{"a":"2"}}'
ok 'server-side force' 'serverside-applied' k apply --server-side --force-conflicts --field-manager=two -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shared"},"data":{"a":"2"}}'
ok 'server-side removal' 'serverside-applied' k apply --server-side --field-manager=one -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shared"}}'
ok 'the other keeps its field' '^{"a":"2"}$' k get configmap shared -o 'jsonpath={.data}'
ok 'managed fields' 'manager: two' k get configmap shared -o yaml --show-managed-fields
ok 'edit last applied' 'level: debug' k apply view-last-applied configmap/settings
ok 'watch' 'settings' sh -c "timeout 3 '$bin/kubectl' -n $ns get configmap settings -w; true"
ok 'wait for a field' 'condition met' k wait configmap/settings --for=jsonpath='{.data.level}'=debug --timeout=5s
ok 'create definition' 'created' k create -f "$work/crd.yaml"
ok 'definition is established' 'condition met' k wait --for=condition=Established crd/widgets.interop.example --timeout=30s
sleep 1
ok 'apply custom' 'widget.interop.example/w created' k apply -f "$work/w.yaml"
ok 'custom columns' 'w +3' k get wdg
ok 'custom default' '^red$' k get widget w -o 'jsonpath={.spec.color}'
no 'custom minimum' 'should be greater than or equal to 1' k apply -f "$work/small.yaml"
no 'custom unknown field' 'unknown field "spec.shape"' k apply -f "$work/odd.yaml"
no 'custom type' 'must be of type integer|expected|invalid' k apply --validate=false -f "$work/text.yaml"
ok 'custom explain' 'How large it is' k explain widget.spec.size
ok 'custom patch' 'patched' k patch widget w --type merge -p '{"spec":{"size":4}}'
no 'custom enum' 'Unsupported value: "green"' k patch widget w --type merge -p '{"spec":{"color":"green"}}'
ok 'custom status' 'patched' k patch widget w --subresource=status --type merge -p '{"status":{"phase":"Ready"}}'
ok 'custom wait' 'condition met' k wait widget/w --for=jsonpath='{.status.phase}'=Ready --timeout=5s
ok 'delete definition' 'deleted' k delete crd widgets.interop.example
no 'custom kind is gone' "doesn't have a resource type|could not find|NotFound" k get widgets.interop.example
ok 'pages' 'settings' k get configmaps --chunk-size=1
ok 'delete' 'deleted' k delete deployment other
no 'delete again' 'NotFound' k delete deployment other
ok 'delete and ignore' '^$' k delete deployment other --ignore-not-found
ok 'delete by file' 'deleted' k delete -f "$work/app2.yaml"
ok 'delete collection' 'deleted' k delete configmaps -l '!none' --field-selector metadata.name=made
ok 'cascade orphan' 'deleted' k delete job once --cascade=orphan
ok 'delete all' 'deleted' k delete secrets,ingresses,cronjobs --all
ok 'delete namespace' 'deleted' k delete namespace "$ns" --timeout=30s
no 'namespace is gone' 'NotFound' k get namespace "$ns"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

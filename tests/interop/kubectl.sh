#!/usr/bin/env bash
# Drives a Kubernetes API with an unmodified kubectl and checks what it prints.
#
#   KUBECONFIG=… tests/interop/kubectl.sh [--no-kubelets] [--no-quotas] [--no-metrics]
#
# --no-kubelets leaves out what needs controllers, nodes and kubelets, for an
# API server that runs alone.
#
# kubectl is built once from its Go modules into target/interop/bin. Whatever
# the checks make is in namespaces and a definition of their own, which they
# delete at the end, so any cluster will do.
set -uo pipefail

# --no-quotas and --no-metrics leave out what needs the controller that counts
# quotas, and the metrics API.
kubelets=yes quotas=yes metrics=yes
for option in "$@"; do
    case $option in
    --no-kubelets) kubelets=no quotas=no metrics=no ;;
    --no-quotas) quotas=no ;;
    --no-metrics) metrics=no ;;
    *) echo "unknown option $option" >&2 && exit 2 ;;
    esac
done

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
# Checks that need controllers and kubelets.
live() { [ "$kubelets" = no ] || ok "$@"; }
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
live 'default service account' 'default' k -n "$ns" wait --for=create serviceaccount/default --timeout=10s
live 'root certificate' 'kube-root-ca.crt +1' k -n "$ns" get configmap kube-root-ca.crt
k() { "$bin/kubectl" --cache-dir "$work/cache" --request-timeout 20s -n "$ns" "$@"; }

ok 'apply' 'deployment.apps/web created' k apply -f "$work/app.yaml"
ok 'apply again' 'deployment.apps/web unchanged' k apply -f "$work/app.yaml"
ok 'get' 'web +[0-2]/2' k get deployments
ok 'get wide' 'nginx:1.27 +app=todo' k get deployments -o wide
ok 'get service' 'web +ClusterIP +10\.[0-9.]+ +<none> +80/TCP' k get service web
ok 'get by label' 'configmap/settings' k get configmaps,services -l app=todo -o name
ok 'get by set label' 'configmap/settings' k get configmaps -l 'app in (todo,other),!gone' -o name
ok 'get by field' 'settings' k get configmaps --field-selector metadata.name=settings
no 'get by unknown field' 'not a known field selector|field label not supported' k get configmaps --field-selector data.x=y
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
# More ways to make things, each with what it must leave.
made() { ok "create $1" 'created' k create "${@:2}"; }
made 'quota' quota limits --hard=pods=50,services=20
ok 'quota is there' 'NAME +REQUEST +LIMIT +AGE' k get resourcequota limits
ok 'quota grants' '^50$' k get resourcequota limits -o 'jsonpath={.spec.hard.pods}'
ok 'limits' 'created' k create -f - <<<'{"apiVersion":"v1","kind":"LimitRange","metadata":{"name":"bounds"},"spec":{"limits":[{"type":"Container","max":{"cpu":"200m"},"default":{"memory":"64Mi"}}]}}'
ok 'limits complete themselves' '^200m 64Mi$' k get limitrange bounds -o 'jsonpath={.spec.limits[0].defaultRequest.cpu} {.spec.limits[0].defaultRequest.memory}'
no 'a container beyond the limits' 'forbidden: maximum cpu usage per Container is 200m, but limit is 300m' k run big --image=nginx --overrides='{"spec":{"containers":[{"name":"big","image":"nginx","resources":{"limits":{"cpu":"300m"}}}]}}'
ok 'a container gets the defaults' '^200m 64Mi$' k run given --image=nginx --dry-run=server -o 'jsonpath={.spec.containers[0].resources.requests.cpu} {.spec.containers[0].resources.limits.memory}'
ok 'what was set is noted' 'LimitRanger plugin set: cpu, memory request for container given; cpu, memory limit for container given' k run given --image=nginx --dry-run=server -o 'jsonpath={.metadata.annotations}'
ok 'limits go' 'deleted' k delete limitrange bounds
made 'quota of nothing' quota nothing --hard=persistentvolumeclaims=0
[ "$quotas" = no ] || ok 'quota is counted' '^0$' k get resourcequota nothing -o 'jsonpath={.status.used.persistentvolumeclaims}'
# Without the controller that fills in their status, quotas bind nobody.
[ "$quotas" = no ] || no 'a claim beyond the quota' 'exceeded quota: nothing, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0' k create -f - <<<'{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"more"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}'
ok 'quota goes' 'deleted' k delete resourcequota nothing
live 'a pod has an account' '^default /var/run/secrets/kubernetes.io/serviceaccount$' k run given --image=nginx --dry-run=server -o 'jsonpath={.spec.serviceAccountName} {.spec.containers[0].volumeMounts[0].mountPath}'
made 'service account' serviceaccount robot
ok 'token is signed' '^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$' k create token robot --duration=1h
made 'cluster role' clusterrole "$ns" --verb=get,list --resource=nodes
made 'cluster role binding' clusterrolebinding "$ns" --clusterrole="$ns" --serviceaccount="$ns:robot"
made 'priority class' priorityclass "$ns" --value=10
made 'disruption budget' poddisruptionbudget web --selector=app=todo --min-available=1
made 'service of type NodePort' service nodeport ports --tcp=80:8080
made 'headless service' service clusterip quiet --clusterip=None --tcp=80
made 'external name' service externalname away --external-name=example.com
made 'load balancer' service loadbalancer edge --tcp=80:80
made 'docker secret' secret docker-registry pull --docker-server=r.example --docker-username=u --docker-password=p
made 'configmap of a file' configmap files --from-file="$work/w.yaml"
made 'configmap of an environment' configmap vars --from-env-file=<(printf 'A=1\nB=2\n')
made 'ingress with tls' ingress safe --class=nginx --rule='b.example/*=web:80,tls=cert'
made 'job of a cronjob' job again --from=cronjob/daily
made 'deployment with a port' deployment ported --image=nginx:1.27 --port=80 --replicas=0
ok 'node port is given' '^3[0-9]{4}$' k get service ports -o 'jsonpath={.spec.ports[0].nodePort}'
ok 'headless has no address' '^None$' k get service quiet -o 'jsonpath={.spec.clusterIP}'
ok 'file is in the map' 'w.yaml' k get configmap files -o 'jsonpath={.data}'
ok 'variables are in the map' '^1 2$' k get configmap vars -o 'jsonpath={.data.A} {.data.B}'
ok 'secret type' 'kubernetes.io/dockerconfigjson' k get secret pull -o 'jsonpath={.type}'
ok 'external name is shown' 'ExternalName +<none> +example.com' k get service away
ok 'describe secret hides its content' 'p: +1 bytes' k describe secret pass
ok 'describe configmap' 'level' k describe configmap settings
ok 'describe ingress' 'b.example' k describe ingress safe
ok 'describe quota' 'Resource +Used +Hard' k describe resourcequota limits
ok 'describe service account' 'Name: +robot' k describe serviceaccount robot
ok 'describe role' 'PolicyRule' k describe role reader
ok 'describe binding' 'ServiceAccount +default' k describe rolebinding reader
ok 'describe budget' 'Min available: +1' k describe poddisruptionbudget web
ok 'describe cronjob' 'Schedule: +0 0 \* \* \*' k describe cronjob daily
ok 'describe job' 'Parallelism: +1' k describe job once
no 'second of the name' 'already exists' k create serviceaccount robot

# What is refused, in which words.
refused() { no "refuse $1" "$2" k apply --dry-run=server --validate=false -f - <<<"$3"; }
object() { printf '{"apiVersion":"%s","kind":"%s","metadata":{"name":"x"},%s}' "$1" "$2" "$3"; }
pod() { object v1 Pod "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"$1}]$2}"; }
refused 'a port out of range' 'must be between 1 and 65535' "$(pod ',"ports":[{"containerPort":70000}]' '')"
refused 'a duplicate port name' 'Duplicate value: "a"' "$(pod ',"ports":[{"containerPort":80,"name":"a"},{"containerPort":81,"name":"a"}]' '')"
refused 'a probe without handler' 'must specify a handler type' "$(pod ',"livenessProbe":{}' '')"
refused 'a limit below the request' 'must be less than or equal to cpu limit of 1' "$(pod ',"resources":{"requests":{"cpu":"2"},"limits":{"cpu":"1"}}' '')"
refused 'a bad quantity' 'quantities must match|unable to parse quantity' "$(pod ',"resources":{"limits":{"cpu":"1x"}}' '')"
refused 'an unknown volume' 'spec.containers\[0\].volumeMounts\[0\].name: Not found: "v"' "$(pod ',"volumeMounts":[{"name":"v","mountPath":"/v"}]' '')"
refused 'a bad variable' 'valueFrom: Invalid value: "": must specify one of' "$(pod ',"env":[{"name":"A","valueFrom":{}}]' '')"
refused 'a bad restart policy' 'supported values: "Always", "OnFailure", "Never"' "$(pod '' ',"restartPolicy":"X"')"
refused 'a bad pull policy' 'supported values: "Always", "IfNotPresent", "Never"' "$(pod ',"imagePullPolicy":"X"' '')"
refused 'a bad toleration' 'value must be empty when `operator` is' "$(pod '' ',"tolerations":[{"key":"k","operator":"Exists","value":"v"}]')"
refused 'a bad secret volume' 'secretName: Required value' "$(pod '' ',"volumes":[{"name":"v","secret":{}}]')"
refused 'a service port' 'spec.ports\[0\].port: Invalid value' "$(object v1 Service '"spec":{"ports":[{"port":0}]}')"
refused 'a service type' 'supported values: "ClusterIP"' "$(object v1 Service '"spec":{"type":"X","ports":[{"port":1}]}')"
refused 'a service node port' "may not be used when .type. is 'ClusterIP'" "$(object v1 Service '"spec":{"ports":[{"port":1,"nodePort":30001}]}')"
refused 'an ingress path' 'must be an absolute path' "$(object networking.k8s.io/v1 Ingress '"spec":{"rules":[{"http":{"paths":[{"path":"x","pathType":"Prefix","backend":{"service":{"name":"s","port":{"number":80}}}}]}}]}')"
refused 'an ingress host' 'must be a DNS name, not an IP address' "$(object networking.k8s.io/v1 Ingress '"spec":{"rules":[{"host":"1.2.3.4"}]}')"
refused 'a network policy peer' 'must specify a peer' "$(object networking.k8s.io/v1 NetworkPolicy '"spec":{"podSelector":{},"ingress":[{"from":[{}]}]}')"
refused 'a schedule' 'expected exactly 5 fields, found 1' "$(object batch/v1 CronJob '"spec":{"schedule":"x","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}')"
refused 'a job that restarts always' 'valid values: "OnFailure", "Never"' "$(object batch/v1 Job '"spec":{"template":{"spec":{"restartPolicy":"Always","containers":[{"name":"c","image":"i"}]}}}')"
refused 'a budget of both kinds' 'cannot be both set' "$(object policy/v1 PodDisruptionBudget '"spec":{"minAvailable":1,"maxUnavailable":1}')"
refused 'an autoscaler without a limit' 'must be set and greater than 0' "$(object autoscaling/v2 HorizontalPodAutoscaler '"spec":{"maxReplicas":0,"scaleTargetRef":{"kind":"Deployment","name":"d","apiVersion":"apps/v1"}}')"
refused 'a claim without a size' 'spec.resources\[storage\]: Required value' "$(object v1 PersistentVolumeClaim '"spec":{"accessModes":["ReadWriteOnce"]}')"
refused 'a claim with an unknown mode' 'supported values: "ReadOnlyMany"' "$(object v1 PersistentVolumeClaim '"spec":{"accessModes":["X"],"resources":{"requests":{"storage":"1Gi"}}}')"
refused 'a role without verbs' 'verbs must contain at least one value' "$(object rbac.authorization.k8s.io/v1 Role '"rules":[{"apiGroups":[""],"resources":["pods"]}]')"
refused 'a binding to nothing' 'roleRef.name: Required value' "$(object rbac.authorization.k8s.io/v1 RoleBinding '"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":""}')"
refused 'a binding of a strange kind' 'supported values: "Role", "ClusterRole"' "$(object rbac.authorization.k8s.io/v1 RoleBinding '"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"X","name":"r"}')"
refused 'a tls secret without a key' 'data\[tls.key\]: Required value' "$(object v1 Secret '"type":"kubernetes.io/tls","data":{"tls.crt":""}')"
refused 'a key with a blank' 'a valid config key must consist of' "$(object v1 ConfigMap '"data":{"a b":"c"}')"
refused 'a label with a blank' 'a valid label must be an empty string or consist of|name part must consist of' '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","labels":{"a":"b c"}}}'
refused 'a quota of nothing known' 'must be a standard resource for quota' "$(object v1 ResourceQuota '"spec":{"hard":{"foo":"1"}}')"
refused 'a deployment strategy' 'supported values: "Recreate", "RollingUpdate"' "$(object apps/v1 Deployment '"spec":{"strategy":{"type":"X"},"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}')"
refused 'a selector that selects others' '`selector` does not match template `labels`' "$(object apps/v1 Deployment '"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}')"
refused 'a selector of no kind' 'not a valid selector operator' "$(object apps/v1 DaemonSet '"spec":{"selector":{"matchExpressions":[{"key":"a","operator":"X"}]},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}')"
refused 'another kind of the group' 'no matches for kind' "$(object apps/v1 Unicorn '"spec":{}')"

# What is explained, listed and allowed.
for field in deployment.spec.template.spec.containers.livenessProbe pod.spec.volumes service.spec.ports \
    ingress.spec.rules job.spec.template cronjob.spec.schedule statefulset.spec.serviceName \
    configmap.data secret.type networkpolicy.spec persistentvolumeclaim.spec.accessModes; do
    ok "explain $field" 'FIELD' k explain "$field"
done
for group in apps batch autoscaling networking.k8s.io policy rbac.authorization.k8s.io storage.k8s.io \
    coordination.k8s.io discovery.k8s.io scheduling.k8s.io admissionregistration.k8s.io; do
    ok "resources of $group" "$group/v" k api-resources --api-group="$group" --no-headers
done
for verb in get list watch create update patch delete deletecollection; do
    ok "may I $verb pods" 'yes' k auth can-i "$verb" pods
done
ok 'robot may read pods' 'no' sh -c "'$bin/kubectl' -n $ns auth can-i get pods --as=system:serviceaccount:$ns:robot; true"
ok 'robot may read nodes' 'yes' sh -c "'$bin/kubectl' auth can-i list nodes --as=system:serviceaccount:$ns:robot 2>/dev/null; true"
no 'a stranger may not' 'cannot list resource "secrets" in API group "" in the namespace' k get secrets --as=stranger
ok 'who I would be' 'stranger' k auth whoami --as=stranger --as-group=others

# What changes.
live 'rollout history' 'REVISION' k rollout history deployment web
ok 'rollout restart' 'restarted' k rollout restart deployment web
ok 'restart is noted' 'restartedAt' k get deployment web -o 'jsonpath={.spec.template.metadata.annotations}'
ok 'rollout pause' 'paused' k rollout pause deployment web
ok 'paused' '^true$' k get deployment web -o 'jsonpath={.spec.paused}'
ok 'rollout resume' 'resumed' k rollout resume deployment web
ok 'autoscale' 'autoscaled' k autoscale deployment web --min=1 --max=3 --cpu=80%
ok 'autoscaler is there' 'web +Deployment/web' k get hpa web
ok 'set resources' 'resource requirements updated' k set resources deployment web -c web --limits=cpu=200m,memory=64Mi
ok 'resources are set' '200m' k get deployment web -o 'jsonpath={.spec.template.spec.containers[*].resources.limits.cpu}'
ok 'set service account' 'serviceaccount updated' k set serviceaccount deployment web default
ok 'set selector' 'selector updated' k set selector service quiet app=other
ok 'selector is set' 'other' k get service quiet -o 'jsonpath={.spec.selector.app}'
ok 'set subject' 'subjects updated' k set subject rolebinding reader --serviceaccount="$ns:robot"
ok 'subject is set' 'robot' k get rolebinding reader -o 'jsonpath={.subjects[*].name}'
ok 'set env of all' 'env updated' k set env deployment/web LEVEL=info
ok 'list env' 'LEVEL=info' k set env deployment/web --list
ok 'unset env' 'env updated' k set env deployment/web LEVEL-
ok 'annotate many' 'annotated' k annotate configmaps --all seen=yes
ok 'label many' 'labeled' k label secrets --all seen=yes
ok 'unannotate' 'annotated' k annotate configmap settings seen-
ok 'patch of a subresource' 'patched' k patch deployment web --subresource=scale --type=merge -p '{"spec":{"replicas":1}}'
ok 'patch reached the object' '^1$' k get deployment web -o 'jsonpath={.spec.replicas}'
no 'scale with a wrong number' 'Expected replicas to be 7|expected replicas to be 7|FailedPrecondition|precondition' k scale deployment web --current-replicas=7 --replicas=2
ok 'replace by force' 'replaced' sh -c "'$bin/kubectl' -n $ns get configmap vars -o json | '$bin/kubectl' -n $ns replace --force -f -"
ok 'apply and prune nothing' 'unchanged|configured' k apply -f "$work/app2.yaml"
ok 'server-side diff' '^' sh -c "'$bin/kubectl' -n $ns diff --server-side --force-conflicts -f $work/app2.yaml; [ \$? -le 1 ]"
ok 'events' '^' k get events
ok 'make an event' 'created' k create -f - <<<'{"apiVersion":"v1","kind":"Event","metadata":{"name":"e"},"involvedObject":{"kind":"ConfigMap","name":"settings","namespace":"'"$ns"'"},"reason":"Seen","message":"it was seen","type":"Normal"}'
ok 'event is listed' 'Seen' k get events
ok 'sorted' '^' k get configmaps --sort-by=.metadata.creationTimestamp
ok 'with labels' 'LABELS' k get configmaps --show-labels
ok 'of all namespaces' "$ns +settings" k get configmaps -A
ok 'as names' 'configmap/settings' k get configmaps -o name
ok 'as yaml' 'kind: List' k get configmaps,secrets -o yaml
ok 'by template' 'settings' k get configmaps -o go-template='{{range .items}}{{.metadata.name}} {{end}}'
ok 'raw' '"kind":"ConfigMapList"' k get --raw "/api/v1/namespaces/$ns/configmaps"
ok 'open api' '"openapi"' sh -c "'$bin/kubectl' get --raw /openapi/v3/apis/apps/v1 | head -c 300"
no 'wait that times out' 'timed out' k wait configmap/settings --for=jsonpath='{.data.level}'=never --timeout=1s
ok 'wait for the end' 'condition met|deleted' sh -c "'$bin/kubectl' -n $ns delete configmap vars --wait=false && '$bin/kubectl' -n $ns wait --for=delete configmap/vars --timeout=10s"
ok 'finalizer' 'patched' k patch configmap files --type=merge -p '{"metadata":{"finalizers":["example.com/keep"]}}'
ok 'delete waits for it' 'deleted' k delete configmap files --wait=false
ok 'it is still there' 'example.com/keep' k get configmap files -o 'jsonpath={.metadata.finalizers}'
ok 'finalizer goes' 'patched' k patch configmap files --type=merge -p '{"metadata":{"finalizers":null}}'
no 'so does the object' 'NotFound' k get configmap files
ok 'immutable map' 'created' k create -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"fixed"},"immutable":true,"data":{"a":"b"}}'
no 'immutable map stays' 'field is immutable when `immutable` is set' k patch configmap fixed --type=merge -p '{"data":{"a":"c"}}'
no 'conflict of versions' 'the object has been modified' sh -c "'$bin/kubectl' -n $ns get configmap settings -o json | sed 's/\"resourceVersion\": \"[0-9]*\"/\"resourceVersion\": \"1\"/' | '$bin/kubectl' -n $ns replace -f -"
ok 'certificates' '^|No resources' k get csr
ok 'leases' 'created' k create -f - <<<'{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"},"spec":{"holderIdentity":"me","leaseDurationSeconds":10}}'
ok 'lease is held' 'l +me' k get lease l
ok 'kustomize' 'created' sh -c "mkdir -p $work/kz && cp $work/w.yaml $work/kz/ && printf 'configMapGenerator: [{name: gen, literals: [a=b], options: {disableNameSuffixHash: true}}]\n' >$work/kz/kustomization.yaml && '$bin/kubectl' -n $ns apply -k $work/kz"
ok 'delete by label' 'deleted' k delete secrets -l seen=yes
ok 'cluster info' 'Kubernetes control plane.* is running at' k cluster-info

# What needs nodes.
live 'nodes are ready' 'Ready' k get nodes
live 'describe node' 'Allocatable' k describe nodes
live 'a rollout ends' 'successfully rolled out' k rollout status deployment web --timeout=120s
live 'undo' 'rolled back' k rollout undo deployment web
live 'undo ends' 'successfully rolled out' k rollout status deployment web --timeout=120s
live 'pods run' 'Running' k get pods -l app=todo
live 'endpoints' 'web' k get endpointslices
live 'logs' '^' k logs deployment/web -c web
live 'logs with times' '^' k logs deployment/web -c web --timestamps --tail=5
live 'describe pod' 'Scheduled' k describe pods -l app=todo
[ "$metrics" = no ] || ok 'top nodes' 'CPU' k top nodes
[ "$metrics" = no ] || ok 'top pods' 'CPU' k top pods
live 'forwarded port' 'Forwarding from' sh -c "timeout 10 '$bin/kubectl' -n $ns port-forward deployment/web 0:80 & sleep 5; wait; true"
live 'job completes' '^' k wait --for=condition=Complete job/again --timeout=120s
live 'evicted pods come back' 'evicted|deleted' k delete pod -l app=todo

ok 'pages' 'settings' k get configmaps --chunk-size=1
ok 'delete' 'deleted' k delete deployment other
no 'delete again' 'NotFound' k delete deployment other
ok 'delete and ignore' '^$' k delete deployment other --ignore-not-found
ok 'delete by file' 'deleted' k delete -f "$work/app2.yaml"
ok 'delete collection' 'deleted' k delete configmaps -l '!none' --field-selector metadata.name=made
ok 'cascade orphan' 'deleted' k delete job once --cascade=orphan
ok 'delete all' 'deleted' k delete secrets,ingresses,cronjobs --all
ok 'delete what is in no namespace' 'deleted' k delete "clusterrole/$ns" "clusterrolebinding/$ns" "priorityclass/$ns"
live 'delete namespace' 'deleted' k delete namespace "$ns" --timeout=60s
[ "$kubelets" = yes ] || ok 'delete namespace' 'deleted' k delete namespace "$ns" --wait=false

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

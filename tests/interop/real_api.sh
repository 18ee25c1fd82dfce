#!/usr/bin/env bash
# A whole deployment on a real kube-apiserver, which `sandbox animate` brings to
# life: up, verify, a second up, a release that fails, logs, down; then kubectl's
# checks against the same server.
#
#   TODOCTL=… KUBE_APISERVER=… ETCD=… tests/interop/real_api.sh
#
# Both servers run on loopback, with a store that is thrown away.
set -euo pipefail

cd "$(dirname "$0")/../.."
: "${TODOCTL:?is the binary to test}" "${KUBE_APISERVER:?is a kube-apiserver}" "${ETCD:?is an etcd}"
work=$(mktemp -d)
home=$work/home
mkdir -p "$home"
started=()

cleanup() {
    local pid
    # Their world is thrown away, so nobody has to end in peace.
    for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

# Ports that nobody has at the moment.
read -r api_port etcd_port peer_port < <(python3 -c '
import socket
held = [socket.socket() for _ in range(3)]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])')
server=https://127.0.0.1:$api_port

until_true() {
    local what=$1 deadline=$((SECONDS + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -gt $deadline ]; then
            echo "waited in vain until $what" >&2
            tail -n 5 "$work"/*.log >&2
            return 1
        fi
        sleep 0.2
    done
}

certificates() {
    openssl genrsa -out "$work/sa.key" 2048
    openssl rsa -in "$work/sa.key" -pubout -out "$work/sa.pub"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/ca.key" -out "$work/ca.crt" -days 1 -subj /CN=interop
    openssl req -newkey rsa:2048 -nodes -keyout "$work/api.key" -out "$work/api.csr" -subj /CN=kube-apiserver
    printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >"$work/api.ext"
    openssl x509 -req -in "$work/api.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial \
        -out "$work/api.crt" -days 1 -extfile "$work/api.ext"
} 2>/dev/null

certificates
echo 'interop,admin,1,"system:masters"' >"$work/tokens.csv"
cat >"$work/kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: real
clusters:
- {name: real, cluster: {server: "$server", certificate-authority: $work/ca.crt}}
users:
- {name: admin, user: {token: interop}}
contexts:
- {name: real, context: {cluster: real, user: admin}}
END

alone() { env -i HOME="$home" PATH="$PATH" "$@"; }
egress=$home/.local/state/todoctl/sandbox/foreign/egress.yaml

# It waits for the server, which wants to know the way back.
alone "$TODOCTL" sandbox animate --kubeconfig "$work/kubeconfig" --clock 20 -o json \
    >"$work/animated.json" 2>"$work/animate.log" &
started+=($!)
until_true 'the way for the server is open' test -s "$egress"
"$ETCD" --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" \
    --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-cluster "default=http://127.0.0.1:$peer_port" >"$work/etcd.log" 2>&1 &
started+=($!)
"$KUBE_APISERVER" --etcd-servers "http://127.0.0.1:$etcd_port" --bind-address 127.0.0.1 --secure-port "$api_port" \
    --tls-cert-file "$work/api.crt" --tls-private-key-file "$work/api.key" --token-auth-file "$work/tokens.csv" \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$work/sa.pub" \
    --service-account-signing-key-file "$work/sa.key" --service-cluster-ip-range 10.96.0.0/16 \
    --authorization-mode Node,RBAC --advertise-address 127.0.0.1 --endpoint-reconciler-type none \
    --egress-selector-config-file "$egress" >"$work/api.log" 2>&1 &
started+=($!)
until_true 'the cluster lives' test -s "$work/animated.json"

cat >"$work/todo.yaml" <<END
extends: local
kubernetes: {kubeconfig: $work/kubeconfig}
endpoints: {charts: "$(python3 -c 'import json,sys; print(json.load(sys.stdin)["charts"])' <"$work/animated.json")"}
# The stand-ins are not the official archives.
dapr: {chart: {digest: null}}
ingress: {http_port: 8080, chart: {digest: null}}
kafka: {strimzi: {chart: {digest: null}}}
app:
  services:
    - name: frontend
      image: ghcr.io/example/todo-frontend:0.2.0
      port: 3000
      ingress: {path: /}
      env: {BACKEND_URL: "http://backend:8000"}
    - name: backend
      image: ghcr.io/example/todo-backend:0.2.0
      port: 8000
      health_path: /health
      ingress: {path: /api}
      dapr: {app_id: backend}
      secrets: [database-url]
secrets:
  database-url: {value: "postgres://todo:rehearsal@db.sandbox.invalid/todo"}
  cohere-api-key: {value: interop}
  better-auth-secret: {value: interop}
# Speed is another matter than whether it works.
verify: {targets: {response_ms: 60000, event_ms: 60000, publish_ms: 60000}}
END

passed=0 failed=0
# check TITLE WANTED-EXIT WANTED-PATTERN ARGUMENT…
check() {
    local title=$1 wanted=$2 pattern=$3 code=0 out
    shift 3
    out=$(alone "$TODOCTL" -p "$work/todo.yaml" "$@" 2>&1) || code=$?
    if [ "$code" -eq "$wanted" ] && grep -qE "$pattern" <<<"$out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s (exit %s, wanted %s and /%s/)\n%s\n' "$title" "$code" "$wanted" "$pattern" "$out"
    fi
}

check 'up' 0 '[0-9]+ passed, [0-9]+ skipped' up --yes
check 'verify' 0 'events +1[0-9] of' verify
check 'no changes' 0 'No changes' up --yes --no-verify
check 'a release that fails' 1 'rolled back to revision 1' up --yes --image backend=ghcr.io/example/todo-backend:crash
check 'its cause' 0 'CrashLoopBackOff' history
check 'verify after it' 0 '[0-9]+ passed, [0-9]+ skipped' verify
check 'logs' 0 'backend' logs backend --since 10m
check 'events' 0 'task-events' events topics
check 'down' 0 'Deployment todo is gone' down --yes
echo "todoctl on a real API server: $passed passed, $failed failed"

# What a bare server and this world do not have is left out: quotas are counted
# by a controller, and metrics served by one more server.
KUBECONFIG=$work/kubeconfig timeout 300 tests/interop/kubectl.sh --no-quotas --no-metrics || failed=$((failed + 1))
[ "$failed" -eq 0 ]

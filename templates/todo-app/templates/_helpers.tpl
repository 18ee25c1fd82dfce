{{/* Labels that select a service's pods. They never change: selectors cannot. */}}
{{- define "todo-app.selector" -}}
app.kubernetes.io/name: {{ .service.name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* Labels of a service's objects. */}}
{{- define "todo-app.labels" -}}
{{ include "todo-app.selector" . }}
{{ include "todo-app.common" .root }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "todo-app.common" -}}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The fingerprints of the secret keys that a service uses, as one checksum. */}}
{{- define "todo-app.secretsChecksum" -}}
{{- $known := .root.Values.secret.fingerprints | default dict -}}
{{- $used := list -}}
{{- range .service.secrets -}}
{{- $used = append $used (printf "%s=%s" . (get $known . | default "")) -}}
{{- end -}}
{{- join "," $used | sha256sum | trunc 16 -}}
{{- end }}

{{/*
Dapr's annotations. They work on a pod template only. The sidecar is told to go
at the same moment as the app, so it holds out for as long as the app does.
*/}}
{{- define "todo-app.daprAnnotations" -}}
{{- $dapr := .root.Values.dapr -}}
{{- $rollout := .root.Values.rollout -}}
dapr.io/enabled: "true"
dapr.io/app-id: {{ .service.dapr.appId | quote }}
dapr.io/app-port: {{ .service.dapr.appPort | default .service.port | quote }}
{{- with $dapr.config }}
dapr.io/config: {{ . | quote }}
{{- end }}
dapr.io/log-as-json: {{ $dapr.logAsJson | quote }}
dapr.io/log-level: {{ $dapr.logLevel | quote }}
dapr.io/enable-api-logging: {{ $dapr.apiLogging | quote }}
dapr.io/sidecar-cpu-request: {{ $dapr.sidecar.cpuRequest | quote }}
dapr.io/sidecar-memory-request: {{ $dapr.sidecar.memoryRequest | quote }}
dapr.io/sidecar-memory-limit: {{ $dapr.sidecar.memoryLimit | quote }}
dapr.io/env: {{ printf "GOMEMLIMIT=%s" $dapr.sidecar.goMemoryLimit | quote }}
dapr.io/sidecar-seccomp-profile-type: RuntimeDefault
dapr.io/block-shutdown-duration: {{ printf "%ds" (add $rollout.drainSeconds $rollout.stopSeconds) | quote }}
dapr.io/graceful-shutdown-seconds: {{ $dapr.gracefulShutdownSeconds | quote }}
checksum/dapr: {{ $dapr.fingerprints | default dict | toJson | sha256sum | trunc 16 | quote }}
{{- end }}

{{/* One probe: the health path, or else a connection. */}}
{{- define "todo-app.check" -}}
{{- if .healthPath -}}
httpGet:
  path: {{ .healthPath | quote }}
  port: http
{{- else -}}
tcpSocket:
  port: http
{{- end }}
{{- end }}

{{/* The services that have a sidecar, as a list of their names in JSON. */}}
{{- define "todo-app.daprServices" -}}
{{- $names := list -}}
{{- range .Values.services -}}
{{- if .dapr -}}{{- $names = append $names .name -}}{{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end }}

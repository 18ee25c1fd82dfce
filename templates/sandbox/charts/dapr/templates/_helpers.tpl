{{/* The labels of every object; takes the root and the component's name. */}}
{{- define "dapr.labels" -}}
{{- $root := .root -}}
{{- range $key, $value := .root.Values.global.k8sLabels }}
{{ $key }}: {{ tpl $value $root | quote }}
{{- end }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The annotations of a control plane pod. */}}
{{- define "dapr.podAnnotations" -}}
dapr.io/control-plane: {{ .component }}
{{- if .root.Values.global.prometheus.enabled }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .root.Values.global.prometheus.port | quote }}
prometheus.io/path: /
{{- end }}
{{- end }}

{{/* A full reference is taken as it is. */}}
{{- define "dapr.image" -}}
{{- if contains "/" .name -}}
{{ .name }}
{{- else -}}
{{ .root.Values.global.registry }}/{{ .name }}:{{ .root.Values.global.tag }}
{{- end -}}
{{- end }}

{{/* Liveness and readiness at /healthz of port 8080. */}}
{{- define "dapr.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: 8080}
  initialDelaySeconds: 180
  periodSeconds: 10
  failureThreshold: 5
readinessProbe:
  httpGet: {path: /healthz, port: 8080}
  initialDelaySeconds: 1
  periodSeconds: 1
  failureThreshold: 3
{{- end }}

{{- define "dapr.securityContext" -}}
securityContext:
  allowPrivilegeEscalation: false
  runAsNonRoot: true
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .Values.global.seccompProfile }}
  seccompProfile: {type: {{ . }}}
{{- end }}
{{- end }}

{{/* Log and metrics flags that all share; takes the root and the log level. */}}
{{- define "dapr.commonArgs" -}}
- --log-level
- {{ .level }}
{{- if .root.Values.global.logAsJson }}
- --log-as-json
{{- end }}
{{- if .root.Values.global.prometheus.enabled }}
- --enable-metrics
- --metrics-port
- {{ .root.Values.global.prometheus.port | quote }}
{{- else }}
- --enable-metrics=false
{{- end }}
{{- end }}

{{- define "dapr.trustMounts" -}}
- name: dapr-trust-bundle
  mountPath: /var/run/secrets/dapr.io/tls
  readOnly: true
- name: dapr-identity-token
  mountPath: /var/run/secrets/dapr.io/sentrytoken
  readOnly: true
{{- end }}

{{- define "dapr.trustVolumes" -}}
- name: dapr-trust-bundle
  configMap: {name: dapr-trust-bundle}
- name: dapr-identity-token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 600
          audience: spiffe://{{ .Values.global.mtls.controlPlaneTrustDomain }}/ns/{{ .Release.Namespace }}/dapr-sentry
{{- end }}

{{/* Where the pods of the control plane may run. */}}
{{- define "dapr.placement" -}}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            - {key: kubernetes.io/os, operator: In, values: [{{ .Values.global.daprControlPlaneOs }}]}
{{- with .Values.global.daprControlPlaneArch }}
            - {key: kubernetes.io/arch, operator: In, values: [{{ . }}]}
{{- end }}
{{- with .Values.global.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.global.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "dapr.sentryAddress" -}}
{{- .Values.global.mtls.sentryAddress | default (printf "dapr-sentry.%s.svc.cluster.local:443" .Release.Namespace) -}}
{{- end }}

{{- define "dapr.metricsPort" -}}
{{- if .Values.global.prometheus.enabled }}
- name: metrics
  port: {{ .Values.global.prometheus.port }}
  targetPort: {{ .Values.global.prometheus.port }}
  protocol: TCP
{{- end }}
{{- end }}

{{- define "dapr.scrape" -}}
{{- if .Values.global.prometheus.enabled }}
annotations:
  prometheus.io/scrape: "true"
  prometheus.io/port: {{ .Values.global.prometheus.port | quote }}
  prometheus.io/path: /
{{- end }}
{{- end }}

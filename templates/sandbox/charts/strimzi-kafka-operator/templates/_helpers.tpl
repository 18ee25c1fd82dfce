{{/* The labels of every object; takes the root and the component's name. */}}
{{- define "strimzi.labels" -}}
app: strimzi
chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
component: {{ .component }}
release: {{ .root.Release.Name }}
heritage: {{ .root.Release.Service }}
{{- end }}

{{/* The namespaces that are watched, in the operator's notation. */}}
{{- define "strimzi.watched" -}}
{{- if .Values.watchAnyNamespace -}}
*
{{- else -}}
{{ join "," (uniq (append .Values.watchNamespaces .Release.Namespace)) }}
{{- end -}}
{{- end }}

{{/* An image of the operator's family: takes the root and the image's values. */}}
{{- define "strimzi.repository" -}}
{{ .image.registry | default .root.Values.defaultImageRegistry }}/
{{- .image.repository | default .root.Values.defaultImageRepository }}/{{ .image.name }}
{{- end }}

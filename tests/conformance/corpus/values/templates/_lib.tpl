{{- define "lib.name" -}}
{{ .Release.Name }}-{{ .Chart.Name }}
{{- end -}}
{{- define "lib.labels" -}}
app: {{ include "lib.name" . }}
release: {{ .Release.Name | quote }}
{{- end -}}
{{- define "lib.echo" -}}<{{ . }}>{{- end -}}
{{- define "lib.spaces" }}
  x
{{ end -}}
{{- define "lib.count" -}}
{{ . }}{{ if gt . 0 }} {{ include "lib.count" (sub . 1 | int) }}{{ end }}
{{- end -}}
{{- define "lib.added" -}}{{ .Values.added }}{{- end -}}
{{- define "lib.outer" -}}
outer:
{{ include "lib.labels" . | indent 2 }}
{{- end -}}
{{- define "lib.root" -}}{{ .root.Release.Name }} {{ .x }}{{- end -}}
{{- define "lib.fail" -}}{{ fail "inner failure" }}{{- end -}}
{{- define "lib.nilpointer" -}}
{{ .Values.none.x }}
{{- end -}}
{{- define "lib.outerfail" -}}
  {{ include "lib.nilpointer" . | quote }}
{{- end -}}
{{- define "lib.loop" -}}{{ include "lib.loop" . }}{{- end -}}

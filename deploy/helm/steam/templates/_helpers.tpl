{{/* The name of everything: the release's, with the chart's unless it is in it. */}}
{{- define "steam.fullname" -}}
{{- if contains "steam" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-steam" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "steam.selector" -}}
app.kubernetes.io/name: steam
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "steam.labels" -}}
{{ include "steam.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "steam.image" -}}
{{- $repository := required "image.repository: name the image that you built from deploy/Dockerfile" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The name of the application, for labels. */}}
{{- define "npd.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of all objects: the release's, with the application's unless it is a part of it. */}}
{{- define "npd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{- $name := include "npd.name" . -}}
{{- if contains $name .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "npd.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "npd.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "npd.config" -}}
{{ include "npd.fullname" . }}-custom-config
{{- end }}

{{/* The labels by which the DaemonSet and the Service find the pods. They are those of the public chart:
a DaemonSet's selector cannot change, so its releases can be upgraded to this chart. */}}
{{- define "npd.selector" -}}
app.kubernetes.io/name: {{ include "npd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app: {{ include "npd.name" . }}
{{- end }}

{{/* The labels of every object. */}}
{{- define "npd.labels" -}}
app.kubernetes.io/name: {{ include "npd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "npd.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The agent's arguments, as a YAML list. */}}
{{- define "npd.args" -}}
{{- $monitors := dict
      "system-log" .Values.settings.log_monitors
      "ebpf" .Values.settings.ebpf_monitors
      "system-stats" .Values.settings.stats_monitors
      "custom-plugin" .Values.settings.custom_plugin_monitors -}}
{{- range $kind, $files := $monitors }}
{{- with $files }}
- --config.{{ $kind }}-monitor={{ join "," . }}
{{- end }}
{{- end }}
- --prometheus-address={{ .Values.settings.prometheus_address }}
- --prometheus-port={{ .Values.settings.prometheus_port }}
- --k8s-exporter-heartbeat-period={{ .Values.settings.heartBeatPeriod }}
{{- with .Values.settings.condition_aliases }}
- --config.condition-aliases={{ join "," . }}
{{- end }}
{{- with .Values.settings.stateDir }}
- --state-dir={{ . }}
{{- end }}
{{- if not .Values.hostNetwork }}
- --address=0.0.0.0
{{- end }}
{{- /* One entry may be several words, as `--port 20256`: the public chart passes them through a shell. */}}
{{- range .Values.settings.extraArgs }}
{{- range (regexSplit "\\s+" (trim .) -1) }}
- {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* How the kubelet asks whether the agent works. */}}
{{- define "npd.probe" -}}
httpGet:
  {{- if .Values.hostNetwork }}
  host: 127.0.0.1
  {{- end }}
  path: /healthz
  port: 20256
{{- end }}

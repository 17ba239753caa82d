{{- define "label-router.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "label-router.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "label-router.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "label-router.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "label-router.selectorLabels" -}}
app.kubernetes.io/name: {{ include "label-router.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "label-router.labels" -}}
{{ include "label-router.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "label-router.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "label-router.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "label-router.tlsSecret" -}}
{{- default (printf "%s-tls" (include "label-router.fullname" .)) .Values.certificates.secretName -}}
{{- end -}}

{{- define "label-router.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* Which Pods the API server asks about: what the values say, or what the policy's gate says. One selector cannot say that
one label or another has to be there. */}}
{{- define "label-router.objectSelector" -}}
{{- if .Values.registration.objectSelector -}}
{{- toYaml .Values.registration.objectSelector -}}
{{- else -}}
{{- $policy := fromYaml .Values.policy -}}
{{- with $policy.Error -}}
{{- fail (printf "policy cannot be read: %s" .) -}}
{{- end -}}
{{- range $policy.rules -}}
{{- if .gate -}}
{{- fail (printf "the rule %v has a gate of its own: say in registration.objectSelector which Pods to ask about" .name) -}}
{{- end -}}
{{- end -}}
{{- $gate := default dict $policy.gate -}}
{{- if not $gate.label -}}
{{- fail "the policy has no gate: say in registration.objectSelector which Pods to ask about" -}}
{{- end -}}
{{- if $gate.values -}}
{{- dict "matchExpressions" (list (dict "key" $gate.label "operator" "In" "values" $gate.values)) | toYaml -}}
{{- else if hasKey $gate "value" -}}
{{- dict "matchLabels" (dict $gate.label $gate.value) | toYaml -}}
{{- else -}}
{{- dict "matchExpressions" (list (dict "key" $gate.label "operator" "Exists")) | toYaml -}}
{{- end -}}
{{- end -}}
{{- end -}}

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

{{- /* The ConfigMap as the server is told of it. */}}
{{- define "label-router.policyMap" -}}
{{- printf "configmap://%s/%s-policy" .Release.Namespace (include "label-router.fullname" .) -}}
{{- end -}}

{{- /* Labels and annotations of both registrations, but for Helm's own labels. */}}
{{- define "label-router.registrationMetadata" -}}
{{- $annotations := dict -}}
{{- if eq .Values.certificates.mode "certManager" -}}
{{- $annotations = dict "cert-manager.io/inject-ca-from" (printf "%s/%s" .Release.Namespace (include "label-router.fullname" .)) -}}
{{- end -}}
{{- $annotations = merge (dict) .Values.registration.annotations $annotations -}}
labels:
  {{- include "label-router.labels" . | nindent 2 }}
  {{- with .Values.registration.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* What a registration calls at a path of the server. */}}
{{- define "label-router.clientConfig" -}}
{{- $root := .root -}}
{{- with $root.Values -}}
{{- if and (eq .certificates.mode "existingSecret") .certificates.existingSecret.ca -}}
caBundle: {{ .certificates.existingSecret.ca | b64enc }}
{{ else -}}
# caBundle is left out: whoever makes the certificate writes it. Were it here, even empty, an upgrade would take away what
# stands there.
{{ end -}}
service:
  namespace: {{ $root.Release.Namespace }}
  name: {{ include "label-router.fullname" $root }}
  path: {{ $.path }}
  port: {{ first .service.ports | int }}
{{- end -}}
{{- end -}}

{{- /* Which namespaces the API server asks about: not those that a cluster needs to start, label-router's own among them. */}}
{{- define "label-router.namespaceSelector" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
      {{- append .Values.registration.excludedNamespaces .Release.Namespace | uniq | toYaml | nindent 6 }}
  {{- with .Values.registration.namespaceMatchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* The objectSelector as a CEL expression about a workload's Pod template, where no selector looks. */}}
{{- define "label-router.gated" -}}
{{- $labels := "object.spec.template.metadata.labels" -}}
{{- $selector := include "label-router.objectSelector" . | fromYaml -}}
{{- $all := list -}}
{{- range $key, $value := $selector.matchLabels -}}
{{- $all = append $all (printf "'%s' in %s && %s['%s'] in ['%s']" $key $labels $labels $key $value) -}}
{{- end -}}
{{- range $selector.matchExpressions -}}
{{- $there := printf "'%s' in %s" .key $labels -}}
{{- $listed := printf "%s && %s['%s'] in ['%s']" $there $labels .key (default list .values | sortAlpha | join "', '") -}}
{{- if eq .operator "Exists" -}}
{{- $all = append $all $there -}}
{{- else if eq .operator "DoesNotExist" -}}
{{- $all = append $all (printf "!(%s)" $there) -}}
{{- else if eq .operator "In" -}}
{{- $all = append $all $listed -}}
{{- else if eq .operator "NotIn" -}}
{{- $all = append $all (printf "!(%s)" $listed) -}}
{{- else -}}
{{- fail (printf "registration.objectSelector: there is no operator %v; there are In, NotIn, Exists and DoesNotExist" .operator) -}}
{{- end -}}
{{- end -}}
{{- printf "has(%s) && (%s)" $labels (join " && " $all) -}}
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

{{- /* Whether workloads that are scaled are looked at: what the values say, or where there is a token for certificates anyway. */}}
{{- define "label-router.scale" -}}
{{- $scale := .Values.validation.scale -}}
{{- if kindIs "invalid" $scale -}}
{{- $scale = eq .Values.certificates.mode "selfManaged" -}}
{{- end -}}
{{- and .Values.validation.enabled $scale (ne .Values.validation.workloads "ignore") -}}
{{- end -}}

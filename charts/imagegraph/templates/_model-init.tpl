{{/* The container that fills or checks the cache, as JSON; takes root, args and readOnly. */}}
{{- define "imagegraph.modelInit" -}}
{{- $init := .root.Values.modelInit }}
{{- $container := include "imagegraph.modelInitBasis" . | fromYaml }}
{{- range list (include "imagegraph.env" $init.env | fromJson) $init.container }}
{{- $container = include "imagegraph.merge" (dict "base" $container "over" .) | fromJson }}
{{- end }}
{{- toJson $container }}
{{- end }}

{{- define "imagegraph.modelInitBasis" -}}
{{- $init := .root.Values.modelInit -}}
name: model-init
image: {{ include "imagegraph.image" (dict "image" $init.image "root" .root) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy | quote }}
args:
  {{- toYaml .args | nindent 2 }}
{{- if and $init.tokenSecret (not .readOnly) }}
env:
  - name: HF_TOKEN
    valueFrom:
      secretKeyRef:
        name: {{ $init.tokenSecret | quote }}
        key: {{ $init.tokenKey | quote }}
{{- end }}
resources:
  {{- include "imagegraph.resources" $init.resources | nindent 2 }}
securityContext:
  {{- include "imagegraph.containerSecurity" . | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: models
    mountPath: /models
    readOnly: {{ .readOnly }}
{{- end }}

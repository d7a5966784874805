{{/*
A SeldonDeployment of the plan; takes root, plan and endpoints (whether nodes have addresses: then our
engine reads it and pods are somebody else's business).
*/}}
{{- define "imagegraph.document" -}}
{{- $root := .root }}
{{- $values := .root.Values }}
{{- $endpoints := .endpoints -}}
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata:
  name: {{ include "imagegraph.fullname" .root | quote }}
  {{- if not $endpoints }}
  labels:
    {{- include "imagegraph.labels" $root | nindent 4 }}
    {{- include "imagegraph.selector" $root | nindent 4 }}
  {{- end }}
spec:
  protocol: v2
  {{- if not $endpoints }}
  annotations:
    seldon.io/engine-separate-pod: "true"
    seldon.io/rest-timeout: {{ mul (int64 $values.engine.timeoutSeconds) 1000 | quote }}
  {{- end }}
  predictors:
    {{- range $predictor := .plan.predictors }}
    - name: {{ $predictor.name | quote }}
      traffic: {{ $predictor.traffic | int64 }}
      {{- if $predictor.shadow }}
      shadow: true
      {{- end }}
      {{- if not $endpoints }}
      progressDeadlineSeconds: {{ add (int64 $values.probes.startupSeconds) 3600 }}
      svcOrchSpec:
        replicas: {{ $values.engine.replicas | int64 }}
        resources:
          {{- include "imagegraph.resources" $values.engine.resources | nindent 10 }}
      {{- end }}
      graph:
        {{- include "imagegraph.unit" (dict "values" $values "predictor" $predictor "unit" $predictor.tree "endpoints" $endpoints) | nindent 8 }}
      componentSpecs:
        {{- range $node := $predictor.nodes }}
        {{- if $endpoints }}
        - spec:
            containers:
              - name: {{ $node.name | quote }}
                image: {{ $predictor.image | quote }}
                args:
                  {{- toYaml $node.args | nindent 18 }}
        {{- else }}
        {{- $context := dict "root" $root "predictor" $predictor "node" $node "container" $node.name }}
        - {{- include "imagegraph.nodePod" $context | fromJson | toYaml | nindent 10 }}
          replicas: {{ $node.replicas | int64 }}
          {{- with $node.autoscaling }}
          hpaSpec:
            minReplicas: {{ .minReplicas | int64 }}
            maxReplicas: {{ .maxReplicas | int64 }}
            metricsv2:
              {{- include "imagegraph.cpuMetric" . | nindent 14 }}
          {{- end }}
          {{- with $node.keda }}
          kedaSpec:
            minReplicaCount: {{ .minReplicas | int64 }}
            maxReplicaCount: {{ .maxReplicas | int64 }}
            triggers:
              {{- toYaml .triggers | nindent 14 }}
          {{- end }}
          pdbSpec:
            maxUnavailable: {{ toJson $values.disruption.maxUnavailable }}
        {{- end }}
        {{- end }}
    {{- end }}
{{- end }}

{{/* A node of the tree in Seldon's field names; takes values, predictor, unit and endpoints. */}}
{{- define "imagegraph.unit" -}}
{{- $unit := .unit -}}
name: {{ $unit.name | quote }}
type: {{ $unit.type | quote }}
{{- if .endpoints }}
{{- range $node := .predictor.nodes }}
{{- if and (eq $node.name $unit.name) $node.endpoint }}
endpoint:
  service_host: {{ $node.host | quote }}
  {{- if eq $.values.engine.protocol "grpc" }}
  type: GRPC
  grpcPort: 8081
  {{- else }}
  type: REST
  httpPort: {{ $node.port | int64 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with $unit.children }}
children:
  {{- range . }}
  - {{ include "imagegraph.unit" (dict "values" $.values "predictor" $.predictor "unit" . "endpoints" $.endpoints) | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "imagegraph.cpuMetric" -}}
- type: Resource
  resource:
    name: cpu
    target:
      type: Utilization
      averageUtilization: {{ .cpuPercent | int64 }}
{{- end }}

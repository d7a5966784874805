{{/*
A pod template as the values complete it, as JSON; takes root, metadata (labels, annotations) and spec, whose
first container gets environment by name, then each of the list templates (`podTemplate` of the values).
*/}}
{{- define "imagegraph.podTemplate" -}}
{{- $spec := .spec }}
{{- $metadata := .metadata }}
{{- $container := include "imagegraph.merge" (dict "base" (first $spec.containers) "over" (include "imagegraph.env" .env | fromJson)) | fromJson }}
{{- $labels := .root.Values.commonLabels }}
{{- range .templates }}
{{- $given := . | default dict }}
{{- $spec = include "imagegraph.merge" (dict "base" $spec "over" $given.spec) | fromJson }}
{{- $container = include "imagegraph.merge" (dict "base" $container "over" $given.container) | fromJson }}
{{- $metadata = include "imagegraph.merge" (dict "base" $metadata "over" (pick $given "annotations")) | fromJson }}
{{- $labels = include "imagegraph.merge" (dict "base" $labels "over" $given.labels) | fromJson }}
{{- end }}
{{- $volumes := list }}
{{- range $spec.volumes }}
{{- $volumes = append $volumes .name }}
{{- end }}
{{- range $one := prepend ($spec.initContainers | default list) $container }}
{{- range $one.volumeMounts }}
{{- include "imagegraph.known" (dict "kind" (printf "volumeMounts of container '%s'" $one.name) "name" .name "known" $volumes) }}
{{- end }}
{{- end }}
{{- $spread := dict }}
{{- range $spec.topologySpreadConstraints }}
{{- $pair := printf "%s, %s" .topologyKey .whenUnsatisfiable }}
{{- if hasKey $spread $pair }}
{{- fail (printf "spread of container '%s': expected a topologyKey once with each whenUnsatisfiable, got '%s' twice" $container.name $pair) }}
{{- end }}
{{- $_ := set $spread $pair true }}
{{- end }}
{{- if not (toYaml (list $spec $container)) }}
{{- fail "podTemplate: expected text without control characters" }}
{{- end }}
{{- $_ := set $spec "containers" (prepend (rest $spec.containers) $container) }}
{{- $_ := set $metadata "labels" (include "imagegraph.merge" (dict "base" $labels "over" $metadata.labels) | fromJson) }}
{{- dict "metadata" $metadata "spec" $spec | toJson }}
{{- end }}

{{/* Pod template of a node, the same on every platform, as JSON; takes root, predictor, node and container (its name). */}}
{{- define "imagegraph.nodePod" -}}
{{- $values := .root.Values }}
{{- $metadata := dict "labels" (include "imagegraph.nodeSelector" . | fromYaml) }}
{{- $templates := list $values.podTemplate $values.node.podTemplate .node.podTemplate }}
{{- include "imagegraph.podTemplate" (dict "root" .root "metadata" $metadata "spec" (include "imagegraph.nodeSpec" . | fromYaml) "env" .node.env "templates" $templates) }}
{{- end }}

{{/* What every pod's spec begins with. */}}
{{- define "imagegraph.podBasis" -}}
serviceAccountName: {{ include "imagegraph.serviceAccount" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- /* What Pod Security "restricted" asks for. */}}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The same of a container. */}}
{{- define "imagegraph.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* How long a pod that must go may still work, s. */}}
{{- define "imagegraph.gracePeriod" -}}
{{- add (int64 .Values.termination.preStopSeconds) (int64 .Values.termination.drainSeconds) 5 }}
{{- end }}

{{- define "imagegraph.nodeSpec" -}}
{{- $root := .root }}
{{- $values := .root.Values }}
{{- $node := .node }}
{{- include "imagegraph.podBasis" $root }}
terminationGracePeriodSeconds: {{ include "imagegraph.gracePeriod" $root }}
{{- with $node.pool.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $node.pool.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $node.pool.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $node.pool.spread }}
topologySpreadConstraints:
  - topologyKey: {{ .topologyKey | quote }}
    maxSkew: {{ .maxSkew | default 1 | int64 }}
    whenUnsatisfiable: {{ .whenUnsatisfiable | default "ScheduleAnyway" | quote }}
    labelSelector:
      matchLabels:
        {{- include "imagegraph.nodeSelector" $ | nindent 8 }}
{{- end }}
{{- if $node.weights }}
initContainers:
  {{- $fills := eq $values.cache.fill "init" }}
  {{- /* Where others fill the volume, the pod waits, longer than most pulls take; to end sooner would look like a fault. */}}
  {{- $args := concat (ternary (list "pull") (list "verify" "--within=3600") $fills) (list "--bundle" .predictor.bundle "--entry" $node.entry "--metrics-file" "/tmp/model-init.prom") }}
  - {{- include "imagegraph.modelInit" (dict "root" $root "args" $args "readOnly" (not $fills)) | fromJson | toYaml | nindent 4 }}
{{- end }}
containers:
  - name: {{ .container | quote }}
    image: {{ .predictor.image | quote }}
    imagePullPolicy: {{ $values.image.pullPolicy | quote }}
    terminationMessagePolicy: FallbackToLogsOnError
    args:
      {{- toYaml $node.args | nindent 6 }}
    env:
      {{- include "imagegraph.serveEnv" $root | nindent 6 }}
      - name: IMAGEGRAPH_SERVE_PREDICTOR
        value: {{ .predictor.name | quote }}
      {{- if $node.weights }}
      - name: IMAGEGRAPH_SERVE_METRICS_FILE
        value: /tmp/model-init.prom
      {{- end }}
      {{- /* Torch would start a thread for every core of the machine, whatever the pod may use. */}}
      - name: OMP_NUM_THREADS
        valueFrom:
          resourceFieldRef:
            resource: requests.cpu
    ports:
      - name: http
        containerPort: 8080
      - name: grpc
        containerPort: 8081
    resources:
      {{- include "imagegraph.resources" $node.resources | nindent 6 }}
    {{- include "imagegraph.probes" (dict "root" $root "name" $node.name "startup" $values.probes.startupSeconds) | nindent 4 }}
    securityContext:
      {{- include "imagegraph.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      {{- if $node.weights }}
      - name: models
        mountPath: /models
        readOnly: true
      {{- end }}
volumes:
  - name: tmp
    emptyDir: {}
  {{- if $node.weights }}
  - name: models
    persistentVolumeClaim:
      claimName: {{ include "imagegraph.claim" (dict "root" $root "pool" $node.poolName) | quote }}
  {{- end }}
{{- end }}

{{/* Options of `imagegraph serve` that nodes and engine share. */}}
{{- define "imagegraph.serveEnv" -}}
{{- /* Whose metrics these are, however they are scraped. */ -}}
- name: IMAGEGRAPH_SERVE_RELEASE
  value: {{ .Release.Name | quote }}
- name: IMAGEGRAPH_SERVE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: IMAGEGRAPH_SERVE_GRACE
  value: {{ .Values.termination.drainSeconds | int64 | quote }}
{{- /* Clients that keep a connection are sent elsewhere before it is closed. */}}
- name: IMAGEGRAPH_SERVE_DRAIN_DELAY
  value: "2"
- name: IMAGEGRAPH_SERVE_TIMEOUT
  value: {{ .Values.engine.timeoutSeconds | int64 | quote }}
{{- with .Values.redis.secret }}
- name: IMAGEGRAPH_SERVE_CACHE_REDIS
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: url
{{- end }}
{{- end }}

{{/* Probes and the pause before SIGTERM; takes root, name (of the model) and startup (s). */}}
{{- define "imagegraph.probes" -}}
{{- $period := int64 .root.Values.probes.periodSeconds -}}
startupProbe:
  httpGet:
    path: {{ printf "/v2/models/%s/ready" .name | quote }}
    port: 8080
  periodSeconds: {{ $period }}
  timeoutSeconds: 5
  failureThreshold: {{ div (add (int64 .startup) $period -1) $period }}
readinessProbe:
  httpGet:
    path: {{ printf "/v2/models/%s/ready" .name | quote }}
    port: 8080
  periodSeconds: {{ $period }}
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet:
    path: /v2/health/live
    port: 8080
  periodSeconds: {{ $period }}
  timeoutSeconds: 10
  failureThreshold: 3
  {{- /* Who has been silent for so long finishes nothing: what it holds need not wait for the whole drain. */}}
  terminationGracePeriodSeconds: {{ add (int64 .root.Values.termination.preStopSeconds) 5 }}
lifecycle:
  preStop:
    exec:
      command: [sleep, {{ .root.Values.termination.preStopSeconds | int64 | quote }}]
{{- end }}

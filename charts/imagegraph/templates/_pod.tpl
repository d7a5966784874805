{{/* Pod of a node, the same on every platform; takes root, predictor, node and container (its name). */}}
{{- define "imagegraph.pod" -}}
{{- $root := .root }}
{{- $values := .root.Values }}
{{- $node := .node }}
{{- $termination := $values.termination -}}
serviceAccountName: {{ .root.Release.Name }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add $termination.preStopSeconds $termination.drainSeconds 5 }}
securityContext:
  {{- include "imagegraph.podSecurity" . | nindent 2 }}
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- include "imagegraph.references" . | trim | nindent 2 }}
{{- end }}
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
  - topologyKey: {{ .topologyKey }}
    maxSkew: {{ .maxSkew | default 1 }}
    whenUnsatisfiable: {{ .whenUnsatisfiable | default "ScheduleAnyway" }}
    labelSelector:
      matchLabels:
        {{- include "imagegraph.nodeSelector" $ | nindent 8 }}
{{- end }}
{{- if $node.weights }}
initContainers:
  - name: model-init
    {{- $fills := eq $values.cache.fill "init" }}
    {{- /* Where others fill the volume, the pod waits: a failed init container is started again. */}}
    {{- $args := list (ternary "pull" "verify" $fills) "--bundle" .predictor.bundle "--entry" $node.entry }}
    {{- include "imagegraph.modelInit" (dict "root" $root "args" $args "readOnly" (not $fills)) | nindent 4 }}
{{- end }}
containers:
  - name: {{ .container }}
    image: {{ .predictor.image }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    terminationMessagePolicy: FallbackToLogsOnError
    args:
      {{- toYaml $node.args | nindent 6 }}
    env:
      {{- include "imagegraph.serveEnv" $root | nindent 6 }}
      - name: IMAGEGRAPH_SERVE_PREDICTOR
        value: {{ .predictor.name | quote }}
      # Torch would start a thread for every core of the machine, whatever the pod may use.
      - name: OMP_NUM_THREADS
        valueFrom:
          resourceFieldRef:
            resource: requests.cpu
      {{- with $node.env }}
      {{- include "imagegraph.env" . | trim | nindent 6 }}
      {{- end }}
    ports:
      - name: http
        containerPort: 8080
      - name: grpc
        containerPort: 8081
    resources:
      {{- toYaml $node.resources | nindent 6 }}
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
      claimName: {{ include "imagegraph.claim" (dict "root" $root "pool" $node.poolName) }}
  {{- end }}
{{- end }}

{{/* Options of `imagegraph serve` that nodes and engine share. */}}
{{- define "imagegraph.serveEnv" -}}
# Whose metrics these are, however they are scraped.
- name: IMAGEGRAPH_SERVE_RELEASE
  value: {{ .Release.Name | quote }}
- name: IMAGEGRAPH_SERVE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: IMAGEGRAPH_SERVE_GRACE
  value: {{ .Values.termination.drainSeconds | quote }}
# Clients that keep a connection are sent elsewhere before it is closed.
- name: IMAGEGRAPH_SERVE_DRAIN_DELAY
  value: "2"
- name: IMAGEGRAPH_SERVE_TIMEOUT
  value: {{ .Values.engine.timeoutSeconds | quote }}
{{- with .Values.redis.secret }}
- name: IMAGEGRAPH_SERVE_CACHE_REDIS
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: url
{{- end }}
{{- end }}

{{/* Probes and the pause before SIGTERM; takes root, name (of the model) and startup (s). */}}
{{- define "imagegraph.probes" -}}
{{- $probes := .root.Values.probes -}}
startupProbe:
  httpGet:
    path: /v2/models/{{ .name }}/ready
    port: 8080
  periodSeconds: {{ $probes.periodSeconds }}
  timeoutSeconds: 5
  failureThreshold: {{ div (add .startup $probes.periodSeconds -1) $probes.periodSeconds }}
readinessProbe:
  httpGet:
    path: /v2/models/{{ .name }}/ready
    port: 8080
  periodSeconds: {{ $probes.periodSeconds }}
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet:
    path: /v2/health/live
    port: 8080
  periodSeconds: {{ $probes.periodSeconds }}
  timeoutSeconds: 10
  failureThreshold: 3
  {{- /* Who has been silent for so long finishes nothing: what it holds need not wait for the whole drain. */}}
  terminationGracePeriodSeconds: {{ add .root.Values.termination.preStopSeconds 5 }}
lifecycle:
  preStop:
    exec:
      command: [sleep, {{ .root.Values.termination.preStopSeconds | quote }}]
{{- end }}

{{/* A container that fills or checks the cache, without its name; takes root, args and readOnly. */}}
{{- define "imagegraph.modelInit" -}}
{{- $init := .root.Values.modelInit -}}
image: {{ include "imagegraph.image" (dict "image" $init.image "root" .root) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args:
  {{- toYaml .args | nindent 2 }}
{{- $token := and $init.tokenSecret (not .readOnly) }}
{{- if or $token $init.env }}
env:
  {{- if $token }}
  - name: HF_TOKEN
    valueFrom:
      secretKeyRef:
        name: {{ $init.tokenSecret }}
        key: {{ $init.tokenKey }}
  {{- end }}
  {{- with $init.env }}
  {{- include "imagegraph.env" . | trim | nindent 2 }}
  {{- end }}
{{- end }}
resources:
  {{- toYaml $init.resources | nindent 2 }}
securityContext:
  {{- include "imagegraph.containerSecurity" . | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: models
    mountPath: /models
    readOnly: {{ .readOnly }}
{{- end }}

{{/* Claim that holds the weights of a pool; takes root and pool (its name). */}}
{{- define "imagegraph.claim" -}}
{{- $cache := .root.Values.cache -}}
{{- if eq $cache.volume "existing" }}{{ $cache.claim }}
{{- else if eq $cache.volume "perPool" }}{{ .root.Release.Name }}-models-{{ .pool }}
{{- else }}{{ .root.Release.Name }}-models
{{- end }}
{{- end }}

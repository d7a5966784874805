{{/* Pod template of the engine, as JSON; takes root and document (what it reads). */}}
{{- define "imagegraph.enginePod" -}}
{{- $values := .root.Values }}
{{- /* A new document is read by new pods: the split changes without a lost request. */}}
{{- $annotations := dict "imagegraph/document" (sha256sum .document) }}
{{- $metadata := dict "labels" (include "imagegraph.engineSelector" .root | fromYaml) "annotations" $annotations }}
{{- $templates := list $values.podTemplate $values.engine.podTemplate }}
{{- include "imagegraph.podTemplate" (dict "root" .root "metadata" $metadata "spec" (include "imagegraph.engineSpec" .root | fromYaml) "env" $values.engine.env "templates" $templates) }}
{{- end }}

{{- define "imagegraph.engineSpec" -}}
{{- $fullname := include "imagegraph.fullname" . }}
{{- include "imagegraph.podBasis" . }}
terminationGracePeriodSeconds: {{ include "imagegraph.gracePeriod" . }}
topologySpreadConstraints:
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "imagegraph.engineSelector" . | nindent 8 }}
containers:
  - name: engine
    image: {{ include "imagegraph.image" (dict "image" .Values.image "root" .) | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy | quote }}
    terminationMessagePolicy: FallbackToLogsOnError
    args: [serve, --manifest=/etc/imagegraph/graph.yaml, --name={{ $fullname }}]
    env:
      {{- include "imagegraph.serveEnv" . | nindent 6 }}
      {{- /* A new version gets no request before its pods have loaded their weights. */}}
      - name: IMAGEGRAPH_SERVE_WAIT
        value: {{ .Values.probes.startupSeconds | int64 | quote }}
    ports:
      - name: http
        containerPort: 8080
      - name: grpc
        containerPort: 8081
    resources:
      {{- include "imagegraph.resources" .Values.engine.resources | nindent 6 }}
    {{- include "imagegraph.probes" (dict "root" . "name" $fullname "startup" (add (int64 .Values.probes.startupSeconds) 60)) | nindent 4 }}
    securityContext:
      {{- include "imagegraph.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      - name: document
        mountPath: /etc/imagegraph
        readOnly: true
volumes:
  - name: tmp
    emptyDir: {}
  - name: document
    configMap:
      name: {{ $fullname }}-engine
{{- end }}

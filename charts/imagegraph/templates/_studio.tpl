{{/* Labels of the studio's pods. */}}
{{- define "imagegraph.studioSelector" -}}
{{ include "imagegraph.selector" . }}
app.kubernetes.io/component: studio
{{- end }}

{{/* The graphs that the studio has, as JSON: name and URL; the release's own where our engine runs it. */}}
{{- define "imagegraph.studioGraphs" -}}
{{- $graphs := dict }}
{{- if (include "imagegraph.plan" . | fromJson).engine }}
{{- $name := include "imagegraph.fullname" . }}
{{- $_ := set $graphs $name (printf "http://%s-engine:8080" $name) }}
{{- end }}
{{- $graphs = merge (deepCopy .Values.studio.graphs) $graphs }}
{{- if not $graphs }}
{{- fail "studio.graphs: expected the URL of a graph by its name: on seldon and kserve nobody but you knows it" }}
{{- end }}
{{- toJson $graphs }}
{{- end }}

{{/* Pod template of the studio, as JSON. */}}
{{- define "imagegraph.studioPod" -}}
{{- $studio := .Values.studio }}
{{- $metadata := dict "labels" (include "imagegraph.studioSelector" . | fromYaml) }}
{{- $templates := list .Values.podTemplate $studio.podTemplate }}
{{- include "imagegraph.podTemplate" (dict "root" . "metadata" $metadata "spec" (include "imagegraph.studioSpec" . | fromYaml) "env" $studio.env "templates" $templates) }}
{{- end }}

{{- define "imagegraph.studioSpec" -}}
{{- $studio := .Values.studio }}
{{- $period := int64 .Values.probes.periodSeconds }}
{{- include "imagegraph.podBasis" . }}
terminationGracePeriodSeconds: {{ include "imagegraph.gracePeriod" . }}
containers:
  - name: studio
    image: {{ include "imagegraph.image" (dict "image" .Values.image "root" .) | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy | quote }}
    terminationMessagePolicy: FallbackToLogsOnError
    args: [studio]
    env:
      - name: STUDIO_HOST
        value: "0.0.0.0"
      - name: STUDIO_DATA
        value: /data
      - name: STUDIO_EMBEDDED
        value: "false"
      - name: STUDIO_METRICS_PORT
        value: "7861"
      - name: STUDIO_GRAPHS
        value: {{ include "imagegraph.studioGraphs" . | quote }}
      {{- with $studio.storage }}
      - name: STUDIO_STORAGE
        value: {{ . | quote }}
      {{- end }}
      {{- if $studio.secret }}
      {{- range $variable, $key := dict "STUDIO_TOKENS" "tokens" "STUDIO_DATABASE" "database" }}
      - name: {{ $variable }}
        valueFrom:
          secretKeyRef:
            name: {{ $studio.secret | quote }}
            key: {{ $key }}
            {{- /* Of several pods none starts without it: each would have a SQLite of its own. */}}
            optional: {{ or (ne $key "database") (eq (int64 $studio.replicas) 1) (hasKey $studio.env "STUDIO_DATABASE") }}
      {{- end }}
      {{- end }}
    ports:
      - name: studio
        containerPort: 7860
      - name: metrics
        containerPort: 7861
    resources:
      {{- include "imagegraph.resources" $studio.resources | nindent 6 }}
    startupProbe:
      httpGet:
        path: /api/health/ready
        port: studio
      periodSeconds: {{ $period }}
      timeoutSeconds: 5
      failureThreshold: {{ div (add 120 $period -1) $period }}
    readinessProbe:
      httpGet:
        path: /api/health/ready
        port: studio
      periodSeconds: {{ $period }}
      timeoutSeconds: 5
      failureThreshold: 2
    livenessProbe:
      httpGet:
        path: /api/health/live
        port: studio
      periodSeconds: {{ $period }}
      timeoutSeconds: 10
      failureThreshold: 3
    lifecycle:
      preStop:
        exec:
          command: [sleep, {{ .Values.termination.preStopSeconds | int64 | quote }}]
    securityContext:
      {{- include "imagegraph.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      - name: data
        mountPath: /data
volumes:
  - name: tmp
    emptyDir: {}
  - name: data
    {{- if $studio.storage }}
    emptyDir: {}
    {{- else }}
    persistentVolumeClaim:
      claimName: {{ include "imagegraph.fullname" . }}-studio
    {{- end }}
{{- end }}

{{/* Resources of a container as YAML, every quantity a text: definitions of operators take no 0.5. */}}
{{- define "imagegraph.resources" -}}
{{- $found := dict }}
{{- range $kind, $amounts := . }}
{{- $texts := dict }}
{{- range $name, $amount := $amounts }}
{{- $_ := set $texts $name (include "imagegraph.text" $amount) }}
{{- end }}
{{- $_ := set $found $kind $texts }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{/* Fails where Kubernetes would refuse the resources of a container; takes where (in the values) and resources. */}}
{{- define "imagegraph.checkResources" -}}
{{- $where := .where }}
{{- $limits := .resources.limits | default dict }}
{{- range $name, $request := .resources.requests }}
{{- $extended := contains "/" $name }}
{{- if hasKey $limits $name }}
{{- $limit := get $limits $name }}
{{- $asked := include "imagegraph.amount" $request | float64 }}
{{- $most := include "imagegraph.amount" $limit | float64 }}
{{- if gt $asked $most }}
{{- fail (printf "%s: requests.%s is %s, more than limits.%s, which is %s" $where $name (include "imagegraph.text" $request) $name (include "imagegraph.text" $limit)) }}
{{- else if and $extended (ne $asked $most) }}
{{- fail (printf "%s: requests.%s: expected what limits.%s says, %s, got %s" $where $name $name (include "imagegraph.text" $limit) (include "imagegraph.text" $request)) }}
{{- end }}
{{- else if $extended }}
{{- fail (printf "%s: requests.%s: expected limits.%s, too: Kubernetes shares no such resource" $where $name $name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A quantity of Kubernetes as a number. */}}
{{- define "imagegraph.amount" -}}
{{- $text := include "imagegraph.text" . }}
{{- $number := regexFind "^[0-9.]+([eE][-+]?[0-9]+)?" $text }}
{{- $factors := dict "" 1.0 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 }}
{{- mulf (float64 $number) (get $factors (trimPrefix $number $text)) }}
{{- end }}

{{/* Fails when a rolling update could neither start a pod nor stop one; takes where and rollout. */}}
{{- define "imagegraph.checkRollout" -}}
{{- $moves := false }}
{{- range .rollout }}
{{- if ne (include "imagegraph.text" . | trimSuffix "%" | int) 0 }}{{ $moves = true }}{{ end }}
{{- end }}
{{- if not $moves }}
{{- fail (printf "%s.rollout: expected maxSurge or maxUnavailable above 0: with both 0 no pod may start or stop" .where) }}
{{- end }}
{{- end }}

{{/* Fails when the least is more than the most; takes where and scaling (minReplicas and maxReplicas). */}}
{{- define "imagegraph.checkScaling" -}}
{{- with .scaling }}
{{- if gt (int64 .minReplicas) (int64 .maxReplicas) }}
{{- fail (printf "%s: minReplicas is %d, more than maxReplicas, which is %d" $.where (int64 .minReplicas) (int64 .maxReplicas)) }}
{{- end }}
{{- end }}
{{- end }}

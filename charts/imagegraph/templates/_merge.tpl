{{/*
Two maps as one, as JSON; takes base and over, where null stands for an empty map. What `over` says wins, zeros,
false and "" included, which sprig's own merge takes for nothing said. Maps within are merged, null takes a key
away, and lists whose items have a key are joined as `kubectl patch` joins them: an item of `over` takes the
place of that with the same key. Other lists are replaced.
*/}}
{{- define "imagegraph.merge" -}}
{{- $keys := dict "env" "name" "imagePullSecrets" "name" "topologySpreadConstraints" "topologyKey" "volumeMounts" "mountPath" "volumes" "name" }}
{{- $merged := deepCopy (.base | default dict) }}
{{- range $field, $value := .over }}
{{- $before := get $merged $field }}
{{- if kindIs "invalid" $value }}
{{- $_ := unset $merged $field }}
{{- else if and (kindIs "map" $value) (kindIs "map" $before) }}
{{- $_ := set $merged $field (include "imagegraph.merge" (dict "base" $before "over" $value) | fromJson) }}
{{- else if and (kindIs "slice" $value) (kindIs "slice" $before) (hasKey $keys $field) }}
{{- $key := get $keys $field }}
{{- $items := dict }}
{{- $order := list }}
{{- range concat $before $value }}
{{- $name := get . $key }}
{{- $order = append $order $name | uniq }}
{{- $_ := set $items $name . }}
{{- end }}
{{- $joined := list }}
{{- range $order }}
{{- $joined = append $joined (get $items .) }}
{{- end }}
{{- $_ := set $merged $field $joined }}
{{- else }}
{{- $_ := set $merged $field $value }}
{{- end }}
{{- end }}
{{- toJson $merged }}
{{- end }}

{{/* A value as text, numbers in full: YAML's numbers are floats to helm, and 2500000 would be 2.5e+06. */}}
{{- define "imagegraph.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* Environment of a container from a map by name, as JSON of `env: […]`. */}}
{{- define "imagegraph.env" -}}
{{- $list := list }}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{- $list = append $list (dict "name" $name "value" (include "imagegraph.text" $value)) }}
{{- end }}
{{- end }}
{{- ternary (dict "env" $list) dict (gt (len $list) 0) | toJson }}
{{- end }}

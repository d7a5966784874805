{{/*
The plan: everything that the values and the catalogue say, checked and resolved, as JSON.
  predictors: [{name, traffic, shadow, bundle, tree, routers, nodes: [{name, host, pool, …}], pods}]
              pods: the nodes that have pods of their own
  engine: whether our own engine runs
*/}}
{{- define "imagegraph.plan" -}}
{{- $root := . }}
{{- $values := .Values }}
{{- $catalogue := .Files.Get "catalogue.yaml" | fromYaml }}
{{- $predictors := list }}
{{- $traffic := 0 }}
{{- $shadows := 0 }}
{{- $nodeNames := list }}
{{- range $name := prepend (keys (omit $values.predictors "default") | sortAlpha) "default" }}
{{- $given := get $values.predictors $name }}
{{- if not (kindIs "invalid" $given) }}
{{- $where := printf "predictors.%s" $name }}
{{- if and (ne $name "default") (not (or $given.graph $given.bundle $given.image)) }}
{{- fail (printf "%s: expected what differs from the default: graph, bundle or image" $where) }}
{{- end }}
{{- if $given.shadow }}
{{- $shadows = add1 $shadows }}
{{- if eq $name "default" }}{{ fail "predictors.default: expected no shadow: somebody has to answer" }}{{ end }}
{{- else }}
{{- $traffic = add $traffic ($given.traffic | int) }}
{{- end }}
{{- $default := $values.predictors.default }}
{{- $graphName := $given.graph | default $default.graph | default $values.graph }}
{{- include "imagegraph.known" (dict "kind" "graph" "name" $graphName "known" (keys $catalogue.graphs)) }}
{{- $graph := get $catalogue.graphs $graphName }}
{{- $bundle := $given.bundle | default $default.bundle | default $values.bundle }}
{{- include "imagegraph.known" (dict "kind" (printf "bundle of graph '%s'" $graphName) "name" $bundle "known" $graph.bundles) }}
{{- $image := $values.image }}
{{- range list $default.image $given.image }}
{{- with . }}
{{- $image = include "imagegraph.merge" (dict "base" (omit $image "digest") "over" .) | fromJson }}
{{- end }}
{{- end }}
{{- $predictor := dict "name" $name "traffic" ($given.traffic | int) "shadow" (default false $given.shadow) "bundle" $bundle "tree" $graph.tree "image" (include "imagegraph.image" (dict "image" $image "root" $root)) }}
{{- if eq $values.platform "kserve" }}
{{- if not $graph.kserve }}{{ fail (printf "graph '%s': KServe can neither ask a router nor take children without a combiner; use platform plain or seldon" $graphName) }}{{ end }}
{{- $_ := set $predictor "routers" $graph.kserve }}
{{- end }}
{{- if eq $values.platform "seldon" }}
{{- $_ := include "imagegraph.executor" (dict "root" $root "predictor" $name) }}
{{- end }}
{{- $nodes := list }}
{{- $pods := list }}
{{- range $unit := include "imagegraph.units" $graph.tree | fromYamlArray }}
{{- $nodeNames = append $nodeNames $unit.name }}
{{- $entry := get $catalogue.entries $unit.entry }}
{{- $node := include "imagegraph.node" (dict "root" $root "predictor" $predictor "unit" $unit "entry" $entry "variant" (get $entry.bundles $bundle)) | fromJson }}
{{- $nodes = append $nodes $node }}
{{- if or $node.endpoint (ne $values.platform "plain") }}
{{- $pods = append $pods $node }}
{{- end }}
{{- end }}
{{- $predictors = append $predictors (set (set $predictor "nodes" $nodes) "pods" $pods) }}
{{- end }}
{{- end }}
{{- range $name := keys $values.nodes }}
{{- include "imagegraph.known" (dict "kind" "nodes" "name" $name "known" ($nodeNames | uniq)) }}
{{- end }}
{{- if ne $traffic 100 }}
{{- fail (printf "predictors: traffic adds up to %d, expected 100" $traffic) }}
{{- end }}
{{- if gt $shadows 1 }}
{{- fail (printf "predictors: expected one shadow at most, got %d" $shadows) }}
{{- end }}
{{- if and (eq $values.cache.volume "existing") (not $values.cache.claim) }}
{{- fail "cache.claim: expected the name of a PersistentVolumeClaim, since cache.volume is 'existing'" }}
{{- end }}
{{- include "imagegraph.checkResources" (dict "where" "engine.resources" "resources" $values.engine.resources) }}
{{- include "imagegraph.checkResources" (dict "where" "modelInit.resources" "resources" $values.modelInit.resources) }}
{{- /* KServe's own splitter loses requests: our engine splits, asking the same pods. */}}
{{- $engine := or (eq $values.platform "plain") (and (eq $values.platform "kserve") (gt (len $predictors) 1)) }}
{{- dict "predictors" $predictors "engine" $engine | toJson }}
{{- end }}

{{/* The nodes of a tree as a flat list. */}}
{{- define "imagegraph.units" }}
- {{ omit . "children" | toJson }}
{{- range .children }}
{{- include "imagegraph.units" . }}
{{- end }}
{{- end }}

{{/* One node, resolved; takes root, predictor, unit, entry and variant. */}}
{{- define "imagegraph.node" -}}
{{- $values := .root.Values }}
{{- $own := get $values.nodes .unit.name | default dict }}
{{- $where := printf "nodes.%s" .unit.name }}
{{- $poolName := $own.pool | default (ternary .entry.pool "cpu" (hasKey $values.pools .entry.pool)) }}
{{- include "imagegraph.known" (dict "kind" (printf "%s.pool" $where) "name" $poolName "known" (keys $values.pools)) }}
{{- $pool := get $values.pools $poolName | default dict }}
{{- $object := dict "root" .root "rest" (printf "%s-%s" .predictor.name .unit.name) }}
{{- $host := include "imagegraph.object" $object }}
{{- $port := 8080 }}
{{- if eq $values.platform "kserve" }}
{{- /* KServe labels its pods `isvc.NAME-predictor`. */}}
{{- $host = printf "%s-predictor" (include "imagegraph.object" (set $object "room" 48)) }}
{{- $port = 80 }}
{{- end }}
{{- $resources := $own.resources | default $values.node.resources }}
{{- if not $resources }}
{{- $resources = dict "requests" (dict "cpu" .variant.cpu "memory" .variant.memory) "limits" (dict "memory" .variant.memory) }}
{{- end }}
{{- with $pool.gpu }}
{{- $limits := dict (.resource | default "nvidia.com/gpu") (.count | int64 | toString) }}
{{- $resources = include "imagegraph.merge" (dict "base" $resources "over" (dict "limits" $limits)) | fromJson }}
{{- end }}
{{- include "imagegraph.checkResources" (dict "where" (printf "%s.resources" $where) "resources" $resources) }}
{{- $rollout := include "imagegraph.merge" (dict "base" $values.node.rollout "over" $own.rollout) | fromJson }}
{{- include "imagegraph.checkRollout" (dict "where" $where "rollout" $rollout) }}
{{- include "imagegraph.checkScaling" (dict "where" (printf "%s.autoscaling" $where) "scaling" $own.autoscaling) }}
{{- include "imagegraph.checkScaling" (dict "where" (printf "%s.keda" $where) "scaling" $own.keda) }}
{{- $args := list "serve" (printf "--component=%s" .unit.entry) (printf "--bundle=%s" .predictor.bundle) }}
{{- if ne .unit.name .unit.entry }}
{{- $args = append $args (printf "--name=%s" .unit.name) }}
{{- end }}
{{- if has .unit.type (list "TRANSFORMER" "OUTPUT_TRANSFORMER") }}
{{- $args = append $args (printf "--type=%s" .unit.type) }}
{{- end }}
{{- if and $own.autoscaling $own.keda }}
{{- fail (printf "%s: expected autoscaling or keda, got both" $where) }}
{{- end }}
{{- /* Seldon's definition has the triggers of KEDA 2.7, to which the metrics were always asked for anew. */}}
{{- range $index, $trigger := ($own.keda | default dict).triggers }}
{{- if and (eq $values.platform "seldon") (hasKey $trigger "useCachedMetrics") }}
{{- fail (printf "%s.keda.triggers[%d]: expected no useCachedMetrics, which Seldon does not take" $where $index) }}
{{- end }}
{{- end }}
{{- /* V2 over gRPC knows neither combiners nor routers: the engine does their work itself. */}}
{{- $endpoint := not (and (eq $values.engine.protocol "grpc") (has .unit.type (list "COMBINER" "ROUTER"))) }}
{{- $node := dict "name" .unit.name "entry" .unit.entry "endpoint" $endpoint "host" $host "port" $port "weights" .variant.weights }}
{{- $_ := set $node "args" $args }}
{{- $_ := set $node "poolName" $poolName }}
{{- $_ := set $node "pool" $pool }}
{{- $_ := set $node "resources" $resources }}
{{- $_ := set $node "replicas" ($own.replicas | default $values.node.replicas | int) }}
{{- $_ := set $node "env" (include "imagegraph.merge" (dict "base" $values.node.env "over" $own.env) | fromJson) }}
{{- $_ := set $node "rollout" $rollout }}
{{- $_ := set $node "podTemplate" $own.podTemplate }}
{{- $_ := set $node "autoscaling" $own.autoscaling }}
{{- $_ := set $node "keda" $own.keda }}
{{- $node | toJson }}
{{- end }}

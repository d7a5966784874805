from collections import Counter

import pytest
import yaml

from imagegraph.errors import InvalidDocument, UnknownName
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Node
from imagegraph.spec.kserve import inference_graph
from imagegraph.spec.seldon import Endpoint, SeldonDeployment, seldon_deployment
from tests import tiny

TEXT = """\
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {name: two}
spec:
  protocol: v2
  predictors:
    - name: main
      traffic: 75
      graph:
        name: unite
        type: COMBINER
        children:
          - name: left
          - name: right
      componentSpecs:
        - spec:
            containers:
              - {name: unite, image: i, args: [serve, --component=unite, --bundle=pocket]}
              - {name: left, image: i, args: [serve, --component=double, --bundle=pocket, --name=left]}
        - spec:
            containers:
              - {name: right, image: i, args: [serve, --component=add, --bundle=pocket, --name=right]}
    - name: canary
      traffic: 25
      graph: {name: left, type: MODEL}
      componentSpecs:
        - spec:
            containers:
              - {name: left, image: i, args: [serve, --component=double, --bundle=sd15, --name=left]}
"""


def parse(text: str) -> SeldonDeployment:
    return strict_yaml.parse(text, SeldonDeployment, "m.yaml")


def shipped_graphs() -> dict[str, Node]:
    return {name: item.root for name, item in Catalogue.read().graphs.items()}


def test_a_manifest_becomes_predictors_with_graphs_of_entries():
    deployment = parse(TEXT)
    main = deployment.predictor("main")
    assert main.bundle == "pocket"
    assert [(node.name, node.type, node.entry) for node in main.root.walk()] == [
        ("unite", "COMBINER", "unite"),
        ("left", "MODEL", "double"),
        ("right", "MODEL", "add"),
    ]
    assert deployment.predictor("canary").bundle == "sd15"
    with pytest.raises(UnknownName, match="Did you mean 'canary'"):
        deployment.predictor("canari")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("protocol: v2", "protocol: seldon", ":5: spec.protocol: Input should be 'v2', got 'seldon'"),
        ("protocol: v2", "protocol: v2\n  replicas: 2", ":6: spec.replicas: unknown key"),
        ("kind: SeldonDeployment", "kind: Deployment", ":2: kind"),
        ("machinelearning.seldon.io/v1", "v1", ":1: apiVersion"),
        ("{name: two}", "{name: Two}", ":3: metadata.name: .*match pattern"),
        ("        type: COMBINER", "        type: COMBINE", ":11: .*graph.type: .*got 'COMBINE'"),
        (
            "- name: left",
            "- {name: left, implementation: SKLEARN_SERVER}",
            ":13: .*implementation: unknown key",
        ),
        ("- name: left", "- name: left\n            endpoint: {type: GRPC}", ":14: .*endpoint"),
        (
            "- name: left",
            "- name: left\n            logger:\n              mode: all",
            ":14: .*logger: unknown",
        ),
        ("- name: left", "- {name: left, parameters: []}", ":13: .*parameters: unknown key"),
        ("- name: left", "- {name: left, methods: [ROUTE]}", ":13: .*methods: unknown key"),
        ("- name: left", "- {name: left, modelUri: s3://x}", ":13: .*modelUri: unknown key"),
        ("- name: left", "- name: right", ":9: .*graph: duplicate node name 'right'"),
        ("- name: left", "- {name: left, type: ROUTER}", ":13: .*ROUTER 'left' needs children"),
        ("- name: left", "- name: middle", ":7: .*node 'middle' has no container; containers: "),
        ("          - name: right\n", "", ":7: .*container 'right' belongs to no node"),
        ("{name: right, image", "{name: left, image", ":7: .*two containers have one name"),
        ("[serve, --component=add", "[run, --component=add", ":7: .*'right': expected args .'serve'"),
        ("--component=add", "--component=add, --workers=2", ":7: .*'right': expected args"),
        ("--component=add", "--component=add, --component=double", ":7: .*'right': expected args"),
        ("--component=add", "component=add", ":7: .*'right': expected args .'serve', '--component=…'"),
        ("--name=right", "--name=wrong", ":7: .*'right': expected args .* '--name=right'.*wrong"),
        ("          - name: right", "          - {name: right, type: TRANSFORMER}", "'--type=TRANSFORMER'"),
        (
            "add, --bundle=pocket",
            "add, --bundle=sd15",
            "one predictor runs one bundle, not .'pocket', 'sd15'",
        ),
        ("traffic: 75", "traffic: 70", ":4: spec: traffic of the predictors adds up to 95, not 100"),
        ("traffic: 75", "traffic: 101", ":8: .*traffic: .*less than or equal to 100, got 101"),
        ("name: canary", "name: main", ":4: .*two predictors have one name"),
        ("graph:\n", "graph: &g\n        self: *g\n", "m.yaml:(9|10): a cycle"),
        (
            "image: i, args: [serve, --component=add",
            "image: i, resource: {}, args: [serve, --component=add",
            ":22: .*containers.0.resource: unknown key",
        ),
        ("        - spec:\n", "        - spec:\n            volume: []\n", ":17: .*volume: unknown key"),
        ("        - spec:\n", "        - replica: 1\n          spec:\n", ":16: .*replica: unknown key"),
        ("traffic: 75", "traffic: 75\n      explainer: {}", ":9: .*explainer: unknown key"),
    ],
)
def test_what_the_engine_does_not_run_is_an_error_with_its_line(old, new, message):
    assert TEXT.count(old) >= 1
    with pytest.raises(InvalidDocument, match=f"m.yaml{message}" if message[0] == ":" else message):
        parse(TEXT.replace(old, new, 1))


def test_what_only_the_cluster_reads_is_left_to_it():
    text = TEXT.replace("image: i,", "image: i, env: [{name: A, value: b}], resources: {limits: {cpu: 1}},")
    text = text.replace(
        "        - spec:\n", "        - replicas: 2\n          spec:\n            volumes: []\n"
    )
    assert parse(text) == parse(TEXT)


@pytest.mark.parametrize("traffic", ["traffic: 100", "replicas: 1"])
def test_a_single_predictor_may_leave_its_traffic_out(traffic):
    deployment = parse(TEXT[: TEXT.index("    - name: canary")].replace("traffic: 75", traffic))
    assert deployment.choose("any").name == "main"


def test_requests_are_split_as_the_traffic_says_and_stay_on_their_side():
    deployment = parse(TEXT)
    chosen = {str(n): deployment.choose(str(n)).name for n in range(1000)}
    assert 200 < Counter(chosen.values())["canary"] < 300
    assert all(deployment.choose(request).name == name for request, name in chosen.items())


def test_a_predictor_without_traffic_is_never_chosen():
    deployment = parse(TEXT.replace("traffic: 75", "traffic: 100").replace("traffic: 25", "traffic: 0"))
    assert {deployment.choose(str(n)).name for n in range(1000)} == {"main"}


@pytest.mark.parametrize("name", shipped_graphs())
def test_every_graph_of_the_catalogue_survives_its_manifest(name):
    root = shipped_graphs()[name]
    text = strict_yaml.dump(seldon_deployment(name, root, "pocket", "image:1"))
    [predictor] = strict_yaml.parse(text, SeldonDeployment, name).spec.predictors
    assert predictor.root == root
    assert predictor.bundle == "pocket"


def steps(routers: dict, name: str) -> list[tuple]:
    """Every step with the router or, in brackets, the node that it asks."""
    return [
        (step["name"], step.get("nodeName") or [step["node"]], step.get("data"))
        for step in routers[name]["steps"]
    ]


def test_an_inference_graph_is_a_sequence_around_ensembles(tmp_path):
    routers = inference_graph(tiny.catalogue(tmp_path).graph("sum").root)
    assert steps(routers, "root") == [
        ("unite-children", "unite-children", None),
        ("unite", ["unite"], "$response"),
        ("add", ["add"], "$response"),
    ]
    assert steps(routers, "unite-children") == [("source", ["source"], None), ("double", ["double"], None)]
    assert [router["routerType"] for router in routers.values()] == ["Sequence", "Ensemble"]
    assert {step["dependency"] for router in routers.values() for step in router["steps"]} == {"Hard"}


def test_a_branch_of_several_nodes_is_a_sequence_of_its_own():
    leaf = {"name": "a", "type": "OUTPUT_TRANSFORMER", "children": [{"name": "b"}]}
    root = Node.model_validate({"name": "c", "type": "COMBINER", "children": [leaf, {"name": "d"}]})
    routers = inference_graph(root)
    assert steps(routers, "c-children") == [("a", "a-sequence", None), ("d", ["d"], None)]
    assert steps(routers, "a-sequence") == [("b", ["b"], None), ("a", ["a"], "$response")]


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ({"name": "r", "type": "ROUTER", "children": [{"name": "a"}]}, "'r': KServe has no ROUTER"),
        ({"name": "m", "children": [{"name": "a"}, {"name": "b"}]}, "'m': .*need a COMBINER"),
    ],
)
def test_what_kserve_cannot_do_is_an_error(root, message):
    with pytest.raises(InvalidDocument, match=message):
        inference_graph(Node.model_validate(root))


POD = "{service_host: h, httpPort: 80, grpcPort: 81, type: %s}"


def with_pods(type_: str, annotations: str = "{}") -> SeldonDeployment:
    """The second predictor of TEXT, its node in a pod."""
    text = TEXT.replace(
        "      graph: {name: left, type: MODEL}",
        f"      annotations: {annotations}\n      graph: {{name: left, endpoint: {POD % type_}}}",
    )
    return parse(text)


@pytest.mark.parametrize(("type_", "address"), [("REST", "h:80"), ("GRPC", "h:81")])
def test_a_node_in_a_pod_has_the_address_of_its_protocol(type_, address):
    canary = with_pods(type_).predictor("canary")
    assert {name: endpoint.address for name, endpoint in canary.endpoints.items()} == {"left": address}


@pytest.mark.parametrize(
    ("ports", "address"),
    [
        ("service_port: 9000", "h:9000"),
        ("service_port: 9000, httpPort: 80", "h:80"),
        ("service_port: 9000, httpPort: 80, type: GRPC", "h:9000"),
    ],
)
def test_the_port_of_older_documents_stands_in_for_either(ports, address):
    endpoint = Endpoint.model_validate(yaml.safe_load(f"{{service_host: h, {ports}}}"))
    assert endpoint.address == address


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("{service_host: h, type: REST}", "REST needs httpPort or service_port"),
        ("{service_host: h, httpPort: 80, type: GRPC}", "GRPC needs grpcPort or service_port"),
        ("{service_host: h, service_port: 0}", "greater than 0"),
        ("{service_host: h, httpPort: 70000}", "less than 65536"),
    ],
)
def test_an_endpoint_needs_its_port(endpoint, message):
    with pytest.raises(InvalidDocument, match=message):
        parse(TEXT.replace("- name: left", f"- {{name: left, endpoint: {endpoint}}}", 1))


def test_endpoints_of_two_protocols_are_refused_as_in_seldon():
    both = TEXT.replace("- name: left", f"- {{name: left, endpoint: {POD % 'GRPC'}}}", 1)
    both = both.replace("- name: right", f"- {{name: right, endpoint: {POD % 'REST'}}}", 1)
    with pytest.raises(InvalidDocument, match="endpoints of both REST and GRPC"):
        parse(both)


def test_grpc_asks_no_combiner():
    text = TEXT.replace(
        "        type: COMBINER", f"        type: COMBINER\n        endpoint: {POD % 'GRPC'}", 1
    )
    with pytest.raises(InvalidDocument, match="node 'unite': V2 over gRPC cannot ask a COMBINER"):
        parse(text)


@pytest.mark.parametrize(
    ("type_", "annotations", "expected"),
    [
        ("REST", "{}", {}),
        ("REST", "{seldon.io/rest-timeout: '1500', seldon.io/grpc-timeout: '9'}", {"left": 1.5}),
        ("GRPC", "{seldon.io/rest-timeout: '9', seldon.io/grpc-timeout: '2000'}", {"left": 2.0}),
        ("REST", "{seldon.io/rest-timeout: '9', timeout-ms.imagegraph/left: '250'}", {"left": 0.25}),
    ],
)
def test_a_nodes_time_is_seldons_annotation_or_its_own(type_, annotations, expected):
    deployment = with_pods(type_, annotations)
    assert deployment.predictor("canary").timeouts_s({}) == expected
    assert deployment.predictor("canary").timeouts_s({"seldon.io/rest-timeout": "7"}) == (
        expected or {"left": 0.007}
    )


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ("{seldon.io/rest-timeout: 1s}", "'seldon.io/rest-timeout': expected milliseconds, got '1s'"),
        ("{timeout-ms.imagegraph/left: '0'}", "expected milliseconds, got '0'"),
        ("{timeout-ms.imagegraph/rihgt: '5'}", "no node 'rihgt'; nodes: .'left'"),
    ],
)
def test_a_wrong_time_is_told(annotations, message):
    with pytest.raises(InvalidDocument, match=message):
        with_pods("REST", annotations)

"""Histograms, beside those of prometheus_client."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from imagegraph.observe.metrics import SECONDS, Metrics

PHASES = st.sampled_from(["decode", "predict", "encode"])


@given(st.lists(st.tuples(PHASES, st.sampled_from(SECONDS) | st.floats(0, 1000))))
def test_a_histogram_writes_what_that_of_prometheus_client_does(observed):
    registry = CollectorRegistry()
    name, labels = "imagegraph_phase_seconds", ["model_name", "role", "phase"]
    other = Histogram(name, "Time in a phase", labels, buckets=SECONDS, registry=registry)
    metrics = Metrics("m", CollectorRegistry())
    for phase, seconds in observed:
        metrics.phase(phase, seconds)
        other.labels("m", "engine", phase).observe(seconds)

    def lines(page: str) -> list[str]:
        return [line for line in page.splitlines() if name in line and "_created" not in line]

    assert lines(metrics.page("")[0].decode()) == lines(generate_latest(registry).decode())


def test_requests_under_way_are_counted_until_they_end():
    metrics = Metrics("m", CollectorRegistry())
    line = 'imagegraph_in_flight{{model_name="m",role="engine"}} {}'
    with metrics.in_flight, metrics.in_flight:
        assert line.format("2.0") in metrics.page("")[0].decode()
    assert line.format("0.0") in metrics.page("")[0].decode()


def test_every_metric_says_whose_it_is():
    metrics = Metrics("edges", CollectorRegistry(), role="node", release="photos", namespace="prod")
    metrics.request("rest", 200, 0.1, "canary")
    metrics.phase("encode", 0.1)
    metrics.predictor_up("canary", up=True)
    lines = [line for line in metrics.page("")[0].decode().splitlines() if line.startswith("imagegraph_")]
    assert len(lines) > 20
    for line in lines:
        for label in ('model_name="edges"', 'role="node"', 'release="photos"', 'namespace="prod"'):
            assert label in line


def test_a_bucket_leads_to_the_trace_of_its_last_request():
    metrics = Metrics("m", CollectorRegistry())
    metrics.request("rest", 200, 0.02, "default", "0af7651916cd43dd8448eb211c80319c")
    metrics.request("rest", 200, 0.021, "default")
    page, kind = metrics.page("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    [line] = [line for line in page.decode().splitlines() if "trace_id" in line]
    assert 'imagegraph_request_seconds_bucket{le="0.025"' in line
    assert '} 2.0 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.02' in line


def test_what_a_program_left_before_is_shown_with_our_labels_as_long_as_it_is_there(tmp_path):
    metrics, file = Metrics("depth", CollectorRegistry(), role="node"), tmp_path / "init.prom"
    metrics.show(file)
    assert b"model_init" not in metrics.page("")[0]
    file.write_text("# TYPE imagegraph_model_init_success gauge\nimagegraph_model_init_success 1.0\n")
    assert b'imagegraph_model_init_success{model_name="depth",role="node"} 1.0' in metrics.page("")[0]


def test_the_first_error_of_a_pod_is_one_more_than_was_shown_before_it():
    metrics = Metrics("m", CollectorRegistry())
    metrics.expect("default")

    def errors() -> float:
        families = text_string_to_metric_families(metrics.page("")[0].decode())
        return sum(
            one.value
            for family in families
            for one in family.samples
            if one.name == "imagegraph_requests_total" and one.labels["code"] == "500"
        )

    shown = metrics.page("")[0].decode()
    assert 'imagegraph_request_seconds_count{model_name="m",predictor="default",protocol="rest"' in shown
    assert shown.count('predictor="default"') < 60
    assert errors() == 0
    metrics.request("rest", 500, 0.1, "default")
    assert errors() == 1
    assert metrics.page("")[0].decode().count("\n") == shown.count("\n")

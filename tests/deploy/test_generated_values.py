"""Whatever values the schema admits, the chart renders what Kubernetes takes, or says what it expected."""

from typing import Any

from hypothesis import given, settings

from tests.deploy import chart, generated_values, rules

REFUSALS = ("values don't meet the specifications of the schema", "execution error at (imagegraph/templates/")


@settings(max_examples=10, deadline=None)
@given(generated_values.values(), generated_values.RELEASES)
def test_what_renders_is_what_kubernetes_takes_and_all_else_is_refused_in_words(
    given: dict[str, Any], release: str
) -> None:
    done = chart.template(given=given, release=release)
    if done.returncode:
        assert any(words in done.stderr for words in REFUSALS), done.stderr
        return
    rules.check(chart.parsed(done.stdout))

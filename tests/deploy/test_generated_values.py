"""Whatever values the schema admits, the chart renders what Kubernetes takes, or says what it expected."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deploy import chart, generated_values, rules

# As helm takes them; Kubernetes wants a letter first.
RELEASES = st.from_regex(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?", fullmatch=True) | st.just("2024-photos")
REFUSALS = ("values don't meet the specifications of the schema", "execution error at (imagegraph/templates/")


@settings(max_examples=10, deadline=None)
@given(generated_values.values(), RELEASES)
def test_what_renders_is_what_kubernetes_takes_and_all_else_is_refused_in_words(
    given: dict[str, Any], release: str
) -> None:
    done = chart.template(given=given, release=release)
    if done.returncode:
        assert any(words in done.stderr for words in REFUSALS), done.stderr
        return
    rules.check(chart.parsed(done.stdout))

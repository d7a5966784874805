"""The queries of a dashboard, as Grafana sends them once its variables are chosen."""

from collections.abc import Iterator
from typing import Any


def queries(board: dict[str, Any], namespace: str, release: str, **chosen: str) -> list[str]:
    """Returns every query of panels and annotations.

    Args:
        chosen: values of variables beside those that every dashboard has.
    """
    values = {
        "$namespace": namespace,
        "$release": release,
        "$__rate_interval": "1m",
        "$window": "10m",
        "$before": "default",
        "$after": "default",
        **{f"${name}": value for name, value in chosen.items()},
    }

    def filled(query: str) -> str:
        for name, value in values.items():
            query = query.replace(name, value)
        assert "$" not in query.replace("$1", ""), query
        return query

    return [filled(query) for query in _queries(board)]


def _queries(board: dict[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for annotation in board["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["expr"]

"""What the predictors of a release did, by the queries of Prometheus that tell."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException

from imagegraph.errors import InvalidInput, Unavailable

PROMETHEUS_TIMEOUT_S = 30


@dataclass(frozen=True)
class Figures:
    """What a predictor did in a while.

    Attributes:
        errors: answers with a status of 500 or more, among `requests`.
        mean_s, p95_s: time to answer; None when nothing was answered.
    """

    requests: int
    errors: int
    mean_s: float | None
    p95_s: float | None

    @property
    def error_rate(self) -> float:
        """Errors among the requests; 0 without any."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Prometheus:
    """Where figures come from.

    Attributes:
        window: how far to look back, such as `30m`.
        match: more matchers of every series, such as `namespace="production"`.
    """

    url: str
    window: str
    match: str = ""

    def figures(self, release: str, namespace: str, predictor: str, platform: str) -> Figures:
        """Returns what a predictor of a release did, as whoever runs its graph has counted.

        Args:
            release: on Seldon the name of its SeldonDeployment.

        Raises:
            Unavailable: Prometheus does not answer.
            InvalidInput: it does not understand the window or the matchers.
        """
        if platform == "seldon":
            counter, seconds = (f"seldon_api_executor_server_requests_seconds{end}" for end in ("_count", ""))
            labels = f'deployment_name="{release}",predictor_name="{predictor}",service="predictions"'
        else:
            counter, seconds = "imagegraph_requests_total", "imagegraph_request_seconds"
            labels = f'role="engine",release="{release}",predictor="{predictor}"'
        series = self._series(labels, namespace)

        def increase(metric: str, by: str = "") -> str:
            """A query for how much a counter grew, its first value included.

            Prometheus' own function takes the first value that it sees for old: the first burst of errors
            of a new pod would not count.
            """
            one, window = metric + series, self.window
            grown = f"increase({one}[{window}])"
            first = f"(min_over_time({one}[{window}]) unless {one} offset {window})"
            return f"sum {by}({grown} + ({first} or 0 * {grown}))"

        codes = self._query(increase(counter, "by (code) "))
        requests = {labels.get("code", ""): value for labels, value in codes}
        mean = self._query(f"{increase(f'{seconds}_sum')} / {increase(f'{seconds}_count')}")
        buckets = increase(f"{seconds}_bucket", "by (le) ")
        p95 = self._query(f"histogram_quantile(0.95, {buckets})")
        return Figures(
            requests=round(sum(requests.values())),
            errors=round(sum(value for code, value in requests.items() if code >= "500")),
            mean_s=mean[0][1] if mean else None,
            p95_s=p95[0][1] if p95 else None,
        )

    def is_asked(self, release: str, namespace: str, predictor: str) -> bool:
        """Whether every engine sends requests to a predictor, as far as is known.

        Raises:
            Unavailable, InvalidInput: see `figures`.
        """
        labels = f'role="engine",release="{release}",predictor="{predictor}"'
        found = self._query(f"min(imagegraph_predictor_up{self._series(labels, namespace)})")
        return not found or found[0][1] > 0

    def _series(self, labels: str, namespace: str) -> str:
        return f'{{{labels},namespace="{namespace}"{"," if self.match else ""}{self.match}}}'

    def _query(self, query: str) -> list[tuple[dict[str, str], float]]:
        url = f"{self.url.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=PROMETHEUS_TIMEOUT_S) as answer:
                found = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code in (400, 422):
                raise InvalidInput("window or match", "what Prometheus understands", query) from error
            raise Unavailable(f"Prometheus at {self.url} says {error.code} {error.reason}") from error
        except (OSError, ValueError, HTTPException) as error:
            raise Unavailable(f"Prometheus at {self.url} does not answer: {error}") from error
        except (KeyError, TypeError) as error:
            raise Unavailable(f"what answers at {self.url} is no Prometheus") from error
        rows = ((row["metric"], float(row["value"][1])) for row in found)
        return [(labels, value) for labels, value in rows if not math.isnan(value)]

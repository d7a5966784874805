"""Queries in PromQL that dashboards and rules share: what a graph did, whoever runs it."""

from __future__ import annotations

from dataclasses import dataclass

EXECUTOR = "seldon_api_executor_server_requests_seconds"


def part(some: str, every: str) -> str:
    """How much of what every series counts some do, 0..1; 0 where there are none of these.

    Args:
        some, every: queries whose series have the same labels.
    """
    return f"(({some}) or ({every}) * 0) / ({every})"


@dataclass(frozen=True)
class Series:
    """Which series are meant; each attribute is a matcher with its operator, such as `=~"$release"`.

    Attributes:
        deployment: of the SeldonDeployment's name, where Seldon's executor runs the graph.
        predictor: of the version of the graph, if not all are meant.
    """

    namespace: str
    release: str
    deployment: str
    predictor: str = ""

    @property
    def all(self) -> str:
        """Matchers of everything that the release's pods say."""
        return f"namespace{self.namespace},release{self.release}"

    @property
    def engine(self) -> str:
        """Matchers of what its engine says."""
        return f'role="engine",{self.all}{self.predictor and f",predictor{self.predictor}"}'

    @property
    def executor(self) -> str:
        """Matchers of requests to the graph where Seldon's executor counts them."""
        version = self.predictor and f",predictor_name{self.predictor}"
        return f'service="predictions",namespace{self.namespace},deployment_name{self.deployment}{version}'

    @property
    def free(self) -> str:
        """Memory of devices that is left: what nobody has, and what PyTorch keeps for its next tensors."""
        free, reserved, allocated = (
            f'imagegraph_device_memory_bytes{{kind="{kind}",{self.all}}}'
            for kind in ("free", "reserved", "allocated")
        )
        return f"({free} + ignoring (kind) {reserved} - ignoring (kind) {allocated})"

    def requests(self, window: str, by: str, more: str = "", over: str = "rate") -> str:
        """Requests to graphs, without the copies that a shadow gets.

        Args:
            by: labels to keep, among namespace, release, predictor and code.
            more: more matchers, such as `,code=~"5.."`.
            over: `rate` is per second, `increase` in all of the window.
        """
        return self._either(over, "imagegraph_requests_total", "count", window, by, more)

    def errors(self, window: str, by: str) -> str:
        """The part of requests that failed, 0..1; 0 where all went well."""
        return part(self.requests(window, by, ',code=~"5.."'), self.requests(window, by))

    def slow(self, window: str, by: str, longest_s: str) -> str:
        """The part of requests that took longer than so many seconds, which must be the bound of a bucket."""
        bound = f',le=~"{longest_s}([.]0)?"'  # as clients of different languages write it
        quick = self._either("rate", "imagegraph_request_seconds_bucket", "bucket", window, by, bound)
        every = self._either("rate", "imagegraph_request_seconds_count", "count", window, by)
        return f"1 - ({quick}) / (({every}) > 0)"

    def quantile(self, part: float, window: str, by: str) -> str:
        """Time within which so large a part of requests was answered, s."""
        buckets = self._either("rate", "imagegraph_request_seconds_bucket", "bucket", window, f"{by},le")
        return f"histogram_quantile({part}, {buckets})"

    def _either(self, over: str, ours: str, executors: str, window: str, by: str, more: str = "") -> str:
        """A sum over our engine's series or, without them, over the executor's, with labels named as ours."""
        renamed = f"{over}({EXECUTOR}_{executors}{{{self.executor}{more}}}[{window}])"
        for label, theirs in (("release", "deployment_name"), ("predictor", "predictor_name")):
            renamed = f'label_replace({renamed}, "{label}", "$1", "{theirs}", "(.*)")'
        own = f'{ours}{{protocol!="shadow",{self.engine}{more}}}'
        return f"sum by ({by}) ({over}({own}[{window}])) or sum by ({by}) ({renamed})"

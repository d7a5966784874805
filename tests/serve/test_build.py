"""What stands before the nodes of a served graph."""

import asyncio

from prometheus_client import CollectorRegistry

from imagegraph.message import Message
from imagegraph.observe.metrics import Metrics
from imagegraph.observe.request_log import Journal
from imagegraph.serve.build import Assembly, Settings
from imagegraph.spec import strict_yaml
from imagegraph.spec.graph import Node
from imagegraph.spec.seldon import SeldonDeployment, seldon_deployment
from tests import tiny
from tests.fake_call import FakeCall

ELSEWHERE = """
entries:
  double:
    component: tests.tiny:Double
    summary: Doubles a number, with weights that only its pod has
    bundles: {pocket: {weights: {model: {path: pocket/weights/of-a-pod-only}}}}
graphs: {}
"""


class Pods(FakeCall):
    async def unready(self) -> list[str]:
        return []

    async def version(self, node: Node) -> str:
        return ""

    async def close(self) -> None: ...


def test_a_pod_that_names_no_version_is_asked_every_time(tmp_path):
    document = seldon_deployment("double", Node(name="double"), "pocket", "image")
    graph = document["spec"]["predictors"][0]["graph"]
    graph["endpoint"] = {"service_host": "pod", "httpPort": 80, "type": "REST"}
    deployment = strict_yaml.parse(strict_yaml.dump(document), SeldonDeployment, "m")
    pods = Pods({"double": lambda message: Message({"doubled": 2 * message.values["number"]})})
    journal = Journal(Metrics("m", CollectorRegistry()))

    async def main() -> list[Message]:
        settings = Settings("cpu", cache_bytes=1000)
        assembly = Assembly(tiny.catalogue(tmp_path, ELSEWHERE), settings, journal)
        service = assembly.graph(deployment, {"REST": lambda addresses, timeouts_s: pods})
        await service.load()
        answers = [
            await service.infer([Message({"number": 2})], journal.open("rest", "POST /x", {}))
            for _ in range(2)
        ]
        await service.close()
        return answers

    assert [answer.values for answer in asyncio.run(main())] == [{"doubled": 4}] * 2
    assert len(pods.calls) == 2

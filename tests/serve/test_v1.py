"""V1's instances: how many, how large, and what one that fails means for the others."""

import base64
import time

import pytest

from imagegraph.spec.catalogue import ROOT
from tests.serve.conftest import Server

PREDICT = "/v1/models/m:predict"


def test_more_instances_than_may_wait_are_refused_before_any_work(double: Server, asleep: Server) -> None:
    crowd = b'{"instances":[' + b"{}," * 199_999 + b"{}]}"
    refused = double.http.post(PREDICT, content=crowd)
    assert (refused.status_code, "instances: expected at most 128" in refused.text) == (413, True)
    few = asleep.http.post(PREDICT, json={"instances": [{"seconds": 60.0}] * 3})
    assert (few.status_code, "instances: expected at most 2" in few.text) == (413, True)


def test_names_beyond_those_of_a_request_are_refused(double: Server) -> None:
    many = {f"n{index}": 1 for index in range(2000)}
    for body in ({"instances": [many]}, {"instances": [{}], "parameters": many}):
        assert double.http.post(PREDICT, json=body).status_code == 413


@pytest.mark.parametrize("bad", ["long", [], None])
def test_an_instance_that_fails_ends_its_siblings(asleep: Server, bad: object) -> None:
    since = time.monotonic()
    refused = asleep.http.post(PREDICT, json={"instances": [{"seconds": 25.0}, {"seconds": bad}]})
    assert refused.status_code == 400, refused.text
    assert asleep.infer(seconds=0.0).status_code == 200
    assert time.monotonic() - since < 15, "nobody waits for work that nobody wants"


def test_pictures_may_come_as_tensorflow_serving_has_them(identity: Server) -> None:
    photo = (ROOT / "pocket" / "examples" / "photo.jpg").read_bytes()
    text = base64.b64encode(photo).decode()
    answer = identity.http.post(PREDICT, json={"instances": [{"image": {"b64": text}}, {"image": text}]})
    assert answer.json() == {"predictions": [{"image": text}] * 2}
    wrong = identity.http.post(PREDICT, json={"instances": [{"image": {"b64": "?"}}]})
    assert (wrong.status_code, "instances[0].image: expected base64" in wrong.text) == (400, True)

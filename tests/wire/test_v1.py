import json

import numpy as np
import pytest

from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.signature import Signature
from imagegraph.wire import v2_json
from imagegraph.wire.v1 import predictions
from tests import tiny

PICTURE = Image.from_array(np.full((4, 4), 7, np.uint8))
VALUES = {
    "pictures": [PICTURE],
    "seeds": [7],
    "steered_by": ["depth"],
    "order": [1, 0],
    "depth": PICTURE,
    "numbers": [0.5, 1.5],
    "passed": "on",
    "count": 3,
    "noise": np.arange(6, dtype=np.float32).reshape(2, 3),
}


@pytest.mark.parametrize("binary", [True, False])
def test_an_answer_is_the_same_from_here_and_from_a_pod_or_cache(binary):
    ports = Signature.of(tiny.Paint).outputs
    here = json.loads(predictions([Message(VALUES)], ports))
    assert here["predictions"][0]["noise"] == [[0, 1, 2], [3, 4, 5]]
    assert here["predictions"][0]["seeds"] == [7]
    there = v2_json.decode(*v2_json.encode(Message(VALUES), "outputs", binary))
    assert json.loads(predictions([there], ports)) == here

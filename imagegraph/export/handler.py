"""A handler for TorchServe and for multi-model-server, which ask theirs in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagegraph.export.served import Question, Served


class Handler:
    """Answers what the server hands on: each body of a batch goes to imagegraph as it came."""

    def __init__(self, component: str, bundle: str, device: str) -> None:
        """Loads the component; the server waits for that."""
        self._served = Served(component, bundle, device)
        self._served.wait()

    def answer(self, rows: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        """Returns the bodies of the answers to a batch, and tells the context what else belongs to them.

        Args:
            rows: with what stood in the body of each request, not decoded.
            context: the server's own, of this batch.
        """
        path = f"/v2/models/{self._served.name}/infer"
        questions = []
        for at, row in enumerate(rows):
            known = context.get_all_request_header(at).items()
            headers = {name: text for name, text in known if isinstance(text, str)}
            questions.append(Question("POST", path, bytes(row.get("body", b"")), headers))
        answers = self._served.ask_together(questions)
        for at, answer in enumerate(answers):
            context.set_response_status(answer.status, idx=at)
            context.set_response_content_type(at, answer.content_type)
            for name, text in answer.headers.items():
                context.set_response_header(at, name, text)
        return [answer.body for answer in answers]

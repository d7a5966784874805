"""Flask: whatever our own server answers over HTTP, answered by a Flask application under gunicorn."""

from __future__ import annotations

from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe

_APP = '''"""Serves '$component' with Flask: each request goes to imagegraph as it came."""

from flask import Flask, Response, request

from imagegraph.export.served import Served

served = Served("$component", "$bundle", "$device")
app = Flask("$component")
app.config["MAX_CONTENT_LENGTH"] = served.most_bytes


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>", methods=["GET", "POST"])
def answer(path: str) -> Response:
    answer = served.ask(request.method, f"/{path}", request.get_data(), request.headers)
    return Response(answer.body, answer.status, answer.headers, content_type=answer.content_type)
'''

_NOTES = """
It answers V2 over HTTP: `/v2/models/$component` says what goes in and out, `/v2/health/ready` whether the
weights are loaded. V2's binary extension, V1 (`/v1/models/$component:predict`), `/metrics` and
`/openapi.json` are those of imagegraph's own server, too.

One worker has the weights once. Its threads wait for answers together: what they ask at once is computed
together where the component can do that.
"""


def recipe(exported: Exported) -> Recipe:
    """Returns an application and gunicorn's command."""
    return Recipe(
        server="Flask",
        files={"app.py": exported.fill(_APP)},
        requirements=["flask==3.1.3", "gunicorn==27.0.1"],
        start='exec gunicorn --bind "$HOST:$PORT" --workers 1 --threads 64 --timeout 0 app:app',
        ask=f"curl -s localhost:8080/v2/models/{exported.component}/infer -d @request.json",
        request=exported.v2(),
        notes=exported.fill(_NOTES),
    )

"""Runs ClearML Serving's own application without a ClearML server, with one endpoint: `preprocess.py` here.

What a server would say of the service, its task, is said by a stand-in. All else is theirs.
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

os.environ["CLEARML_OFFLINE_MODE"] = "1"

import uvicorn
from clearml.storage.util import sha256sum
from clearml_serving.serving.endpoints import ModelEndpoint
from clearml_serving.serving.model_request_processor import ModelRequestProcessor

CODE = Path("preprocess.py").absolute()
ARTIFACT = "py_code"

task = mock.MagicMock(status="in_progress")
task.name = task.get_project_name.return_value = "imagegraph"
task.artifacts = {
    ARTIFACT: SimpleNamespace(
        get_local_copy=lambda extract_archive=True, force_download=False: str(CODE),
        hash=sha256sum(str(CODE), block_size=65536)[0],
    )
}
ModelRequestProcessor._get_control_plane_task = staticmethod(lambda *_, **__: task)

from clearml_serving.serving import main  # noqa: E402

main.processor = ModelRequestProcessor(task_id="offline")
main.processor._endpoints[sys.argv[1]] = ModelEndpoint(
    engine_type="custom_async", serving_url=sys.argv[1], preprocess_artifact=ARTIFACT
)
uvicorn.run(main.app, host="127.0.0.1", port=int(os.environ["PORT"]))

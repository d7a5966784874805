"""docs/studio.md is tested: its commands run, its tables name every setting and every path."""

import json
import re
import subprocess
from pathlib import Path

from PIL import Image as Pillow

from imagegraph.spec.catalogue import ROOT
from studio import app
from studio.settings import Settings
from tests.studio.serving import running

TEXT = (ROOT / "docs" / "studio.md").read_text()


def test_its_table_has_every_setting_with_its_default() -> None:
    found: dict[str, str] = {}
    for line in re.findall(r"^\| `STUDIO_.*", TEXT, re.M):
        names, defaults, _ = line.strip("| ").split(" | ")
        keys = re.findall(r"`STUDIO_(\w+)`", names)
        found.update(zip(keys, re.findall(r"none|`[^`]*`", defaults), strict=True))
    assert found.keys() == {name.upper() for name in Settings.model_fields}
    plain = Settings()
    for name, said in found.items():
        value = getattr(plain, name.lower())
        shown = {"": "none", None: "none", plain.page: "studio/page/dist"}
        if isinstance(value, (dict, tuple)):
            assert json.loads(said.strip("`")) == (value if isinstance(value, dict) else list(value)), name
        elif isinstance(value, float):
            assert float(said.strip("`")) == value, name
        else:
            assert said.strip("`") == shown.get(value, str(value)), name


def test_its_table_has_every_path() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `") and "/api/" in line]
    listed = {path for row in rows for path in re.findall(r"/api/[\w/.{}]*", row)}
    assert listed == set(app.make(Settings()).openapi()["paths"])


def test_its_requests_are_answered(tmp_path: Path) -> None:
    with Pillow.open(ROOT / "pocket" / "examples" / "photo.jpg") as photo:
        photo.resize((128, 128)).save(tmp_path / "photo.jpg")
    known = Settings(data=tmp_path / "data", preload="", device="cpu")
    lines = [line for line in TEXT.splitlines() if line.startswith("curl ")]
    assert len(lines) == 5
    with running(known) as studio:
        for line in lines:
            command = line.replace("localhost:7860", f"127.0.0.1:{studio.base_url.port}")
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        assert studio.get("/api/jobs").json()["total"] == 2
        assert (tmp_path / "ratings.parquet").read_bytes().startswith(b"PAR1")

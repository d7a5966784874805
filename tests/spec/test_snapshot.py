"""Folders of weights that are not whole, each named by what is wrong with it."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from imagegraph.spec import snapshot


def safetensors(path: Path, values: int = 4) -> Path:
    head = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "w": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]},
        }
    ).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4 * values))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    safetensors(tmp_path / "model.safetensors")
    return tmp_path


def shorten(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])


def only_config(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "README.md").write_text("A model")


def empty(model: Path) -> None:
    for path in model.iterdir():
        path.unlink()
    (model / "unet").mkdir()


def dangling(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").symlink_to("../../blobs/0123")


def pointer(model: Path) -> None:
    (model / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )


def no_shard(model: Path) -> None:
    names = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    (model / "model.safetensors").rename(model / names["a"])
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def no_part(model: Path) -> None:
    parts = {"_class_name": "P", "unet": ["diffusers", "U"], "vae": ["diffusers", "V"], "none": [None, None]}
    (model / "model_index.json").write_text(json.dumps(parts))
    (model / "vae").mkdir()
    (model / "vae" / "config.json").write_text("{}")


def no_archive(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with zipfile.ZipFile(model / "pytorch_model.bin", "w") as archive:
        archive.writestr("data.pkl", bytes(1000))
    shorten(model / "pytorch_model.bin", 30)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda model: None, []),
        (only_config, ["*.safetensors is missing"]),
        (empty, ["no files are in it"]),
        (dangling, ["model.safetensors is a link to nothing"]),
        (pointer, ["model.safetensors is a pointer of Git LFS"]),
        (lambda model: shorten(model / "model.safetensors", 1), ["model.safetensors is cut off"]),
        (lambda model: shorten(model / "model.safetensors", 40), ["model.safetensors is cut off"]),
        (lambda model: (model / "model.safetensors").write_bytes(b""), ["model.safetensors is cut off"]),
        (
            lambda model: (model / "model.safetensors").write_bytes(bytes(99)),
            ["model.safetensors is cut off"],
        ),
        (lambda model: (model / "config.json").write_text('{"a": '), ["config.json is cut off"]),
        (lambda model: (model / "config.json").write_bytes(b""), ["config.json is cut off"]),
        (no_archive, ["pytorch_model.bin is cut off"]),
        (no_shard, ["model-2-of-2.safetensors is missing"]),
        (no_part, ["unet is missing", "vae/*.safetensors is missing"]),
    ],
)
def test_what_lacks_of_a_model_is_named(
    model: Path, harm: Callable[[Path], object], found: list[str]
) -> None:
    harm(model)
    assert snapshot.faults(model) == found


def test_a_file_that_only_begins_like_an_archive_is_told_from_an_older_file_of_torch(model: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(b"\x80\x02 an old pickle")
    assert snapshot.faults(model) == []

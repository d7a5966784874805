"""model-init: a second run, a deep verification, a download, and the memory that they take.

    python load-tests/bench_model_init.py

The cache of the second run and of the verification is made of sparse files: they are read and hashed
like others, but nothing waits for a disk. The download comes from a hub on this machine, in a process
of its own; model-init hashes what comes and brings it to the disk, `hf download` does neither. Rounds
alternate between the contestants. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from imagegraph.spec.weights import ROOT, Source
from model_init.digests import digest_of
from model_init.store import Repository

sys.path.insert(0, str(ROOT))
from tests.model_init.hub import Hub

COMMIT = "0123456789" * 4
BIN = Path(sys.executable).parent
MIB = 2**20
FILES, SIZE = 20, 1_000_000_000


def write_catalogue(path: Path, repositories: list[str]) -> None:
    """Writes a catalogue of one entry whose weights are in all these repositories."""
    weights = "".join(
        f"\n          r{i}: {{repo: {one}, revision: {COMMIT}}}" for i, one in enumerate(repositories)
    )
    path.write_text(f"entries:\n  all:\n    bundles:\n      bench:\n        weights:{weights}\n")


def fill(cache: Path, repositories: list[str], size: int) -> None:
    """Makes a complete cache of one sparse file in each repository."""
    digest = ""
    for name in repositories:
        repository = Repository(cache, name)
        repository.prepare()
        blob = repository.blob("sparse")
        with blob.open("wb") as file:
            file.truncate(size)
        digest = digest or digest_of(blob, "sha256:")
        blob.rename(repository.blob(digest.removeprefix("sha256:")))
        repository.publish(Source(repo=name, revision=COMMIT), COMMIT, {"model.safetensors": digest})


def run(command: list[str | Path], variables: dict[str, str]) -> tuple[float, float]:
    """Runs a command and returns its seconds and its largest resident memory, in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{command} ended with status {status}")
    return seconds, usage.ru_maxrss / 1024


def hash_file(path: Path) -> int:
    """Reads and hashes a file as plainly as Python can."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return path.stat().st_size


def serve(line: Connection, names: list[str], files: int, size: int) -> None:
    """The hub's process."""
    hub = Hub()
    for name in names:
        shards = {
            f"model-{number + 1:05d}-of-{files:05d}.safetensors": random.randbytes(size)
            for number in range(files)
        }
        hub.add(name, COMMIT, {"config.json": b"{}", **shards})
    line.send(hub.url)
    line.recv()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, help="where the caches are made; default: the temporary folder"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        rows = [*second_run(Path(scratch), options.rounds), *download(Path(scratch), options.rounds)]
    print(f"{options.rounds} rounds, medians\n")
    print("| | model-init | compared with | ratio | memory, MiB |\n|---|---|---|---|---|")
    print("\n".join(rows))


def second_run(scratch: Path, rounds: int) -> list[str]:
    """Measures a pull of what is there, and a deep verification against plain hashing on all cores."""
    cache, catalogue = scratch / "full", scratch / "full.yaml"
    names = [f"bench/model-{number}" for number in range(FILES)]
    write_catalogue(catalogue, names)
    fill(cache, names, SIZE)
    blobs = list(cache.glob("*/blobs/*"))
    arguments = [f"--catalogue={catalogue}", f"--cache={cache}", "--bundle=bench"]
    again = [run([BIN / "model-init", "pull", *arguments], {}) for _ in range(rounds)]
    deep, raw = [], []
    for _ in range(rounds):
        deep.append(run([BIN / "model-init", "verify", "--deep", *arguments], {}))
        start = time.perf_counter()
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            size = sum(pool.map(hash_file, blobs))
        raw.append(time.perf_counter() - start)
    ratio = statistics.median(theirs / ours for (ours, _), theirs in zip(deep, raw, strict=True))
    seconds, memory = statistics.median(one for one, _ in again), max(one for _, one in again)
    rate, theirs = size / statistics.median(one for one, _ in deep), size / statistics.median(raw)
    shutil.rmtree(cache)
    return [
        f"| second run, {size / 1e9:.0f} GB in {FILES} repositories (sparse) "
        f"| {seconds:.2f} s | | | {memory:.0f} |",
        f"| deep verification, {size / 1e9:.0f} GB (sparse) | {rate / 1e6:.0f} MB/s | "
        f"sha256 on all cores: {theirs / 1e6:.0f} MB/s | {ratio:.2f} | {max(one for _, one in deep):.0f} |",
    ]


def download(scratch: Path, rounds: int) -> list[str]:
    """Measures a download from a hub on this machine against `hf download`."""
    name, files, size = "bench/shards", 8, 96 * MIB
    catalogue, cache = scratch / "shards.yaml", scratch / "shards"
    write_catalogue(catalogue, [name])
    context = multiprocessing.get_context("spawn")
    line, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, [name], files, size), daemon=True)
    server.start()
    variables = {"HF_ENDPOINT": line.recv(), "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}
    ours: list[str | Path] = [BIN / "model-init", "pull", f"--catalogue={catalogue}", "--bundle=bench"]
    hub: list[str | Path] = [BIN / "hf", "download", name, "--revision", COMMIT]
    seconds: dict[str, list[tuple[float, float]]] = {"ours": [], "hf": []}
    for _ in range(rounds):
        for who, command in (("ours", ours), ("hf", hub)):
            shutil.rmtree(cache, ignore_errors=True)
            seconds[who].append(run(command, variables))
    line.send(True)
    server.join()
    total = files * size
    ratio = statistics.median(
        hf / mine for (mine, _), (hf, _) in zip(seconds["ours"], seconds["hf"], strict=True)
    )
    rate = {who: total / 1e6 / statistics.median(one for one, _ in timed) for who, timed in seconds.items()}
    memory = {who: max(one for _, one in timed) for who, timed in seconds.items()}
    return [
        f"| download, {total / 1e6:.0f} MB in {files} files | {rate['ours']:.0f} MB/s | "
        f"hf download: {rate['hf']:.0f} MB/s, {memory['hf']:.0f} MiB | {ratio:.2f} | {memory['ours']:.0f} |"
    ]


if __name__ == "__main__":
    main()

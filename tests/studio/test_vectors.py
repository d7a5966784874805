"""How long an exact search takes among a hundred thousand pictures."""

import sqlite3
import time
from pathlib import Path

import numpy as np

from studio.store.database import Database
from studio.store.vectors import Space

SIZE = 100_000


def test_an_exact_search_of_a_hundred_thousand_is_right_and_quick(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'many.sqlite'}")
    database.migrate()
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((SIZE, 96), np.float32)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    with sqlite3.connect(tmp_path / "many.sqlite") as raw:
        values = ((one, "clip", row.tobytes()) for one, row in enumerate(rows, 1))
        raw.executemany("INSERT INTO vectors (picture, space, vector) VALUES (?, ?, ?)", values)
    space = Space("clip")
    with database.read() as session:
        space.refresh(session)
    query = rows[777].astype(np.float32)
    exact = np.argsort(-(rows.astype(np.float32) @ query), kind="stable")[:20] + 1
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        found, total = space.nearest(query, 20)
        taken.append(time.perf_counter() - start)
        assert ([number for number, _ in found], total) == (exact.tolist(), SIZE)
    assert min(taken) < 0.05
    first, second, *others = exact.tolist()
    found, total = space.nearest(query, 3, among=[first, second, *others[:5]], without=[first])
    assert ([number for number, _ in found], total) == ([second, *others[:2]], 6)
    with sqlite3.connect(tmp_path / "many.sqlite") as raw:
        raw.execute("DELETE FROM vectors WHERE picture = ?", (second,))
    with database.read() as session:
        space.refresh(session)
    found, total = space.nearest(query, 2)
    assert ([number for number, _ in found], total) == ([first, others[0]], SIZE - 1)
    database.close()

"""The store: where bytes are, what is let go, one file with everything."""

import contextlib
import io
import json
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from sqlalchemy import select, update

from imagegraph.cli.app import command_line
from imagegraph.errors import InvalidInput
from studio import server
from studio.settings import Settings
from studio.store import archive
from studio.store.contents import Contents
from studio.store.database import Database
from studio.store.models import Content, Job, Picture, Vector
from studio.store.retention import FRESH_S, UNDO_S, Retention
from tests.studio.conftest import NewDatabase
from tests.studio.painter import paint
from tests.studio.serving import SCENE, running, settings

DAY_S = 24 * 3600.0


@pytest.fixture
def database(tmp_path: Path, new_database: NewDatabase) -> Iterator[Database]:
    made = Database(new_database() or f"sqlite:///{tmp_path / 'store.sqlite'}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture(params=["file", "memory", "s3"])
def contents(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Contents:
    if request.param == "s3":
        return Contents(database, request.getfixturevalue("bucket"))
    return Contents(database, str(tmp_path / "bytes") if request.param == "file" else "memory://studio")


@pytest.fixture(scope="module")
def object_storage() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    served = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    served.start()
    yield "http://{}:{}".format(*served.get_host_and_port())
    served.stop()


@pytest.fixture
def bucket(object_storage: str, monkeypatch: pytest.MonkeyPatch) -> str:
    import fsspec
    from fsspec.config import conf

    for name, value in {
        "AWS_ACCESS_KEY_ID": "it",
        "AWS_SECRET_ACCESS_KEY": "is",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(conf, "s3", {"endpoint_url": object_storage})
    files = fsspec.filesystem("s3")
    if not files.exists("pictures"):
        files.mkdir("pictures")
    return "s3://pictures/studio"


def test_bytes_are_kept_once_and_come_back(contents: Contents) -> None:
    data = paint(1).data
    first, again = contents.keep([data, data])
    assert first == again
    assert (first.width, first.height, first.media_type) == (32, 32, "image/png")
    assert contents.read(first.hash) == data
    with Pillow.open(io.BytesIO(contents.thumbnail(first.hash, 64))) as small:
        assert small.format == "WEBP"
    contents.remove(first.hash)
    with pytest.raises(FileNotFoundError):
        contents.read(first.hash)


def add(database: Database, contents: Contents, seed: int, **facts: Any) -> str:
    (kept,) = contents.keep([paint(seed).data])
    with database.write() as session:
        row = Picture(owner="ann", hash=kept.hash, kind="generated", **facts)
        session.add(row)
        session.flush()
        return row.id


def there(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(Picture.id)))


def age(database: Database) -> None:
    with database.write() as session:
        session.execute(update(Content).values(used_at=0.0))


def test_old_pictures_go_but_never_what_somebody_cares_for(database: Database, tmp_path: Path) -> None:
    contents = Contents(database, str(tmp_path / "bytes"))
    old = time.time() - 40 * DAY_S
    gone = add(database, contents, 1, created_at=old)
    kept = {
        add(database, contents, 2, created_at=old, starred=True),
        add(database, contents, 3, created_at=old, stars=1),
        add(database, contents, 4),
    }
    age(database)
    retention = Retention(database, contents, 30, None)
    assert retention() == 1
    assert there(database) == kept
    with database.read() as session:
        assert len(session.scalars(select(Content.hash)).all()) == 3
    assert len([one for one in (tmp_path / "bytes").rglob("*") if one.is_file()]) == 3
    assert gone not in there(database)


def test_the_oldest_go_where_there_are_too_many_bytes(database: Database, tmp_path: Path) -> None:
    contents = Contents(database, str(tmp_path / "bytes"))
    ids = [add(database, contents, seed, starred=seed == 1) for seed in range(1, 6)]
    size = len(paint(1).data)
    assert Retention(database, contents, None, 3.5 * size / 2**30)() == 2
    assert there(database) == {ids[0], ids[3], ids[4]}


def test_a_store_a_tenth_too_large_loses_a_tenth_at_once_and_then_nothing(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    known = settings(tmp_path, database=new_database())
    with running(known) as studio:
        photo = studio.post("/api/pictures", files={"files": paint(9999).data}).json()[0]["id"]
        for place in range(10):
            studio.run("painter", {"seed": 100 * place, "variants": 4})
            studio.run("paint", {"image": {"picture": photo}, "prompt": str(place)})
        drawn = studio.get("/api/pictures", params={"kind": "generated", "limit": 500}).json()["items"][::-1]
        studio.patch(f"/api/pictures/{drawn[1]['id']}", json={"starred": True})
    database = Database(known.database_url)
    contents = Contents(database, known.storage_url)

    def size() -> int:
        files = (known.data / "pictures").rglob("*")
        return sum(one.stat().st_size for one in files if one.is_file() and "thumbnails" not in str(one))

    before = size()
    retention = Retention(database, contents, None, 0.9 * before / 2**30)
    ids = there(database)
    fresh = retention()
    assert (retention(), size()) == (0, before), "fresh bytes stay for an hour, and cost no more pictures"
    age(database)
    assert retention() == 0
    assert 0.8 * before < size() <= 0.9 * before
    left = there(database)
    assert len(ids - left) == fresh
    gone = [one["id"] in left for one in drawn]
    assert gone == [False, True, *sorted(gone[2:])], "the oldest go, but not what is starred"
    Retention(database, contents, None, 1 / 2**30)()
    with database.read() as session:
        kept = session.scalars(select(Picture).where(Picture.kind != "example")).all()
        assert [one.id for one in kept] == [drawn[1]["id"]]
        assert list(session.scalars(select(Job.id))) == [kept[0].job], "jobs go with their last picture"
    database.close()


def test_what_is_deleted_goes_after_a_day_with_its_bytes(database: Database, tmp_path: Path) -> None:
    contents = Contents(database, str(tmp_path / "bytes"))
    id = add(database, contents, 1, deleted_at=time.time())
    age(database)
    retention = Retention(database, contents, None, None)
    assert retention() == 0
    assert there(database) == {id}
    assert retention(time.time() + UNDO_S + 1) == 1
    assert not [one for one in (tmp_path / "bytes").rglob("*") if one.is_file()]


def test_the_bytes_of_a_deleted_picture_go_though_its_job_stays(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    known = settings(tmp_path, database=new_database())
    with running(known) as studio:
        kept, gone = studio.run("painter", {"variants": 2})["pictures"]
        studio.delete(f"/api/pictures/{gone['id']}")
        database = Database(known.database_url)
        age(database)
        contents = Contents(database, known.storage_url)
        Retention(database, contents, None, None)(time.time() + UNDO_S + 1)
        database.close()
        assert studio.get(f"/api/contents/{gone['hash']}").status_code == 404
        assert not contents.has(gone["hash"])
        assert studio.get(kept["url"]).status_code == 200
        assert studio.get(f"/api/jobs/{kept['job']}").json()["state"] == "done"


def test_bytes_that_somebody_brings_at_this_moment_stay(database: Database, tmp_path: Path) -> None:
    contents = Contents(database, str(tmp_path / "bytes"))
    (kept,) = contents.keep([paint(1).data])
    retention = Retention(database, contents, None, None)
    retention()
    assert contents.has(kept.hash)
    retention(time.time() + FRESH_S + 1)
    assert not contents.has(kept.hash)


def test_a_backup_of_a_running_studio_is_restored_into_either_kind_of_database(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    known = settings(tmp_path / "one", database=new_database())
    file = tmp_path / "studio.tar"
    with running(known) as studio:
        job = studio.run("painter", {"prompt": "kept", "variants": 2})
        ids = [one["id"] for one in job["pictures"]]
        studio.put(f"/api/pictures/{ids[0]}/rating", json={"stars": 3})
        board = studio.post("/api/boards", json={"name": "Mine"}).json()
        studio.put(f"/api/boards/{board['id']}/pictures", json={"ids": ids})
        assert server.backup(known.model_dump(), file) == 4
    for place, database in enumerate((new_database(), "")):
        fresh = settings(tmp_path / f"restored {place}", database=database)
        assert server.restore(fresh.model_dump(), file) == 4
        with running(fresh) as studio:
            again = studio.get(f"/api/jobs/{job['id']}").json()
            assert [one["id"] for one in again["pictures"]] == ids
            assert again["pictures"][0]["stars"] == 3
            assert studio.get(again["pictures"][1]["url"]).status_code == 200
            assert [one["count"] for one in studio.get("/api/boards").json()] == [2]
            assert studio.get("/api/pictures", params={"q": "kept"}).json()["total"] == 2
            assert studio.run("painter", {"prompt": "new"})["state"] == "done"


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a studio in which something was drawn."""
    folder = tmp_path_factory.mktemp("archived")
    known = settings(folder)
    with running(known) as studio:
        studio.run("painter", {"prompt": "kept"})
        server.backup(known.model_dump(), folder / "studio.tar")
    return folder / "studio.tar"


def changed(archive: Path, table: str, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Writes the same archive with the first row of a table changed."""
    path = archive.with_name("changed.tar")
    with tarfile.open(archive) as old, tarfile.open(path, "w") as new:
        for member in old:
            data = old.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == f"rows/{table}.jsonl":
                first, *rest = map(json.loads, data.splitlines())
                change(first)
                data = b"".join(json.dumps(row).encode() + b"\n" for row in (first, *rest))
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("contents", "hash", "../../../../../../../etc/passwd"),
        ("contents", "hash", "A" * 64),
        ("contents", "media_type", "text/html"),
        ("contents", "size", "many"),
        ("contents", "size", 2**63),
        ("contents", "used_at", float("nan")),
        ("contents", "used_at", 1e300),
        ("contents", "more", 1),
        ("pictures", "id", "../../../../../x.png/////"),
        ("pictures", "kind", "<script>"),
        ("pictures", "prompt", "a\0b"),
        ("pictures", "prompt", "\ud800"),
        ("pictures", "starred", 1),
        ("pictures", "owner", None),
        ("jobs", "sources", {"x": "../../../../etc/passwd"}),
        ("jobs", "state", "x"),
        ("jobs", "nodes", {}),
        ("job_events", "kind", "done\ndata: x"),
    ],
)
def test_a_backup_that_no_studio_wrote_is_refused(
    archived: Path, tmp_path: Path, new_database: NewDatabase, table: str, column: str, value: Any
) -> None:
    evil = changed(archived, table, lambda row: row.update({column: value}))
    known = settings(tmp_path, database=new_database())
    with pytest.raises(InvalidInput, match=rf"file: expected rows of a studio, {table}\.1\b"):
        server.restore(known.model_dump(), evil)
    assert server.restore(known.model_dump(), archived) == 3, "nothing of it is there"


def test_what_is_no_hash_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    database = Database(f"sqlite:///{tmp_path / 'store.sqlite'}")
    contents = Contents(database, str(tmp_path / "bytes"))
    for name in ("../secret", "../../secret", "", "/" * 64):
        contents.remove(name)
        for read in (contents.read, lambda one: contents.thumbnail(one, 64)):
            with pytest.raises(FileNotFoundError):
                read(name)
    assert (tmp_path / "secret").exists()
    database.close()


def test_of_two_that_restore_at_once_one_finds_the_store_full(
    archived: Path, tmp_path: Path, postgres_database: str
) -> None:
    ended: list[Any] = []

    def restore(place: int) -> None:
        known = settings(tmp_path / str(place), database=postgres_database, storage=str(tmp_path / "bytes"))
        try:
            ended.append(server.restore(known.model_dump(), archived))
        except Exception as error:
            ended.append(error)

    both = [threading.Thread(target=restore, args=(place,)) for place in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    (refused,) = (one for one in ended if one != 3)
    assert isinstance(refused, InvalidInput)
    assert "expected an empty store" in str(refused)


def test_the_commands_back_up_and_restore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = settings(tmp_path / "one")
    file, other = str(tmp_path / "studio.tar"), str(tmp_path / "other")
    with running(known) as studio:
        studio.run("painter", {"prompt": "kept"})
        with contextlib.suppress(SystemExit):
            command_line(["studio", "backup", file, "--data", str(known.data)])
        assert "3 pictures" in capsys.readouterr().out
    with contextlib.suppress(SystemExit):
        command_line(["studio", "restore", file, "--data", other])
    assert capsys.readouterr().out == "3 pictures\n"
    with pytest.raises(SystemExit) as ended:
        command_line(["studio", "restore", file, "--data", other])
    assert ended.value.code == 2
    assert "expected an empty store" in capsys.readouterr().err


def edited(members: dict[str, bytes], name: str, old: str, new: str) -> dict[str, bytes]:
    """Returns the members of an archive, with other words in one of them."""
    assert old.encode() in members[name]
    return {**members, name: members[name].replace(old.encode(), new.encode())}


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return buffer.getvalue()


def linked(members: dict[str, bytes]) -> bytes:
    """Packs all, and what leads out of the archive."""
    buffer = io.BytesIO(packed(members))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        about = tarfile.TarInfo(f"contents/{'b' * 64}")
        about.type, about.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(about)
    return buffer.getvalue()


PICTURES = "rows/pictures.jsonl"
BROKEN: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "no revision": lambda known: packed(edited(known, "studio.json", '"revision"', '"other"')),
    "unknown revision": lambda known: packed(edited(known, "studio.json", '"0', '"9')),
    "no json": lambda known: packed(edited(known, PICTURES, "{", "")),
    "unknown column": lambda known: packed(edited(known, PICTURES, '"owner"', '"possessor"')),
    "no such content": lambda known: packed({**known, "rows/contents.jsonl": b""}),
    "twice the same": lambda known: packed({**known, PICTURES: known[PICTURES] * 2}),
    "no bytes": lambda known: packed(edited(known, "rows/vectors.jsonl", "base64", "base65")),
    "other bytes": lambda known: packed({one: data[:50] for one, data in known.items()}),
    "link": linked,
    "cut": lambda known: packed(known)[:-11_000],
    "cut between two": lambda known: packed(known)[: packed(known).index(b"contents/")],
    "empty": lambda known: b"",
    "no archive": lambda known: SCENE.read_bytes(),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_is_no_whole_backup_is_refused_in_a_sentence(
    broken: Callable[[dict[str, bytes]], bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'one' / 'studio.sqlite'}")
    database.migrate()
    contents = Contents(database, str(tmp_path / "one" / "pictures"))
    id = add(database, contents, 1)
    with database.write() as session:
        number = session.scalars(select(Picture.number).where(Picture.id == id)).one()
        session.add(Vector(picture=number, space="clip", vector=b"12345678"))
    file, whole = tmp_path / "broken.tar", tmp_path / "whole.tar"
    archive.write(database, contents, whole)
    database.close()
    with tarfile.open(whole) as members:
        known = {one.name: members.extractfile(one).read() for one in members}  # type: ignore[union-attr]
    file.write_bytes(broken(known))
    with pytest.raises(SystemExit) as ended:
        command_line(["studio", "restore", str(file), "--data", str(tmp_path / "other")])
    told = capsys.readouterr().err
    assert (ended.value.code, len(told.splitlines())) == (2, 1), told
    assert told.startswith(("error: file: expected", "error: contents: expected"))
    with contextlib.suppress(SystemExit):
        command_line(["studio", "restore", str(whole), "--data", str(tmp_path / "other")])
    assert capsys.readouterr().out == "1 pictures\n", "nothing of it was kept"


def test_a_backup_of_nothing_or_to_nowhere_is_refused_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, empty = tmp_path / "there", tmp_path / "empty"
    for folder in (there, empty):
        Database(f"sqlite:///{folder / 'studio.sqlite'}").close()
    database = Database(f"sqlite:///{there / 'studio.sqlite'}")
    database.migrate()
    database.close()
    for data, file, words in (
        (tmp_path / "nothing", tmp_path / "x.tar", "STUDIO_DATA: expected a folder with a store in it"),
        (empty, tmp_path / "x.tar", "STUDIO_DATABASE: expected one with a store in it"),
        (there, tmp_path / "no" / "x.tar", "file: expected a path at which a file can be made"),
    ):
        with pytest.raises(SystemExit) as ended:
            command_line(["studio", "backup", str(file), "--data", str(data)])
        told = capsys.readouterr().err
        assert (ended.value.code, len(told.splitlines())) == (2, 1), told
        assert told.startswith(f"error: {words}")
    assert {one.name for one in tmp_path.iterdir()} == {"there", "empty"}


def test_many_pictures_come_in_one_file(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as studio:
        job = studio.run("painter", {"prompt": "zipped", "variants": 3})
        answer = studio.get("/api/pictures.zip", params={"q": "zipped"})
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            known = json.loads(archive.read("pictures.json"))
            assert len(archive.namelist()) == 4
            assert archive.read(known[0]["file"]).startswith(b"\x89PNG")
        ids = [one["id"] for one in job["pictures"][:2]]
        with zipfile.ZipFile(
            io.BytesIO(studio.get("/api/pictures.zip", params={"ids": ids}).content)
        ) as archive:
            assert len(archive.namelist()) == 3


def test_tables_are_those_of_the_models(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from studio.store.models import Table

    with database.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Table.metadata)
    ours = [one for one in found if "words" not in str(one)]
    assert ours == []


def test_settings_that_are_wrong_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_PORT", "many")
    with pytest.raises(InvalidInput, match="STUDIO_PORT"):
        server.settings({})
    monkeypatch.delenv("STUDIO_PORT")
    with pytest.raises(InvalidInput, match="STUDIO_TOKENS"):
        Settings(host="0.0.0.0").check()


def test_jobs_without_pictures_are_forgotten_with_time(database: Database, tmp_path: Path) -> None:
    contents = Contents(database, str(tmp_path / "bytes"))
    facts = {"owner": "ann", "graph": "g", "backend": "b", "bundle": "", "inputs": {}, "sources": {}}
    with database.write() as session:
        session.add(Job(**facts, state="done", created_at=0.0))
        session.add(Job(**facts, state="queued", created_at=0.0))
    Retention(database, contents, 1, None)()
    with database.read() as session:
        assert list(session.scalars(select(Job.state))) == ["queued"]


def test_a_job_whose_servers_ended_is_shown_and_so_is_one_of_an_older_store(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    known = settings(tmp_path, database=new_database())
    facts = {"owner": "ann", "graph": "painter", "backend": "b", "bundle": "", "inputs": {}, "sources": {}}
    database = Database(known.database_url)
    database.migrate("0001")
    with database.write() as session:
        ended = Job(**facts, attempts=3)
        older = Job(**facts, state="failed", error={"type": "about:blank", "title": "Ended", "status": 500})
        session.add_all([ended, older])
        session.flush()
        ids = ended.id, older.id
    database.close()
    with running(known) as studio:
        shown = [studio.get(f"/api/jobs/{id}", params={"wait": 30}).json() for id in ids]
        assert [(one["state"], one["error"]["detail"]) for one in shown] == [
            ("failed", "the servers that ran it ended, each time"),
            ("failed", "Ended"),
        ]
        assert studio.get("/api/jobs").json()["total"] == 2

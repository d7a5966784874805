"""Where bytes come from: a repository of the hub, or a folder that fsspec can read."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from imagegraph.errors import shorten
from imagegraph.spec import weights
from imagegraph.spec.weights import Source, content_version, stays_inside
from model_init.choice import PIPELINE, needed
from model_init.digests import CHUNK
from model_init.errors import Failure, NoAccess, Unreachable, WrongBytes, WrongName, WrongPin

if TYPE_CHECKING:
    from model_init.landing import Landing


WIRE_CHUNK = 2**17
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|git:[0-9a-f]{40}")
LONGEST_NAME = 240  # bytes; file systems take 255, and beside its place a file is called a little longer


@dataclass(frozen=True)
class Remote:
    """A file at its origin, which is not trusted: names of files here are made of its path and digest.

    Attributes:
        digest: None where the origin does not know it.
        key: names this very content, for the partial file of an interrupted download.
        xet: the file's address in the hub's chunk store, if it is there.
    """

    path: str
    size: int
    digest: str | None
    key: str
    xet: str | None = None

    def __post_init__(self) -> None:
        """Refuses what would lead out of the cache, or cannot be there.

        Raises:
            WrongName: the path does, or no file system has such a name, or the digest is none.
        """
        if not stays_inside(self.path):
            raise WrongName(f"the source names a file {self.path!r}, which leads out of its folder")
        # Controls and halves of letters would write lines of their own into logs, or cannot be written.
        odd = any(unicodedata.category(one) in ("Cc", "Cs") for one in self.path)
        if odd or any(len(name.encode()) > LONGEST_NAME for name in self.path.split("/")):
            raise WrongName(f"the source names a file {shorten(self.path)}, as none can be called")
        if self.digest is not None and not DIGEST.fullmatch(self.digest):
            raise WrongName(f"the source says that the hash of {self.path!r} is {self.digest!r}")


def together(files: list[Remote]) -> list[Remote]:
    """Returns files that can be in one folder.

    Raises:
        WrongName: one is called like the folder of another, or like another.
    """
    paths = Counter(file.path for file in files)
    for file in files:
        above = next((str(one) for one in PurePosixPath(file.path).parents if str(one) in paths), None)
        if above or paths[file.path] > 1:
            raise WrongName(f"the source names {file.path!r}, and another file {above or file.path!r}")
    return files


class Origin(Protocol):
    """What model-init asks of a source."""

    def files(self) -> list[Remote]:
        """Lists the files that are needed, and makes sure that they may be fetched."""
        ...

    def fetch(self, file: Remote, landing: Landing, attempt: int) -> None:
        """Writes to `landing` what it lacks of a file."""
        ...


def origin_of(source: Source) -> Origin:
    """Returns the origin that a source names."""
    if source.repo:
        return Hub(source.repo, str(source.revision), source.files)
    return Folder(source.url or str(weights.ROOT / str(source.path)))


class Hub:
    """A repository of the hub at a revision, read by the hub's own client."""

    def __init__(self, repo: str, revision: str, files: Sequence[str] | None = None) -> None:
        """Takes a commit, or a branch or tag, which may be another commit tomorrow.

        Args:
            files: the paths that are needed, where they are not those that `from_pretrained` reads.

        Raises:
            WrongPin: no repository can have that name.
        """
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
            raise WrongPin(f"expected a repository as owner/name, got {shorten(repo)}")
        self._repo, self._revision, self._files = repo, revision, files
        self._api = _hub_api()

    def commit(self) -> str:
        """Returns the commit that the revision is now."""
        return str(self._info().sha)

    def _info(self) -> Any:
        from huggingface_hub import constants

        return self._ask(
            lambda: self._api.model_info(
                self._repo, revision=self._revision, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
            )
        )

    def files(self) -> list[Remote]:
        """Lists the files that were named, or else those that `from_pretrained` reads."""
        from huggingface_hub import get_hf_file_metadata
        from huggingface_hub.hf_api import RepoFile

        self._info()  # first, since it fails at once, while listings try again and again on their own
        tree = self._ask(
            lambda: [
                item
                for item in self._api.list_repo_tree(self._repo, revision=self._revision, recursive=True)
                if isinstance(item, RepoFile)
            ]
        )
        by_path = {item.path: item for item in tree}
        if lacking := [path for path in self._files or () if path not in by_path]:
            raise WrongPin(f"{self._repo} at {self._revision} has no file {lacking[0]}")
        chosen = [self._remote(by_path[path]) for path in self._files or self._loadable(by_path)]
        if not chosen:
            raise WrongPin(f"{self._repo} at {self._revision} has no file that can be loaded")
        # Everybody may list a gated repository; only a file says whether we are let in.
        self._ask(lambda: get_hf_file_metadata(self._url(chosen[0].path)))
        return together(chosen)

    def _loadable(self, by_path: Mapping[str, Any]) -> list[str]:
        """Returns the paths that `from_pretrained` reads."""
        pipeline = self._ask(self._pipeline) if PIPELINE in by_path else None
        return [path for path in needed(by_path, pipeline) if path in by_path]

    def fetch(self, file: Remote, landing: Landing, attempt: int) -> None:
        """Downloads over Xet where the hub and this machine have it, else (or when that failed) over HTTP."""
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers
        from huggingface_hub.utils._runtime import is_xet_available

        if file.xet and attempt == 0 and landing.size == 0 and is_xet_available():
            try:
                self._ask(lambda: self._fetch_xet(file, landing))
            except NoAccess as error:  # a mirror that knows of Xet but does not speak it
                raise Unreachable(f"over Xet: {error}") from error
            landing.read_again()
        else:
            self._ask(
                lambda: http_get(
                    self._url(file.path),
                    landing,
                    resume_size=landing.size,
                    headers=build_hf_headers(),
                    expected_size=file.size,
                    displayed_filename=file.path,
                    tqdm_class=_meter(landing.count),
                )
            )

    def _fetch_xet(self, file: Remote, landing: Landing) -> None:
        from huggingface_hub import constants
        from huggingface_hub.file_download import xet_get
        from huggingface_hub.utils import build_hf_headers
        from huggingface_hub.utils._xet import XetFileData, XetTokenType, xet_connection_info_refresh_url

        refresh = xet_connection_info_refresh_url(
            token_type=XetTokenType.READ,
            repo_id=self._repo,
            repo_type="model",
            revision=self._revision,
            endpoint=constants.ENDPOINT,
        )
        xet_get(
            incomplete_path=landing.path,
            xet_file_data=XetFileData(file_hash=str(file.xet), refresh_route=refresh),
            headers=build_hf_headers(),
            expected_size=file.size,
            displayed_filename=file.path,
            tqdm_class=_meter(landing.count),
        )

    def _pipeline(self) -> dict[str, Any]:
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        response = get_session().get(self._url(PIPELINE), headers=build_hf_headers(), timeout=30)
        hf_raise_for_status(response)
        pipeline = json.loads(response.content)
        if not isinstance(pipeline, dict):
            raise WrongBytes(f"{self._repo} at {self._revision}: {PIPELINE} is no JSON object")
        return pipeline

    def _remote(self, item: Any) -> Remote:
        digest = f"sha256:{item.lfs.sha256}" if item.lfs else f"git:{item.blob_id}"
        return Remote(item.path, item.size, digest, digest.partition(":")[2], item.xet_hash)

    def _url(self, path: str) -> str:
        from huggingface_hub import hf_hub_url

        return str(hf_hub_url(self._repo, path, revision=self._revision))

    def _ask(self, action: Callable[[], Any]) -> Any:
        """Calls the hub, and turns its errors into ours."""
        import httpx2
        from huggingface_hub import errors

        name = f"{self._repo} at {self._revision}"
        try:
            return action()
        except Failure:
            raise
        except errors.GatedRepoError as error:
            raise NoAccess(
                f"{self._repo} is gated: accept its licence on its page, and set HF_TOKEN to a token of that "
                f"account ({_status(error)})"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise NoAccess(f"{self._repo} has no revision {self._revision}: correct the catalogue") from error
        except errors.RepositoryNotFoundError as error:
            raise NoAccess(
                f"{self._repo} does not exist, or is private and HF_TOKEN may not read it ({_status(error)})"
            ) from error
        except errors.OfflineModeIsEnabled as error:
            raise NoAccess(f"{name} is not complete here, and HF_HUB_OFFLINE forbids to fetch it") from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            if status in (401, 403):
                raise NoAccess(f"{name}: the hub refuses HF_TOKEN ({_status(error)})") from error
            if status == 404:
                raise NoAccess(f"{name}: not found: {error}") from error
            waits = error.response.headers.get("Retry-After", "")
            after = float(waits) if waits.isdigit() else None
            raise Unreachable(f"{name}: {_status(error)}", after) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Unreachable(f"{name}: {type(error).__name__}: {error}") from error
        except OSError as error:
            if "Consistency check failed" in str(error):  # the client has no type of its own for it
                raise WrongBytes(f"{name}: {str(error).splitlines()[0]}") from error
            raise Unreachable(f"{name}: {error}") from error
        except (RuntimeError, ValueError, AttributeError) as error:
            # Xet's own; and the hub's client closes its session for all threads when one cannot connect.
            raise Unreachable(f"{name}: {error}") from error


@cache
def _hub_api() -> Any:
    """Returns the hub's client, set up for us."""
    from huggingface_hub import HfApi, constants, set_client_factory

    # So much is lost when a connection is, and kept in memory for each; 10 MiB are no faster.
    constants.DOWNLOAD_CHUNK_SIZE = WIRE_CHUNK
    set_client_factory(_client)
    return HfApi()


def _client() -> Any:
    """Returns the hub's HTTP client, whose listings would wait for ever without a time limit."""
    from huggingface_hub import constants
    from huggingface_hub.utils._http import default_client_factory

    def limit(request: Any) -> None:
        limits = request.extensions["timeout"]
        request.extensions["timeout"] = {
            name: constants.HF_HUB_DOWNLOAD_TIMEOUT if value is None else value
            for name, value in limits.items()
        }

    client = default_client_factory()
    client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], limit]}
    return client


def _status(error: Any) -> str:
    return f"HTTP {error.response.status_code}"


def _meter(count: Callable[[int], None]) -> type:
    """Returns what the hub's client takes for a progress bar: it only counts."""

    class Meter:
        def __init__(self, *_: Any, **__: Any) -> None:
            """Takes what tqdm takes."""

        def update(self, amount: float) -> None:
            count(int(amount))

        def update_transfer(self, amount: float) -> None:
            """Bytes on the wire are not of interest: those of the file are."""

        def set_postfix_str(self, *_: Any, **__: Any) -> None: ...

        set_transfer_postfix_str = set_postfix_str

        def close(self) -> None: ...

        def __enter__(self) -> Meter:
            return self

        def __exit__(self, *_: object) -> None: ...

    return Meter


class Folder:
    """A folder on this machine, on another volume or in an object store; all its files are taken."""

    def __init__(self, address: str) -> None:
        """Takes a path or a url.

        Raises:
            WrongPin: no installed package reads such an address.
        """
        import fsspec

        self._address = address
        try:
            self._files, self._root = fsspec.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise WrongPin(f"{address} cannot be read: {error}") from error

    def files(self) -> list[Remote]:
        """Lists all files of the folder."""
        found = self._ask(lambda: self._files.find(self._root, detail=True, withdirs=False))
        if not found:
            raise WrongPin(f"{self._address} does not exist or is empty")
        start = len(self._root.rstrip("/")) + 1
        for path, info in found.items():
            if info.get("islink"):
                self._follow(path)
        return together(
            [Remote(path[start:], info["size"], None, self._key(path)) for path, info in found.items()]
        )

    def _follow(self, path: str) -> None:
        """Makes sure that a link leads to a file of the folder or, from a snapshot, of its repository.

        Raises:
            WrongName: it leads elsewhere, and what is there may be nobody's to copy.
        """
        root, target = Path(self._root).resolve(), Path(path).resolve()
        home = root.parent.parent if root.parent.name == "snapshots" else root
        if not target.is_file() or not target.is_relative_to(home):
            raise WrongName(f"{path} is a link to {target}, which is no file in {home}")

    def fetch(self, file: Remote, landing: Landing, attempt: int) -> None:
        """Copies what `landing` lacks."""

        def take(data: bytes) -> None:
            landing.count(landing.write(data))

        self._read(file, landing.size, take)

    def version(self) -> str:
        """Returns the hash of the folder's content, by which a catalogue pins it."""
        digests = {}
        for file in self.files():
            digest = hashlib.sha256()
            self._read(file, 0, digest.update)
            digests[file.path] = digest.digest()
        return content_version(digests)

    def _read(self, file: Remote, offset: int, take: Callable[[bytes], object]) -> None:
        def read() -> None:
            with self._files.open(f"{self._root.rstrip('/')}/{file.path}", "rb") as origin:
                origin.seek(offset)
                while data := origin.read(CHUNK):
                    take(data)

        self._ask(read)

    def _key(self, path: str) -> str:
        return hashlib.sha256(str(self._files.ukey(path)).encode()).hexdigest()

    def _ask(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Failure:
            raise
        except FileNotFoundError as error:
            raise WrongPin(f"{self._address}: {error}") from error
        except PermissionError as error:
            raise NoAccess(f"{self._address} does not let us read: {error}") from error
        except Exception as error:  # every store has errors of its own
            raise Unreachable(f"{self._address}: {type(error).__name__}: {error}") from error

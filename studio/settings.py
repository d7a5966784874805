"""What holds for a studio, from the environment: `STUDIO_PORT=8000` and so on."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from imagegraph.errors import InvalidInput

Role = Literal["viewer", "maker", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "maker", "admin")  # each may do what those before it may
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: object) -> Network:
    """Reads a network, also by an address in it.

    Raises:
        ValueError: it is none.
    """
    try:
        return ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        raise ValueError("a network such as 10.0.0.0/8") from None


def _shown(url: str) -> str:
    """Refuses URLs with a password: the page and errors show them.

    Raises:
        ValueError: says so.
    """
    if urlsplit(url).password is not None:
        raise ValueError("a URL without a password, as everybody is shown it")
    return url


class Token(BaseModel):
    """A person's way in.

    Attributes:
        sha256: of the token, in place of the token itself.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: Role = "maker"
    token: SecretStr | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.token is None) == (self.sha256 is None):
            raise ValueError("either `token` or `sha256`")
        return self

    @property
    def digest(self) -> str:
        """The SHA-256 of the token."""
        if self.token is None:
            return str(self.sha256)
        return hashlib.sha256(self.token.get_secret_value().encode()).hexdigest()


class Settings(BaseSettings):
    """All settings of a studio; what may hold secrets is left out of its `repr`, and so of errors.

    Attributes:
        data: folder of the store, unless `database` and `storage` say otherwise.
        database: URL of SQLAlchemy, sqlite:///… or postgresql+psycopg://…
        storage: where pictures are: a folder or an fsspec URL such as s3://bucket/pictures.
        host, port: where it listens.
        metrics_port: where Prometheus is answered without having to say who it is; None is nowhere.
        graphs: deployed graphs by name, each the URL of its V2 server; with none, graphs run in this process.
        embedded: run graphs of the catalogue in this process; by default where `graphs` names none.
        catalogue: files with entries and graphs beside the project's.
        bundle: weights of what runs in this process.
        preload: a graph whose weights load at start; empty for none.
        cache_mib: memory for results of nodes that run in this process.
        tokens: who may do what; without any, and without `user_header`, only this machine may ask.
        user_header: a header in which `trusted_proxies` name the user, such as X-Forwarded-User.
        admins: names of users by that header who may do everything.
        hosts: names by which the studio is asked where nobody has to say who they are.
        cors_origins: origins of pages that may ask beside the studio's own.
        jobs_at_once: jobs that run at once here.
        queue: most jobs that wait.
        lease_s: how long a job stays with a server that gives no sign of life.
        job_timeout_s: longest that a job may run.
        user_jobs: most jobs that wait or run for one user.
        user_requests: most requests that one user may make in a minute.
        user_mib: most MiB of pictures that one user may have.
        requests_at_once: most requests that are answered at once; more are refused for a second.
        body_mib: largest request.
        megapixels: largest picture.
        retention_days: pictures and jobs older than that go, unless starred, rated or on a board; None keeps
            all.
        retention_gib: of the rest the oldest go where all together are larger.
        dashboards: links of the page's system view, by what they are called.
        page: the folder of the built page.
    """

    model_config = SettingsConfigDict(
        env_prefix="STUDIO_", extra="ignore", frozen=True, enable_decoding=False, hide_input_in_errors=True
    )

    data: Path = Path("studio-data")
    database: Annotated[str, Field(repr=False)] = ""
    storage: Annotated[str, Field(repr=False)] = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 7860
    metrics_port: Annotated[int | None, Field(ge=0, le=65535)] = None
    graphs: Annotated[dict[str, Annotated[str, AfterValidator(_shown)]], Field(repr=False)] = {}
    embedded: bool | None = None
    catalogue: tuple[Path, ...] = ()
    bundle: str = "pocket"
    device: str = "auto"
    preload: str = "reimagine"
    cache_mib: Annotated[int, Field(ge=0)] = 256
    tokens: Annotated[tuple[Token, ...], Field(repr=False)] = ()
    user_header: str = ""
    trusted_proxies: tuple[Annotated[Network, BeforeValidator(_network)], ...] = ()
    admins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    cors_origins: tuple[str, ...] = ()
    jobs_at_once: Annotated[int, Field(ge=1)] = 2
    queue: Annotated[int, Field(ge=1)] = 1000
    lease_s: Annotated[float, Field(gt=0)] = 15.0
    job_timeout_s: Annotated[float, Field(gt=0)] = 1800.0
    user_jobs: Annotated[int, Field(ge=1)] = 50
    user_requests: Annotated[int, Field(ge=1)] = 12_000
    user_mib: Annotated[int, Field(ge=1)] = 100_000
    requests_at_once: Annotated[int, Field(ge=1)] = 64
    body_mib: Annotated[int, Field(ge=1)] = 64
    megapixels: Annotated[float, Field(gt=0, le=64)] = 64
    retention_days: Annotated[float, Field(gt=0)] | None = None
    retention_gib: Annotated[float, Field(gt=0)] | None = None
    dashboards: dict[str, str] = {}
    page: Path = Path(__file__).parent / "page" / "dist"

    @field_validator(
        "graphs", "catalogue", "tokens", "trusted_proxies", "admins", "hosts", "cors_origins", "dashboards",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _decoded(cls, value: Any) -> Any:
        """Reads the JSON of the environment here, where what is wrong with it is told by its name alone."""
        try:
            return json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            raise ValueError("JSON") from None

    @property
    def database_url(self) -> str:
        """The URL of the database."""
        return self.database or f"sqlite:///{self.data / 'studio.sqlite'}"

    @property
    def storage_url(self) -> str:
        """Where pictures are."""
        return self.storage or str(self.data / "pictures")

    @property
    def runs_graphs(self) -> bool:
        """Whether graphs of the catalogue run in this process."""
        return not self.graphs if self.embedded is None else self.embedded

    @property
    def is_open(self) -> bool:
        """Whether nobody has to say who they are."""
        return not self.tokens and not self.user_header

    def check(self) -> None:
        """Refuses settings that would let strangers in.

        Raises:
            InvalidInput: says which setting lacks.
        """
        if self.user_header and not self.trusted_proxies:
            raise InvalidInput("STUDIO_TRUSTED_PROXIES", "the networks that may send the user header", "none")
        if self.is_open and not _is_loopback(self.host):
            expected = "tokens, or a user header of trusted proxies, where others than this machine may ask"
            raise InvalidInput("STUDIO_TOKENS", expected, f"none, and the address {self.host}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"

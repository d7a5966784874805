"""Who asks, and what they may do."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import HTTPConnection

from imagegraph.errors import shorten
from studio.api.context import Studio, of_request
from studio.problems import Refused
from studio.settings import ROLES, Role, Settings

LOCAL = "local"
MOST_NAME = 100  # characters
COOKIE = "studio_token"
# For the API's document: either will do.
bearer = HTTPBearer(auto_error=False, description="A token of STUDIO_TOKENS")
cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="The same, as POST /api/session keeps it")


@dataclass(frozen=True)
class Person:
    """Who asks."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether a role is theirs, or one below theirs."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def may_change(self, owner: str) -> bool:
        """Whether they may change what somebody made."""
        return self.may("admin") or (self.may("maker") and owner == self.name)


def recognise(settings: Settings, authorization: str | None, user: str | None = None) -> Person:
    """Returns who asks, by a token or as a trusted proxy tells.

    Raises:
        Refused: nobody knows.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if settings.tokens and scheme.lower() == "bearer" and token:
        digest = hashlib.sha256(token.strip().encode()).hexdigest()
        # All of them, in the same time whoever it is.
        found = [one for one in settings.tokens if hmac.compare_digest(one.digest, digest)]
        if found:
            return Person(found[0].name, found[0].role)
    if user:
        return Person(user, "admin" if user in settings.admins else "maker")
    if settings.is_open:
        return Person(LOCAL, "admin")
    raise Refused(401, "expected a token that is known here, as Authorization: Bearer …")


def asker(settings: Settings, request: HTTPConnection) -> Person:
    """Returns who asks.

    Raises:
        Refused: nobody knows.
    """
    authorization = request.headers.get("authorization")
    if authorization is None and COOKIE in request.cookies:
        authorization = f"Bearer {request.cookies[COOKIE]}"
    return recognise(settings, authorization, _told_user(settings, request))


def _told_user(settings: Settings, request: HTTPConnection) -> str | None:
    """Returns the user whom a trusted proxy tells.

    Raises:
        Refused: it tells several, of whom one may be its client's own word, or nobody that can be told apart.
    """
    if not (settings.user_header and request.client and _is_trusted(settings, request.client.host)):
        return None
    told = [one.encode("latin-1") for one in request.headers.getlist(settings.user_header) if one]
    name = told[0].decode(errors="replace") if told else ""
    if len(told) > 1 or len(name) > MOST_NAME or "\ufffd" in name:
        expected = f"one {settings.user_header} of at most {MOST_NAME} characters in UTF-8"
        raise Refused(401, f"expected {expected}, got {len(told)}, the first {shorten(name)}")
    return name or None


def _is_trusted(settings: Settings, client: str) -> bool:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    return any(address in network for network in settings.trusted_proxies)


class Rates:
    """Counts the requests of each person in a minute."""

    def __init__(self, per_minute: int) -> None:
        """Takes the most of them."""
        self._limit = RateLimitItemPerMinute(per_minute)
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def check(self, name: str) -> None:
        """Counts one.

        Raises:
            Refused: they were too many; says after how long it may be asked again.
        """
        if not self._window.hit(self._limit, name):
            wait_s = self._window.get_window_stats(self._limit, name).reset_time - time.time()
            words = f"expected at most {self._limit.amount} requests a minute"
            raise Refused(429, words, max(1, math.ceil(wait_s)))


# Dependencies that are no coroutines would each be handed to a thread, for a few microseconds of work.
async def _asker(
    request: Request,
    studio: Annotated[Studio, Depends(of_request)],
    _: Annotated[object, Depends(bearer)],
    __: Annotated[object, Depends(cookie)],
) -> Person:
    person = asker(studio.settings, request)
    studio.metrics.user(person.name)
    studio.rates.check(person.name)
    return person


def _at_least(role: Role) -> Callable[[Person], Awaitable[Person]]:
    async def check(person: Annotated[Person, Depends(_asker)]) -> Person:
        if not person.may(role):
            raise Refused(403, f"expected the role {role}, got {person.role}")
        return person

    return check


Viewer = Annotated[Person, Depends(_at_least("viewer"))]
Maker = Annotated[Person, Depends(_at_least("maker"))]
Admin = Annotated[Person, Depends(_at_least("admin"))]


def must_own(person: Person, owner: str, what: str) -> None:
    """Refuses to change what another person made.

    Raises:
        Refused: it is another's.
    """
    if not person.may_change(owner):
        raise Refused(403, f"{what} is another person's; an admin may change it")

"""Search by words: FTS5 of SQLite, tsvector of PostgreSQL."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from sqlalchemy import Integer, Subquery, column, select, table, text
from sqlalchemy.orm import Session

MOST_WORDS = 16
_WORDS = table("words", column("rowid", Integer))
_WORD = re.compile(r"\w+", re.UNICODE)


def words_of(*texts: str | None) -> str:
    """Returns the words that a picture is found by, small and without accents."""
    return " ".join(word for text in texts if text for word in _words(text))


def _words(text: str) -> list[str]:
    apart = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(one for one in apart if not unicodedata.combining(one))
    return _WORD.findall(plain.replace("_", " "))


def index(session: Session, number: int, words: str) -> None:
    """Makes a picture be found by these words, in place of others."""
    forget(session, number)
    add(session, {number: words})


def add(session: Session, words: Mapping[int, str]) -> None:
    """Makes pictures that nobody has found yet be found, each by its words."""
    said = ":words" if session.get_bind().dialect.name == "sqlite" else "to_tsvector('simple', :words)"
    rows = [{"number": number, "words": one} for number, one in words.items()]
    if rows:
        session.execute(text(f"INSERT INTO words (rowid, said) VALUES (:number, {said})"), rows)


def forget(session: Session, number: int) -> None:
    """Makes a picture be found by no words."""
    session.execute(text("DELETE FROM words WHERE rowid = :number"), {"number": number})


def matching(session: Session, query: str) -> Subquery | None:
    """Returns the numbers (`rowid`) of what has all words of a query, also as beginnings; None for no word.

    Sorted and cut by this column, SQLite reads no more of the index than is asked for.
    """
    words = _words(query)[:MOST_WORDS]
    if not words:
        return None
    if session.get_bind().dialect.name == "sqlite":
        asked = " ".join(f'"{one}"*' for one in words)
        found = text("said MATCH :asked").bindparams(asked=asked)
    else:
        asked = " & ".join(f"{one}:*" for one in words)
        found = text("said @@ to_tsquery('simple', :asked)").bindparams(asked=asked)
    return select(_WORDS.c.rowid).where(found).subquery()

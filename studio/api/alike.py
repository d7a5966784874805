"""Lists of pictures by likeness: to one of them, or to words."""

from __future__ import annotations

from imagegraph.errors import InvalidInput, Unsupported
from studio.api import shapes, views
from studio.api.context import Studio
from studio.store import gallery
from studio.store.gallery import Filter

DEEPEST = 10_000  # row that is looked at


def find(
    studio: Studio, filter: Filter, like: str | None, about: str | None, offset: int, limit: int
) -> shapes.Pictures:
    """Returns a page of pictures, the most alike first.

    Raises:
        InvalidInput: both are asked for, a row too far down, or there is no model for it here.
    """
    if like is not None and about is not None:
        raise InvalidInput("about", "nothing beside `like`", about)
    if offset + limit > DEEPEST:
        raise InvalidInput("offset", f"a row before {DEEPEST}", offset)
    try:
        space = studio.likeness.space()
    except Unsupported as error:
        raise InvalidInput("about" if about else "like", "nothing", str(error)) from error
    with studio.database.read() as session:
        source = gallery.find(session, like) if like is not None else None
    if source is not None:
        vector = studio.likeness.of_picture(source.number, source.hash)
    else:
        vector = studio.likeness.of_words(str(about))
    with studio.database.read() as session:
        space.refresh(session)
        among = None if filter == Filter() else list(session.scalars(filter.pictures(session)[0]))
        nearest = dict(space.nearest(vector, offset + limit + 1 + DEEPEST // 100, among))
        if source is not None:
            nearest.pop(source.number, None)
        rows = gallery.rows(session, list(nearest))
    there = [row for row in rows if row.picture.deleted_at is None]
    items = [views.picture(row, None, round(nearest[row.picture.number], 6)) for row in there]
    page = items[offset : offset + limit]
    more = str(offset + limit) if len(items) > offset + limit else None
    return shapes.Pictures.model_construct(items=page, next=more, total=len(items), as_of=0)

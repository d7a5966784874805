"""Lists of pictures by likeness: to one of them, or to words."""

from __future__ import annotations

from sqlalchemy import select

from imagegraph.errors import InvalidInput, Unsupported
from studio.api import shapes, views
from studio.api.context import Studio
from studio.store import gallery
from studio.store.gallery import Filter
from studio.store.models import Picture

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
        among, without = None, [source.number] if source is not None else []
        if filter == Filter():  # nearly all: those that are not are fewer
            without += session.scalars(select(Picture.number).where(Picture.deleted_at.is_not(None)))
        else:
            among = list(session.scalars(filter.pictures(session)[0]))
        nearest, total = space.nearest(vector, offset + limit, among, without)
        page = dict(nearest[offset:])
        rows = gallery.rows(session, list(page))
    items = [views.picture(row, None, round(page[row.picture.number], 6)) for row in rows]
    more = str(offset + limit) if total > offset + limit else None
    return shapes.Pictures.model_construct(items=items, next=more, total=total, as_of=0)

"""Errors of jobs whose servers ended lacked the detail that every problem has."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Has each error say what happened as its detail."""
    jobs = sa.table("jobs", sa.column("number"), sa.column("state"), sa.column("error", sa.JSON()))
    connection = op.get_bind()
    failed = sa.select(jobs.c.number, jobs.c.error).where(jobs.c.state == "failed")
    for number, error in connection.execute(failed).all():
        if error and "detail" not in error:
            whole = {**error, "detail": error["title"]}
            connection.execute(sa.update(jobs).where(jobs.c.number == number).values(error=whole))

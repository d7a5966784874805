"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes all tables."""
    op.create_table(
        "answered",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key"),
    )
    op.create_table(
        "boards",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "name"),
    )
    op.create_table(
        "comparisons",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("tally", sa.String(length=64), nullable=False),
        sa.Column("graph", sa.Text(), nullable=False),
        sa.Column("arms", sa.JSON(), nullable=False),
        sa.Column("jobs", sa.JSON(), nullable=False),
        sa.Column("picture_a", sa.String(length=24), nullable=True),
        sa.Column("picture_b", sa.String(length=24), nullable=True),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("a_is_left", sa.Boolean(), nullable=False),
        sa.Column("choice", sa.String(length=16), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_comparisons_tally", "comparisons", ["tally"], unique=False)

    op.create_table(
        "contents",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("width", NUMBER, nullable=False),
        sa.Column("height", NUMBER, nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "jobs",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("graph", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("nodes", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("record", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("best", sa.String(length=24), nullable=True),
        sa.Column("server", sa.Text(), nullable=True),
        sa.Column("leased_until", sa.Double(), nullable=True),
        sa.Column("attempts", NUMBER, nullable=False),
        sa.Column("cancelling", sa.Boolean(), nullable=False),
        sa.Column("last_event", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_by_owner", "jobs", ["owner", "state"], unique=False)
    op.create_index("jobs_by_state", "jobs", ["state", "number"], unique=False)

    op.create_table(
        "job_contents",
        sa.Column("job", sa.String(length=24), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["hash"],
            ["contents.hash"],
        ),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", "hash"),
    )
    op.create_index("ix_job_contents_hash", "job_contents", ["hash"], unique=False)

    op.create_table(
        "job_events",
        sa.Column("job", sa.String(length=24), nullable=False),
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", "number"),
    )
    op.create_table(
        "pictures",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("job", sa.String(length=24), nullable=True),
        sa.Column("graph", sa.Text(), nullable=True),
        sa.Column("node", sa.Text(), nullable=True),
        sa.Column("port", sa.Text(), nullable=True),
        sa.Column("place", NUMBER, nullable=False),
        sa.Column("item", NUMBER, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("prior", sa.Text(), nullable=True),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("seed", NUMBER, nullable=True),
        sa.Column("bundle", sa.Text(), nullable=True),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.Column("stars", NUMBER, nullable=True),
        sa.Column("starred", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["hash"],
            ["contents.hash"],
        ),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pictures_hash", "pictures", ["hash"], unique=False)
    op.create_index("ix_pictures_job", "pictures", ["job"], unique=False)
    op.create_index(
        "pictures_wall",
        "pictures",
        [
            "number",
            "deleted_at",
            "kind",
            "owner",
            "graph",
            "prior",
            "bundle",
            "stars",
            "starred",
            "created_at",
        ],
        unique=False,
    )

    op.create_table(
        "board_pictures",
        sa.Column("board", sa.String(length=24), nullable=False),
        sa.Column("picture", NUMBER, nullable=False),
        sa.Column("added_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["board"], ["boards.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["picture"], ["pictures.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("board", "picture"),
    )
    op.create_index("ix_board_pictures_picture", "board_pictures", ["picture"], unique=False)

    op.create_table(
        "ratings",
        sa.Column("picture", NUMBER, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("stars", NUMBER, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["picture"], ["pictures.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("picture", "owner"),
    )
    op.create_table(
        "recalled",
        sa.Column("picture", NUMBER, nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["picture"], ["pictures.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("picture"),
    )
    op.create_table(
        "vectors",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("picture", NUMBER, nullable=False),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["picture"], ["pictures.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("picture", "space"),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE words USING fts5(said)")
    else:
        op.execute(
            "CREATE TABLE words (rowid bigint PRIMARY KEY REFERENCES pictures (number) ON DELETE CASCADE, "
            "said tsvector NOT NULL)"
        )
        op.execute("CREATE INDEX words_found ON words USING gin (said)")

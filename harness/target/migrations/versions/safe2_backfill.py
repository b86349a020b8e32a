"""safe 2 of 6: the backfill, in short transactions with pauses between them.

Each batch is one UPDATE: a row that a request changes meanwhile is read again before it is written, so
nothing acknowledged is lost. Running it a second time only does what is left.
"""

from __future__ import annotations

import time
import uuid

from alembic import op
from sqlalchemy import text

revision = "safe2"
down_revision = "safe1"
branch_labels = None
depends_on = None

_BATCH = 1000
_PAUSE_S = 0.01

_FILL = text("""
    WITH batch AS (
        SELECT id FROM documents WHERE id > :after ORDER BY id LIMIT :batch
    ), filled AS (
        UPDATE documents SET share_id = gen_random_uuid(), size_bytes = size,
            category_id = coalesce((SELECT categories.id FROM categories WHERE name = documents.tags[1]), 1)
        FROM batch WHERE documents.id = batch.id AND documents.share_id IS NULL
    )
    SELECT id FROM batch ORDER BY id DESC LIMIT 1
""")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        last: uuid.UUID | None = uuid.UUID(int=0)
        while last is not None:
            began = time.monotonic()
            last = connection.execute(_FILL, {"after": last, "batch": _BATCH}).scalar()
            # As long as the batch took: requests have the database to themselves half of the time.
            time.sleep(max(_PAUSE_S, time.monotonic() - began))


def downgrade() -> None:
    """Nothing to undo: the columns go with the revision that added them."""

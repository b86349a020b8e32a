"""Hold the table for LOCK_S seconds."""

import os
import time

from alembic import context, op

revision = "lock"
down_revision = None


def upgrade() -> None:
    op.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
    begun = time.monotonic()
    context.get_context().opts["locked"].append(begun)
    op.execute("ALTER TABLE items ADD COLUMN note text")
    time.sleep(begun + float(os.environ["LOCK_S"]) - time.monotonic())


def downgrade() -> None:
    op.execute("ALTER TABLE items DROP COLUMN note")

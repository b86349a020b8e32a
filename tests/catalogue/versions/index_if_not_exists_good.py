"""Look first, lock never."""

from alembic import op
from sqlalchemy import inspect

revision = "index_if_not_exists_good"
down_revision = "schema"


def upgrade() -> None:
    indexes = inspect(op.get_bind()).get_indexes("busy")
    if all(index["name"] != "busy_tenant" for index in indexes):
        with op.get_context().autocommit_block():
            op.create_index("busy_tenant", "busy", ["tenant_id"], postgresql_concurrently=True)

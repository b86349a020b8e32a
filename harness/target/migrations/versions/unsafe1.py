"""unsafe: the same goal as autogenerate and a hurried person write it, in one transaction.

The first statement takes ACCESS EXCLUSIVE on `documents` and the commit gives it back: for all that lies
between, every request for a document waits.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "unsafe1"
down_revision = "v1"
branch_labels = ("unsafe",)
depends_on = None


def upgrade() -> None:
    categories = op.create_table(
        "categories",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    names = ["general", "finance", "legal", "people"]
    op.bulk_insert(categories, [{"id": n, "name": name} for n, name in enumerate(names, start=1)])
    op.add_column("documents", sa.Column("category_id", sa.Integer(), server_default="1", nullable=False))
    op.execute("""
        UPDATE documents SET category_id = categories.id
        FROM categories WHERE categories.name = documents.tags[1]
    """)
    op.add_column(
        "documents",
        sa.Column("share_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
    )
    op.alter_column("documents", "size", existing_type=sa.Integer(), type_=sa.BigInteger())
    op.create_foreign_key("documents_category_id_fkey", "documents", "categories", ["category_id"], ["id"])
    op.create_check_constraint("documents_size_check", "documents", "size >= 0")
    op.create_index("documents_category_idx", "documents", ["category_id", "account_id"])


def downgrade() -> None:
    op.drop_index("documents_category_idx", table_name="documents")
    op.drop_constraint("documents_size_check", "documents", type_="check")
    op.drop_constraint("documents_category_id_fkey", "documents", type_="foreignkey")
    op.alter_column("documents", "size", existing_type=sa.BigInteger(), type_=sa.Integer())
    op.drop_column("documents", "category_id")
    op.drop_column("documents", "share_id")
    op.drop_table("categories")

"""where both begin"""

revision = "root"
down_revision = None


def upgrade():
    pass


def downgrade():
    pass

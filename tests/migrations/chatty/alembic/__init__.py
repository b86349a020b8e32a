raise RuntimeError("a folder named alembic beside the ini shadows the library")

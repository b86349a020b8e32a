"""Which revision the database's schema has: by it a document is kept whose every column is shown."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["REVISION", "Schema"]

REVISION = "(SELECT string_agg(version_num, ' ' ORDER BY version_num) FROM alembic_version)"
"""An SQL expression. Alembic writes the table in the transaction of the change itself, so a statement that
reads it together with rows tells which revision those have.
"""

_READ = text(f"SELECT {REVISION}")
_EVERY_S = 0.5

_log = logging.getLogger(__name__)


class Schema:
    """The `revision` as it was a moment ago, at most half a second where the database answers; who reads rows
    and learns a newer one may set it.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.revision = ""

    async def watch(self) -> None:
        """Reads until cancelled."""
        while True:
            try:
                async with self._engine.begin() as connection:
                    self.revision = (await connection.execute(_READ)).scalar() or ""
            except SQLAlchemyError as error:
                _log.warning("the schema's revision could not be read (%s)", type(error).__name__)
            await asyncio.sleep(_EVERY_S)

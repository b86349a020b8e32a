"""The engine where the environment is about something else: DATABASE_URL, asynchronous if ASYNC is set."""

import asyncio
import os

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]


def connected(migrate, url=URL):
    """Call `migrate(connection)`."""
    if os.environ.get("ASYNC"):
        asyncio.run(_connected_async(migrate, url))
    else:
        with create_engine(url).connect() as connection:
            migrate(connection)


async def _connected_async(migrate, url):
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()

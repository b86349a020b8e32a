"""The application's settings, whose parts come from the environment."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Where the database is."""

    url: str = os.environ["DATABASE_URL"]
    echo: bool = False


settings = Settings()

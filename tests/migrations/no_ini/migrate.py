"""No alembic.ini at all: `python migrate.py`."""

from pathlib import Path

from alembic import command
from alembic.config import Config

here = Path(__file__).parent
config = Config()
config.set_main_option("script_location", str(here.parent / "plain"))
config.set_main_option("version_locations", str(here.parent / "notes_versions"))
config.set_main_option("prepend_sys_path", str(here.parent))
command.upgrade(config, "head")

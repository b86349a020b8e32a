from __future__ import annotations

import pytest

from harness.db.local_server import config_text
from harness.errors import UsageError


def test_settings_become_quoted_lines() -> None:
    assert config_text({"fsync": "on", "log_line_prefix": "it's \\ "}) == (
        "fsync = 'on'\nlog_line_prefix = 'it''s \\\\ '\n"
    )


@pytest.mark.parametrize(("name", "value"), [("fsync\nport", "1"), ("", "1"), ("fsync", "on\nport = 1")])
def test_a_setting_cannot_smuggle_in_another_line(name: str, value: str) -> None:
    with pytest.raises(UsageError, match="not a PostgreSQL setting"):
        config_text({name: value})

"""What a session sets for itself, and where a pooler took it away."""

from __future__ import annotations

import pytest

from harness.core.session_settings import LostSetting, SessionSettings

NOTHING = {"lock_timeout": 0.0, "statement_timeout": 0.0}


def session(*statements: str, in_transaction: bool = False) -> SessionSettings:
    found = SessionSettings()
    for number, sql in enumerate(statements, start=1):
        found.take(sql, number, in_transaction)
    return found


def lost(found: SessionSettings) -> tuple[LostSetting, ...]:
    return found.lost(NOTHING, beside=False)


@pytest.mark.parametrize(
    ("sql", "seconds"),
    [
        ("SET lock_timeout = '2s'", 2.0),
        ("set session lock_timeout to 250", 0.25),
        ("-- be quick\n/* please */ SET lock_timeout TO '500 ms';", 0.5),
        ("SELECT set_config('lock_timeout', '3s', false)", 3.0),
        ("SELECT pg_catalog.set_config('lock_timeout', '1min', FALSE);", 60.0),
    ],
)
def test_a_timeout_set_for_the_session_is_missed_where_it_is_not_in_effect(sql: str, seconds: float) -> None:
    found = session(sql)

    assert lost(found) == (LostSetting("lock_timeout", seconds, 0.0, 1),)
    assert found.lost({"lock_timeout": seconds}, beside=False) == ()
    assert found.lost({"lock_timeout": None}, beside=False) == ()
    assert found.lost(NOTHING, beside=True)[0].beside


@pytest.mark.parametrize(
    "after",
    [
        "RESET lock_timeout",
        "RESET ALL",
        "DISCARD ALL",
        "SET lock_timeout TO DEFAULT",
        "SET lock_timeout = '5 parsecs'",
        "SELECT set_config('lock_timeout', %s, false)",
        "DO $$ BEGIN SET lock_timeout = '1s'; END $$",
        "SELECT 1; RESET ALL",
    ],
)
def test_what_was_given_back_or_is_not_understood_is_not_missed(after: str) -> None:
    assert lost(session("SET lock_timeout = '2s'", after)) == ()


def test_other_settings_are_none_of_its_business() -> None:
    assert lost(session("SET search_path = 'x'", "RESET search_path", "SELECT 'lock'")) == ()


def test_reading_a_setting_leaves_it_as_it_is() -> None:
    found = session("SET lock_timeout = '2s'", "SHOW lock_timeout", "SELECT current_setting('lock_timeout')")
    assert len(lost(found)) == 1


def test_set_local_is_over_with_its_transaction() -> None:
    found = session("SET lock_timeout = '2s'", "SET LOCAL lock_timeout = '9s'", in_transaction=True)
    assert lost(found) == ()

    found.transaction_over(committed=True)

    assert lost(found) == (LostSetting("lock_timeout", 2.0, 0.0, 1),)


def test_set_local_outside_a_transaction_does_nothing() -> None:
    assert lost(session("SET LOCAL lock_timeout = '9s'")) == ()


@pytest.mark.parametrize(("committed", "missed"), [(True, (4.0, 2)), (False, (2.0, 1))])
def test_a_set_in_a_transaction_that_was_rolled_back_never_happened(
    committed: bool, missed: tuple[float, int]
) -> None:
    found = session("SET lock_timeout = '2s'")
    found.take("SET lock_timeout = '4s'", 2, True)

    found.transaction_over(committed)

    (one,) = lost(found)
    assert (one.meant_s, one.set_by) == missed


def test_after_a_savepoints_rollback_nobody_knows_what_is_meant() -> None:
    found = session("SET lock_timeout = '2s'", "SET statement_timeout = '7s'")
    found.take("SET lock_timeout = '4s'", 3, True)
    found.rolled_back_to()

    assert [one.setting for one in lost(found)] == ["statement_timeout"]

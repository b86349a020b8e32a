"""Sessions are judged by what was tried after the migration, with what worked before it as the control."""

from harness.core.continuity import judge_continuity
from harness.core.record import Probe

BEFORE = (Probe(0.0, "ada", "fresh_login", "worked"), Probe(0.0, "ada", "first_use", "worked"))


def after(kind: str, outcome: str, account: str = "ada", detail: str = "") -> Probe:
    return Probe(50.0, account, kind, outcome, detail)


def test_probes_are_counted_by_kind() -> None:
    found = judge_continuity(
        [
            *BEFORE,
            after("old_token", "worked"),
            after("fresh_login", "worked"),
            after("fresh_login", "unclear", "bob"),
            Probe(30.0, "ada", "foreign_read", "refused"),
        ],
        began_at=20.0,
    )
    assert found.accounts == 2
    assert (found.kinds["fresh_login"].worked, found.kinds["fresh_login"].unclear) == (1, 1)
    assert found.kinds["old_token"].tried == 1
    assert (found.failed, found.examples) == (0, ())


def test_login_that_gives_a_token_that_no_longer_works_is_a_finding() -> None:
    probes = [after("fresh_login", "worked"), after("first_use", "failed", detail="GET /items: HTTP 401")]
    found = judge_continuity([*BEFORE, *probes], began_at=20.0)
    assert found.failed == 1
    assert found.examples == ("ada: it logged in, but what it got was not taken: GET /items: HTTP 401",)


def test_what_had_not_worked_before_either_is_no_failure_of_the_migration() -> None:
    found = judge_continuity([after("first_use", "failed"), BEFORE[0]], began_at=20.0)
    assert found.failed == 0
    assert not found.kinds["first_use"].worked_before


def test_control_of_old_tokens_is_any_token_that_worked_before() -> None:
    found = judge_continuity([BEFORE[1], after("old_token", "failed")], began_at=20.0)
    assert found.failed == 1


def test_what_worked_after_the_migration_is_no_control() -> None:
    probes = [after("first_use", "worked", "bob"), after("first_use", "failed")]
    assert judge_continuity(probes, began_at=20.0).failed == 0


def test_why_a_kind_was_not_tried_is_what_most_accounts_say() -> None:
    probes = [after("old_token", "not_tried", name, why) for name, why in ("ax", "by", "cy")]
    old = judge_continuity(probes, began_at=20.0).kinds["old_token"]
    assert (old.tried, old.why_not) == (0, "y")
    assert judge_continuity([], began_at=20.0).kinds["old_token"].why_not == "no account was tried"


def test_without_a_migration_nothing_came_after_it() -> None:
    assert judge_continuity([*BEFORE, after("old_token", "failed")], began_at=None).accounts == 0

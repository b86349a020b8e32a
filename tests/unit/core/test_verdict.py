"""The worst gate, the exit code, and what may stand in verdict.json."""

from __future__ import annotations

import pytest

from harness.core.verdict import GateResult, Verdict, exit_code, rounded, without_paths, worst


def gates(*statuses: str) -> list[GateResult]:
    return [GateResult(f"g{number}", "p95 < 1s", status) for number, status in enumerate(statuses)]


@pytest.mark.parametrize(
    ("statuses", "complete", "status"),
    [
        (("pass", "pass"), True, "pass"),
        (("pass", "inconclusive"), True, "inconclusive"),
        (("inconclusive", "fail", "pass"), True, "fail"),
        (("pass", "not_applicable"), True, "pass"),
        (("not_applicable",), True, "inconclusive"),
        ((), True, "inconclusive"),
        (("pass",), False, "inconclusive"),
        (("fail",), False, "fail"),
    ],
)
def test_the_worst_gate_is_the_verdict(statuses: tuple[str, ...], complete: bool, status: str) -> None:
    assert worst(gates(*statuses), complete) == status


@pytest.mark.parametrize(
    ("status", "cause", "refused", "code"),
    [
        ("pass", "completed", False, 0),
        ("fail", "completed", False, 1),
        ("inconclusive", "completed", False, 4),
        ("inconclusive", None, False, 4),
        ("inconclusive", "nothing to migrate", False, 4),
        ("fail", "service died", False, 1),
        ("inconclusive", "SIGINT", False, 130),
        ("fail", "SIGTERM", False, 130),
        ("inconclusive", "stopped in the web page", False, 130),
        ("fail", "completed", True, 3),
    ],
)
def test_the_exit_code(status: str, cause: str | None, refused: bool, code: int) -> None:
    assert exit_code(status, cause, refused) == code


@pytest.mark.parametrize(
    ("value", "kept"),
    [(None, None), (float("nan"), None), (float("inf"), None), (0.12345678, 0.123457), (3, 3.0), (0.0, 0.0)],
)
def test_unknown_numbers_are_null(value: float | None, kept: float | None) -> None:
    assert rounded(value) == kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("/srv/shop/alembic.ini", "…/alembic.ini"),
        ("File '/root/a b' is /root/x/y.py: bad", "File '…/a b' is …/y.py: bad"),
        ("PATH=/usr/bin:/usr/local/bin", "PATH=…/bin:…/bin"),
        ("http://127.0.0.1:8000/a/b", "http://127.0.0.1:8000/a/b"),
        ("GET /documents", "GET /documents"),
        ("migrations/versions/a.py", "migrations/versions/a.py"),
        (["-c", "/srv/a.ini"], ["-c", "…/a.ini"]),
        ({"bin": ("/usr/lib/pg", 3)}, {"bin": ["…/pg", 3]}),
        (None, None),
    ],
)
def test_absolute_paths_are_cut_down(value: object, kept: object) -> None:
    assert without_paths(value) == kept


def test_a_verdict_is_json_with_its_details() -> None:
    verdict = Verdict("run-1", "pass", 0, True, None, (), ("a limit",), {"blame": []})
    assert verdict.as_json() == {
        "schema": 1,
        "run_id": "run-1",
        "status": "pass",
        "exit_code": 0,
        "complete": True,
        "interrupted_in": None,
        "gates": [],
        "limits": ["a limit"],
        "blame": [],
    }

"""The command line: what it prints, and with which code it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main


def test_no_run_directory_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("harness: ")
    assert "plan.json" in shown
    assert shown.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"plan\.json"):
        main(["--debug", "analyze", str(tmp_path)])


@pytest.mark.parametrize(
    "argv", [[], ["analyse"], ["analyze", "--ga", "p95 < 1s", "x"], ["explain", "locks"]]
)
def test_bad_usage_is_exit_code_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2


def test_explain_gates_names_gates_metrics_and_minimum_samples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "gates"]) == 0
    shown = capsys.readouterr().out
    for word in ("lost_writes", "throughput", "slice_p95", "200"):
        assert word in shown


def test_doctor_names_what_is_not_ready_and_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MUL_DATABASE_URL", raising=False)
    assert main(["doctor", "--alembic-config", str(tmp_path / "alembic.ini")]) == 2
    shown = capsys.readouterr().out
    assert "NO" in shown
    assert str(tmp_path / "alembic.ini") in shown.replace("\n", "")


def test_doctor_is_content_with_what_the_demo_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUL_DATABASE_URL", raising=False)
    assert main(["doctor"]) == 0
    assert "safe6" in capsys.readouterr().out

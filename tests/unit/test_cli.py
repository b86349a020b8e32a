"""The command line: what it prints, and with which code it ends."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.clock import utc_now
from harness.core.advice import RULES
from harness.core.plan import Plan
from harness.core.plan_keys import KEYS
from harness.run.tracing import TracedMigration
from harness.store import RunDirectory


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
    "argv",
    [
        [],
        ["analyse"],
        ["analyze", "--ga", "p95 < 1s", "x"],
        ["explain"],
        ["explain", "--all", "gates"],
        ["trace", "--rows", "7"],
    ],
)
def test_bad_usage_is_exit_code_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2


def test_trace_refuses_a_secret_in_the_command_that_prepares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "--prepare", "restore --token s3cr3t"]) == 2
    shown = capsys.readouterr().err
    assert "--prepare holds a secret" in shown
    assert "s3cr3t" not in shown


def test_explain_gates_names_gates_metrics_and_minimum_samples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "gates"]) == 0
    shown = capsys.readouterr().out
    for word in ("lost_writes", "throughput", "slice_p95", "200"):
        assert word in shown


def test_explain_drills_names_every_drill_and_grade(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "drills"]) == 0
    printed = capsys.readouterr().out
    assert "`kill-migrator@each`" in printed
    assert "| D | it did not come back" in printed


def test_explain_plan_file_names_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "plan-file"]) == 0
    shown = capsys.readouterr().out
    assert all(str(key) in shown for key in KEYS if key.flag)


def test_only_plan_hands_flags_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "gates", "--users", "3"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --users 3" in capsys.readouterr().err


def test_plan_refuses_a_wrong_file_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "harness.toml"
    file.write_text("[load]\nusers = 'many'")
    assert main(["plan", "--plan", str(file)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"harness: {file}: [load] users is 'many'")
    assert shown.count("\n") == 1


def test_init_writes_the_files_and_prints_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    document = {"openapi": "3.1.0", "paths": {"/items": {"get": {"responses": {}}}}}
    (tmp_path / "api.json").write_text(json.dumps(document))
    assert main(["init", "--openapi", "api.json", "--no-ci"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("wrote locustfile.py\nwrote harness.toml\n")
    assert printed.splitlines()[-1].strip() == "locust -f locustfile.py --headless"
    assert main(["init", "--openapi", "api.json", "--no-ci"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["init", "--openapi", "api.json", "--no-ci", "--force"]) == 0


def test_explain_a_rule_says_when_it_fires_and_what_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "create-index"]) == 0
    shown = capsys.readouterr().out
    assert "create-index" in shown
    assert "postgresql_concurrently" in shown
    assert "drop-column" not in shown


def test_explain_all_has_every_rule_and_ends_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--all"]) == 0
    shown = capsys.readouterr().out
    assert all(f"### {rule.id}\n" in shown for rule in RULES)
    assert shown.endswith("```\n")


@pytest.mark.parametrize(
    ("topic", "hint"), [("creat-index", "create-index"), ("gate", "gates"), ("§", "explain --all")]
)
def test_explain_of_an_unknown_rule_names_near_ones(
    capsys: pytest.CaptureFixture[str], topic: str, hint: str
) -> None:
    assert main(["explain", topic]) == 2
    shown = capsys.readouterr().err
    assert repr(topic) in shown
    assert hint in shown


def test_an_interruption_is_one_line_and_the_shells_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.core.gates.explain", interrupted)
    assert main(["explain", "gates"]) == 130
    assert capsys.readouterr().err == "harness: interrupted; what was started is stopped.\n"


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


def test_doctor_looks_at_what_the_plan_file_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MUL_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness.toml").write_text(
        '[service]\nhost = "ftp://shop"\n[migration]\nalembic-config = "own.ini"\n'
    )
    assert main(["doctor"]) == 2
    shown = capsys.readouterr().out
    assert "own.ini" in shown
    assert "NO    service: " in shown
    assert "the reference service's history" not in shown


def test_doctor_takes_no_others_history_for_that_of_a_service_of_ones_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUL_DATABASE_URL", "postgresql://app@127.0.0.1:9/shop")
    main(["doctor"])
    assert "note  migration scripts: it is not said where they are" in capsys.readouterr().out


def test_trace_puts_no_others_history_into_a_database_of_ones_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUL_DATABASE_URL", "postgresql://app@127.0.0.1:9/shop")
    assert main(["trace", "--allow-database", "shop"]) == 2
    assert "not where its migrations are" in capsys.readouterr().err


def test_trace_takes_from_the_plan_file_what_no_flag_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    traced: list[Plan] = []

    def trace(plan: Plan, _say: object) -> TracedMigration:
        traced.append(plan)
        return TracedMigration({}, 0)

    monkeypatch.setattr("harness.run.tracing.trace_migration", trace)
    monkeypatch.setattr("harness.report.trace_text.render_trace", lambda *_: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("MUL_DATABASE_URL", "postgresql://app@127.0.0.1/shop")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness.toml").write_text(
        '[migration]\nalembic-config = "own.ini"\nupgrade = "two"\n[safety]\ndatabases = ["shop"]\n'
    )
    assert main(["trace"]) == 0
    assert main(["trace", "--upgrade", "one", "--allow-database", "other"]) == 0
    assert [(p.alembic_config, p.upgrade, p.allow_database) for p in traced] == [
        ("own.ini", "two", ("shop",)),
        ("own.ini", "one", ("shop", "other")),
    ]


@pytest.mark.parametrize("said_by", ["flag", "variable", "plan file"])
def test_doctor_looks_for_the_engine_where_a_container_is_planned(
    said_by: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MUL_DATABASE_URL", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    monkeypatch.chdir(tmp_path)
    if said_by == "variable":
        monkeypatch.setenv("MUL_SERVICES", "docker")
    elif said_by == "plan file":
        (tmp_path / "harness.toml").write_text('[demo]\nservices = "docker"\n')
    assert main(["doctor", *(["--services", "docker"] if said_by == "flag" else [])]) == 2
    shown = capsys.readouterr().out
    assert f"NO    Docker engine: No Docker engine answers at unix://{tmp_path}/nobody" in shown
    assert "embedded PostgreSQL" not in shown


def test_run_becomes_locust_with_every_flag_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become: list[list[str]] = []

    def execve(_program: str, command: list[str], _environment: object) -> None:
        become.append(command)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.chdir(tmp_path)
    given = ["-f", "theirs.py", "--gate", "p95 < 1s", "--help", "Shopper"]
    with pytest.raises(SystemExit):
        main(["run", *given])
    with pytest.raises(SystemExit):
        main(["--debug", "run", *given])
    assert become == [[sys.executable, "-P", "-m", "harness.plug_in", *given]] * 2


@pytest.mark.parametrize(
    ("plan", "variable", "found"),
    [
        ("[load]\nlocustfile = 'load/users.py'", None, "load/users.py"),
        ("[load]\nlocustfile = 'load/users.py'", "mine.py", "mine.py"),
        ("", None, None),
    ],
)
def test_run_becomes_locust_with_the_plan_files_locustfile(
    plan: str, variable: str | None, found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("os.execve", lambda _program, argv, environment: became.append((argv, environment)))
    monkeypatch.delenv("LOCUST_LOCUSTFILE", raising=False)
    if variable:
        monkeypatch.setenv("LOCUST_LOCUSTFILE", variable)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness.toml").write_text(plan)
    main(["run", "--headless", "--users", "3"])
    [(argv, environment)] = became
    assert argv[1:] == ["-P", "-m", "harness.plug_in", "--headless", "--users", "3"]
    assert environment.get("LOCUST_LOCUSTFILE") == found


def test_run_refuses_a_wrong_plan_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "harness.toml"
    file.write_text("[load]\nusres = 3")
    assert main(["run", f"--plan={file}"]) == 2
    assert "Did you mean users?" in capsys.readouterr().err


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[str, str]:
    """Two runs of nothing: they were interrupted before their load."""
    made = [RunDirectory.create(Plan(run_root=str(tmp_path)), utc_now()) for _ in range(2)]
    for directory in made:
        directory.close()
    return str(made[0].path), str(made[1].path)


def test_runs_that_are_no_evidence_compare_as_undecided(
    two_runs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *two_runs]) == 4
    shown = capsys.readouterr().out
    assert "The old run is no evidence: it was not completed." in shown
    assert shown.splitlines()[-1].startswith("? Nothing is decided")


def test_a_comparison_for_programs_and_for_a_summary(
    two_runs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *two_runs, "--json", "--max-slower", "25%"]) == 4
    assert json.loads(capsys.readouterr().out)["max_slower"] == "25%"
    assert main(["compare", *two_runs, "--markdown"]) == 4
    assert capsys.readouterr().out.startswith("## ? Nothing is decided")


def test_comparing_with_what_is_no_run_names_it(
    two_runs: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", two_runs[0], str(tmp_path / "nothing")]) == 2
    assert str(tmp_path / "nothing") in capsys.readouterr().err
    (Path(two_runs[1]) / "plan.json").write_text("{")
    assert main(["compare", *two_runs]) == 2
    assert f"{two_runs[1]} cannot be read" in capsys.readouterr().err

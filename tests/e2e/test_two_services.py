"""Accounts and what they keep as two services with a cache between them: both are migrated in one run."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.db.server import EmbeddedServer
from harness.target.tokens import new_private_pem
from tests.fix_run import BRIEF, UNTIMED, Runs
from tests.fix_target import INI, running_service, seed

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.timeout(240)]

LOCUSTFILE = Path(__file__).parents[1] / "services" / "apart_locustfile.py"

PLAN = """
[safety]
databases = ["auth", "api"]

[[migration]]
name = "auth"
alembic-config = "{folder}/alembic-auth.ini"
upgrade = "head"
database-url-variable = "AUTH_DATABASE_URL"

[[migration]]
name = "api"
alembic-config = "{folder}/alembic-api.ini"
upgrade = "head"
"""


def test_auth_and_api_are_migrated_in_order_under_one_load(
    runs: Runs, postgres: EmbeddedServer, cache_url: str, tmp_path: Path
) -> None:
    urls = {role: postgres.create_database(role) for role in ("auth", "api")}
    for role, url in urls.items():
        seed(url, rows=5_000, accounts=40, role=role)
    key = new_private_pem()
    runs.root.joinpath("harness.toml").write_text(PLAN.format(folder=INI.parent))
    with ExitStack() as running:
        auth = running.enter_context(
            running_service(
                urls["auth"], tmp_path / "auth", role="auth", SIGNING_KEY=key, CACHE_URL=cache_url
            )
        )
        host = f"http://127.0.0.1:{auth.port}"
        api = running.enter_context(
            running_service(
                urls["api"], tmp_path / "api", role="api", CACHE_URL=cache_url, AUTH_URL=host, RELEASE="all"
            )
        )
        run = runs(
            *("--host", f"http://127.0.0.1:{api.port}", *BRIEF[:-2], *UNTIMED),
            environment={
                "MUL_DATABASE_URL": urls["api"],
                "AUTH_DATABASE_URL": urls["auth"],
                "AUTH_URL": host,
                "MUL_TARGET_SIGNING_KEY": key,
            },
            locustfile=LOCUSTFILE,
        )
    assert run.process.returncode == 0, run.output
    assert run.error_ratios == {0.0}
    told = [(m["name"], m["from"], m["to"], m["traced"]) for m in run.verdict["migrations"]]
    assert told == [("auth", "auth1", "auth2", True), ("api", "api1", "api2", True)]
    for gate in ("stale_cache", "lost_writes", "leaks", "forged_tokens", "continuity", "ws_missed"):
        assert run.gate(gate)["status"] == "pass", gate
    shapes = (run.directory / "shapes.ndjson").read_text()
    assert '"share_id","shown"' in shapes, "else a stale cache had no chance to show"

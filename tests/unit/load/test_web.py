"""Locust's web page with the migration in it, and closed to other pages."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from locust import User
from locust.env import Environment
from locust.event import Events

from harness.load import web

STATUS: dict[str, object] = {"Phase": "baseline", "Verdict": None, "Statement": "<script>alert(1)</script>"}
HERE = "http://127.0.0.1:8089"

Client = Callable[..., FlaskClient]


class Idle(User):
    """A user, since a page needs one."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Client:
    """A client of a page that is not served; starting and stopping is only noted in `tmp_path`."""

    def make(
        base: str = "",
        report: Path | None = None,
        login: bool = False,
        state: str = "ready",
        web_host: str = "127.0.0.1",
    ) -> FlaskClient:
        monkeypatch.setattr(sys, "argv", ["locust"])  # Locust parses it anew for its page
        environment: Any = Environment(user_classes=[Idle], events=Events(), host="http://127.0.0.1:8000")
        environment.parsed_options = Namespace(
            web_base_path=base,
            web_host=web_host,
            num_users=1,
            spawn_rate=1,
            run_time=None,
            stats_history_enabled=False,
            allow_production=False,
            warmup_time="8s",
        )
        runner = environment.create_local_runner()
        runner.greenlet.kill()
        runner.state = state
        monkeypatch.setattr(runner, "start", lambda *_: (tmp_path / "started").touch())
        page = environment.create_web_ui(
            "127.0.0.1", 0, web_base_path=base, web_login=login, delayed_start=True
        )
        page.app.secret_key = "for this test"
        if login:
            page.login_manager.user_loader(lambda _: None)
        page.app.config["SERVER_NAME"] = "127.0.0.1:8089"
        web.install(environment, lambda: STATUS, lambda: report)
        testing: FlaskClient = page.app.test_client()
        return testing

    return make


def swarm(client: FlaskClient, form: dict[str, str], headers: dict[str, str] | None = None) -> Any:
    return client.post("/swarm", data={"user_count": "1", "spawn_rate": "1", **form}, headers=headers or {})


def test_status_page(client: Client) -> None:
    page = client().get("/migration/")
    assert page.status_code == 200
    assert "Migration under load" in page.text
    assert client().get("/migration/status").json == {
        "rows": [["Phase", "baseline"], ["Verdict", "–"], ["Statement", "<script>alert(1)</script>"]],
        "report": False,
    }


def test_tab_in_locusts_own_page(client: Client) -> None:
    ours = client()
    assert "extended_tabs" in ours.get("/").text
    numbers = ours.get("/stats/requests").json
    assert numbers is not None
    assert "stats" in numbers
    assert numbers["extended_stats"] == [
        {
            "key": "migration",
            "data": [
                {"what": "Phase", "value": "baseline"},
                {"what": "Verdict", "value": "–"},
                {"what": "Statement", "value": "<script>alert(1)</script>"},
            ],
        }
    ]


def test_report(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert client(report=None).get("/migration/report").status_code == 404
    assert client(report=file).get("/migration/report").status_code == 404
    file.write_text("<p>done")
    answer = client(report=file).get("/migration/report")
    assert (answer.status_code, answer.text) == (200, "<p>done")


def test_base_path(client: Client) -> None:
    ours = client(base="/locust")
    assert ours.get("/locust/migration/").status_code == 200
    assert ours.get("/migration/").status_code == 404
    assert "extended_stats" in (ours.get("/locust/stats/requests").json or {})
    assert ours.post("/locust/stop", headers={"Origin": "http://evil.example"}).status_code == 403


def test_pages_ask_for_the_login(client: Client) -> None:
    ours = client(login=True)
    for path in ("/migration/", "/migration/status", "/migration/report"):
        assert ours.get(path).status_code == 302


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Referer": "http://evil.example/page"},
    ],
)
@pytest.mark.parametrize("path", ["/swarm", "/stop", "/stats/reset", "/user"])
def test_commands_of_another_page_are_refused(
    client: Client, tmp_path: Path, headers: dict[str, str], path: str
) -> None:
    ours = client()
    assert ours.post(path, data={"user_count": "1", "spawn_rate": "1"}, headers=headers).status_code == 403
    assert not (tmp_path / "started").exists()


def test_a_command_by_get_is_refused_to_another_page(client: Client) -> None:
    assert client().get("/stop", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_another_page_may_link_here_but_not_read(client: Client) -> None:
    assert client().get("/migration/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert client().get("/migration/status", headers={"Origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}, {"Referer": HERE + "/"}]
)
def test_own_page_and_scripts_may_start(client: Client, headers: dict[str, str]) -> None:
    answer = swarm(client(), {"warmup_time": "1s", "host": "http://127.0.0.1:8000/"}, headers)
    assert answer.json["success"], answer.json


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"allow_production": "true"}, "allow_production"),
        ({"host": "http://prod.example"}, "--host"),
        ({"run_time": "3s"}, "run time"),
    ],
)
def test_settings_are_frozen(client: Client, form: dict[str, str], words: str) -> None:
    answer = swarm(client(), form)
    assert not answer.json["success"]
    assert words in answer.json["message"]


def test_a_run_that_goes_on_is_not_changed(client: Client) -> None:
    answer = swarm(client(state="running"), {})
    assert "under way" in answer.json["message"]


def test_users_cannot_be_reconfigured(client: Client) -> None:
    assert client().post("/user", json={"user_class_name": "Idle", "host": "x"}).status_code == 403


@pytest.mark.parametrize("name", ["evil.example:8089", "127.0.0.1.evil.example", "[::1", "192.0.2.7:8089"])
def test_a_page_that_rebinds_its_name_is_refused(client: Client, name: str) -> None:
    headers = {"Host": name, "Origin": f"http://{name}"}
    ours = client()
    ours.application.config["SERVER_NAME"] = None
    for path in ("/migration/status", "/stats/requests"):
        assert ours.get(path, headers=headers).status_code in (400, 403)
    assert ours.post("/stop", headers=headers).status_code in (400, 403)


@pytest.mark.parametrize("name", ["127.0.0.1:8089", "127.0.0.2", "localhost:8089", "[::1]:8089"])
def test_names_of_this_machine_are_served(client: Client, name: str) -> None:
    ours = client()
    ours.application.config["SERVER_NAME"] = None
    assert ours.get("/migration/status", headers={"Host": name}).status_code == 200


def test_a_page_bound_elsewhere_is_served_under_any_name(client: Client) -> None:
    ours = client(web_host="0.0.0.0")
    ours.application.config["SERVER_NAME"] = None
    assert ours.get("/migration/status", headers={"Host": "load.example"}).status_code == 200

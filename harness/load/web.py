"""The migration in Locust's web page: a tab, a page of its own, and a guard against other pages.

Locust's page answers the scripts of any page (open CORS) and takes commands without a token, so whatever page
is open in the same browser could start a migration. `install` adds a check of where a request comes from and
of the name it was sent to (a page that rebinds its own name to 127.0.0.1 counts as the same origin), and
freezes the settings that were made at start-up.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING

__all__ = ["install"]

Status = Callable[[], dict[str, object]]
"""What to show: the name of a row and its value, in order; text, numbers or None."""

_COMMANDS = ("/swarm", "/stop", "/stats/reset", "/user")
_FORM = frozenset(
    {
        *("user_count", "spawn_rate", "host", "run_time", "profile", "user_classes", "shape_class"),
        *("warmup_time", "baseline_time", "recover_time", "upgrade"),
    }
)
"""What the start form may set; everything else was decided at start-up."""


def install(environment: Environment, status: Status, report: Callable[[], Path | None]) -> None:
    """Add all of it to the web page of `environment`, from an `init` listener; without a page, do nothing.

    `status` is asked about once a second, `report` for the `report.html` of the last run that has one.
    """
    page = environment.web_ui
    if page is None or page.app is None:
        return
    base = _base_path(environment)
    page.app.before_request(lambda: _refuse(environment, base))
    page.app.after_request(lambda response: _with_rows(response, base, status))
    page.app.register_blueprint(_blueprint(page, base, status, report))
    page.template_args["extended_tabs"] = [{"title": "Migration", "key": "migration"}]
    page.template_args["extended_tables"] = [
        {"key": "migration", "structure": [{"key": "what", "title": ""}, {"key": "value", "title": "Now"}]}
    ]


def _base_path(environment: Environment) -> str:
    options = environment.parsed_options
    return ((options.web_base_path if options else None) or "").rstrip("/")


# the guard


def _refuse(environment: Environment, base: str) -> Response | None:
    """The answer to a request that is refused, None for one that may go on."""
    path = request.path.removeprefix(base)
    commands = path in _COMMANDS or request.method not in ("GET", "HEAD", "OPTIONS")
    if _rebound(environment) or _foreign(commands):
        return _refusal(403, "This request comes from another page, and is refused.")
    if path == "/user":
        return _refusal(403, "The settings of the users were made at start-up.")
    if path == "/swarm":
        return _refuse_settings(environment)
    return None


def _foreign(commands: bool) -> bool:
    """Whether another page makes this request; a link from one is harmless unless it commands."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return urlsplit(origin).netloc != request.host
    if not commands:
        return False
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return True
    referer = request.headers.get("Referer")
    return referer is not None and urlsplit(referer).netloc != request.host


def _rebound(environment: Environment) -> bool:
    """Whether a page that listens on this machine only was asked under a name that is not this machine's.

    Bound elsewhere, it is behind something of the person's own, whose names are not known here.
    """
    bound = getattr(environment.parsed_options, "web_host", None) or ""
    if not _is_loopback(bound):
        return False
    try:
        name = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return True
    return not _is_loopback(name) and name != bound.lower()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _refuse_settings(environment: Environment) -> Response | None:
    """Refuse a start that would change what was checked, or a run that goes on; the page shows why."""
    if environment.runner is not None and environment.runner.state in (STATE_SPAWNING, STATE_RUNNING):
        return _refusal(200, "A run is under way; stop it before you start another.")
    unknown = sorted(set(request.form) - _FORM)
    if unknown:
        return _refusal(403, f"{unknown[0]} can be set at start-up only.")
    host = request.form.get("host", "").rstrip("/")
    shown = environment.web_ui.template_args.get("host") if environment.web_ui else None
    if host and host not in ((known or "").rstrip("/") for known in (environment.host, shown)):
        return _refusal(403, "The host can be set at start-up only: restart with --host.")
    if request.form.get("run_time"):
        return _refusal(200, "The phases decide how long the run lasts; leave the run time empty.")
    return None


def _refusal(code: int, message: str) -> Response:
    response = jsonify({"success": False, "message": message})
    response.status_code = code
    return response


# what is shown


def _with_rows(response: Response, base: str, status: Status) -> Response:
    """Add the tab's rows to the numbers that Locust's page asks for every two seconds."""
    if request.path == f"{base}/stats/requests" and response.is_json:
        numbers = response.get_json()
        rows = [{"what": what, "value": _shown(value)} for what, value in status().items()]
        numbers["extended_stats"] = [{"key": "migration", "data": rows}]
        response.set_data(jsonify(numbers).get_data())
    return response


def _shown(value: object) -> str:
    return "–" if value is None else str(value)


def _blueprint(page: Any, base: str, status: Status, report: Callable[[], Path | None]) -> Blueprint:
    views = Blueprint("migration", __name__, url_prefix=f"{base}/migration")

    @views.get("/")
    @page.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def show() -> Response:
        return Response(_PAGE, mimetype="text/html")

    @views.get("/status")
    @page.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def say() -> Response:
        rows = [[what, _shown(value)] for what, value in status().items()]
        return jsonify({"rows": rows, "report": report() is not None})

    @views.get("/report")
    @page.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def last_report() -> Response:
        path = report()
        if path is None or not path.is_file():
            return Response("No run has a report yet.\n", 404, mimetype="text/plain")
        return Response(path.read_bytes(), mimetype="text/html")

    return views


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Migration under load</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }
  th { text-align: left; font-weight: 500; padding: .3rem 2rem .3rem 0; vertical-align: top; opacity: .7; }
  td { padding: .3rem 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
</style>
<h1>Migration under load</h1>
<table><tbody id="rows"></tbody></table>
<p id="report" hidden><a href="report">Report of the last run</a></p>
<p id="trouble" role="status"></p>
<p><a href="../">Start and stop, statistics and logs</a></p>
<script>
  const show = (id) => document.getElementById(id);
  const row = ([what, value]) => {
    const line = document.createElement("tr");
    for (const [tag, text] of [["th", what], ["td", value]]) {
      line.appendChild(document.createElement(tag)).textContent = text;
    }
    return line;
  };
  async function refresh() {
    try {
      const answer = await fetch("status", { cache: "no-store" });
      const status = await answer.json();
      show("rows").replaceChildren(...status.rows.map(row));
      show("report").hidden = !status.report;
      show("trouble").textContent = "";
    } catch (error) {
      show("trouble").textContent = "The load generator does not answer.";
    }
    setTimeout(refresh, 1000);
  }
  refresh();
</script>
</html>
"""

"""The report as one HTML file that opens offline, with an interactive timeline.

The timeline is drawn by Plotly: well kept, MIT licensed, several panels on one shared time axis with hover,
zoom and pan built in, and its Python wheel carries the whole browser library as one file. Only that file is
read; importing `plotly` costs half a second and is not needed. The library is 4.8 MB, so it is embedded as
base64 of gzip (2 MB) and inflated by the browser's `DecompressionStream`, which also works from `file://`.

Nothing in the page refers to the network. A Content-Security-Policy allows, of scripts, exactly the two
embedded here by their hashes, so even a name that slipped through escaping would not run.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from importlib.resources import files
from itertools import groupby

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from harness.report.statements import EFFECTS
from harness.report.view import View
from harness.report.wait_lane import WANTED

__all__ = ["render"]


def render(view: View) -> str:
    """The whole page; the same view gives the same page."""
    source, packed, plotly_hash = _plotly()
    script = _asset("report.js")
    used = {bar.style for bar in view.chart.statements}
    wanted = {bar.style for bar in view.chart.waits.bars}
    return _template().render(
        view=view,
        endpoints=[(name, list(rows)) for name, rows in groupby(view.endpoints, key=lambda m: m.name)],
        effects=[(key, words) for key, words in EFFECTS.items() if key in used],
        wanted=[(key, words) for key, words in WANTED.items() if key in wanted],
        style=Markup(_asset("report.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        data=_script_json(asdict(view.chart)),
        plotly=packed,
        plotly_version=source,
        hashes=f"'{_sha256(script.encode())}' '{plotly_hash}'",
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.from_string(_asset("report.html.j2"))


def _script_json(value: object) -> Markup:
    """JSON that is inert inside a script element: ASCII only, and without the signs that end or open one."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - escaped just above


@lru_cache(maxsize=1)
def _plotly() -> tuple[str, str, str]:
    """Plotly's name and version from its first lines, the library as base64 of gzip, and its hash."""
    library = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    version = library[:80].decode().split("*")[3].strip()
    packed = gzip.compress(library, compresslevel=9, mtime=0)
    return version, base64.b64encode(packed).decode(), _sha256(library)


def _asset(name: str) -> str:
    return (files("harness.report") / name).read_text(encoding="utf-8")


def _sha256(script: bytes) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}"

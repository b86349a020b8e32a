"""The report as a person opens it: from a file, in a real browser, without a network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.report import html
from harness.report.view import View
from tests.unit.report import sample

pytestmark = [pytest.mark.browser]

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def _opened(page: Path, profile: Path) -> str:
    """The document as the browser has it after its scripts ran."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "no Chromium on this machine: install it, or leave out -m browser"
    command = [browser, *QUIET, f"--user-data-dir={profile}", "--virtual-time-budget=10000", "--dump-dom"]
    result = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=90)
    return result.stdout


@pytest.mark.parametrize("view", [sample.red(), sample.green()], ids=["red", "green"])
def test_its_chart_is_drawn(view: View, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html.render(view), encoding="utf-8")
    shown = _opened(page, tmp_path / "profile")
    assert 'class="main-svg"' in shown
    assert "scatterlayer" in shown

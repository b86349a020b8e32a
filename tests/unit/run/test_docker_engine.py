"""No engine, or none that helps: told with what was tried, and that none is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SetupError
from harness.run.docker_engine import Engine


def refused(monkeypatch: pytest.MonkeyPatch, address: str) -> SetupError:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(SetupError) as error:
        Engine.connect("some-run")
    return error.value


def test_no_engine_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = refused(monkeypatch, f"unix://{tmp_path}/docker.sock")
    assert f"No Docker engine answers at unix://{tmp_path}/docker.sock" in error.message
    assert "systemctl start docker" in error.remedy
    assert "--services embedded" in error.remedy


@pytest.mark.parametrize("address", ["tcp://user:s3cr3t@build.example:2375", "ssh://build.example"])
def test_the_engine_of_another_machine(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    error = refused(monkeypatch, address)
    assert "build.example: the engine is not on this machine" in error.message
    assert "s3cr3t" not in str(error)


def test_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "docker", None)
    with pytest.raises(SetupError, match="pip install 'migrate-under-load"):
        Engine.connect("some-run")

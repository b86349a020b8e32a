import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from urllib.error import HTTPError, URLError

import pytest

from harness.errors import SetupError, UsageError
from harness.run import first_files as module
from harness.run.first_files import first_files, next_steps, read_document, write_files
from tests.unit.core.api_documents import crud

TREE = {"openapi": "3.1.0", "info": {"title": "Shop"}, "paths": crud()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(TREE))
    return path


def _served(monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception) -> None:
    def open_url(_url: str, _timeout_s: float) -> Any:
        if isinstance(answer, Exception):
            raise answer
        response = MagicMock()
        response.__enter__.return_value.read.return_value = answer
        return response

    monkeypatch.setattr(module, "open_url", open_url)


def test_document_is_read_from_a_file(file: Path) -> None:
    assert read_document(str(file)).title == "Shop"


def test_document_is_read_from_a_url_and_its_host_is_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    _served(monkeypatch, json.dumps(TREE).encode())
    url = "http://127.0.0.1:9000/openapi.json"
    files = first_files(read_document(url), url)
    assert files.given.host == "http://127.0.0.1:9000"


def test_password_of_the_url_is_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    _served(monkeypatch, json.dumps(TREE).encode())
    url = "http://user:hunter2@127.0.0.1:9000/openapi.json"
    files = first_files(read_document(url), url)
    assert files.given.host == "http://127.0.0.1:9000"
    assert not [name for name, text in files.texts.items() if "hunter2" in text]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"<!doctype html><html>", r"is a page of HTML.*/openapi\.json"),
        (b'{"swagger": "2.0"}', r"Swagger 2\.0"),
        (b"nothing", "is no JSON: Expecting value in line 1"),
        (HTTPError("u", 404, "", {}, None), "answered HTTP 404.*Give the URL of the document"),  # type: ignore[arg-type]
        (
            HTTPError("u", 307, "", {"Location": "http://127.0.0.1/docs"}, None),  # type: ignore[arg-type]
            "It leads to http://127.0.0.1/docs",
        ),
    ],
)
def test_url_without_a_document_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception, said: str
) -> None:
    _served(monkeypatch, answer)
    with pytest.raises(UsageError, match=said):
        read_document("http://127.0.0.1:9000/")


def test_url_where_nobody_answers_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    _served(monkeypatch, URLError(ConnectionRefusedError(111, "Connection refused")))
    with pytest.raises(SetupError, match=r"\(Connection refused\)\. Start the service first") as refused:
        read_document("http://user:hunter2@127.0.0.1:9000/openapi.json")
    assert "hunter2" not in str(refused.value)


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_document(str(tmp_path / "nothing.json"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_document(str(tmp_path / "binary"))


def test_yaml_needs_a_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "api.yaml").write_text("openapi: 3.0.3\npaths: {}\n")
    with pytest.raises(UsageError, match=r"YAML.*Give the document as JSON"):
        read_document(str(tmp_path / "api.yaml"))


def test_yaml_is_read_where_there_is_a_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = MagicMock()
    parser.safe_load.return_value = TREE
    monkeypatch.setitem(sys.modules, "yaml", parser)
    (tmp_path / "api.yaml").write_text("openapi: 3.1.0\n")
    assert read_document(str(tmp_path / "api.yaml")).title == "Shop"


def test_files_are_written_and_never_over_others(file: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    files = first_files(read_document(str(file)), str(file))
    write_files(files, project)
    assert {str(path.relative_to(project)) for path in project.rglob("*.*") if path.is_file()} == {
        "locustfile.py",
        "harness.toml",
        ".github/workflows/migration.yml",
    }
    (project / "harness.toml").write_text("mine")
    (project / "locustfile.py").unlink()
    with pytest.raises(UsageError, match=r"harness\.toml.*there already, so nothing was written.*--force"):
        write_files(files, project)
    assert not (project / "locustfile.py").exists()
    write_files(files, project, force=True)
    assert (project / "harness.toml").read_text() == files.texts["harness.toml"]


def test_ci_job_may_be_left_out(file: Path) -> None:
    files = first_files(read_document(str(file)), str(file), ci=False)
    assert list(files.texts) == ["locustfile.py", "harness.toml"]


def test_next_steps_end_with_the_command(file: Path) -> None:
    files = first_files(read_document(str(file)), str(file), database="store")
    steps = list(next_steps(files))
    assert steps[0].startswith("Look for DECIDE first: ")
    assert steps[-2].endswith("postgresql://USER:PASSWORD@127.0.0.1/store")
    assert steps[-1].strip() == "locust -f locustfile.py --headless"


def test_documents_own_server_is_the_host_of_a_file(tmp_path: Path) -> None:
    tree = {**TREE, "servers": [{"url": "https://staging.example/api"}]}
    path = tmp_path / "api.json"
    path.write_text(json.dumps(tree))
    files = first_files(read_document(str(path)), str(path))
    assert files.given.host == "https://staging.example"
    assert '"/api/items"' in files.texts["locustfile.py"]

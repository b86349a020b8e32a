"""The service of a locustfile that names it in its classes."""

from __future__ import annotations

import pytest
from locust import User

from harness.errors import UsageError
from harness.load.host import host_of


def a_user(name: str, host: str | None) -> type[User]:
    return type(name, (User,), {"host": host, "abstract": True})


def test_the_classes_own_host_is_taken() -> None:
    users = [a_user("A", "http://127.0.0.1:8000"), a_user("B", None), a_user("C", "http://127.0.0.1:8000")]
    assert host_of(users) == "http://127.0.0.1:8000"


def test_without_one_there_is_none() -> None:
    assert host_of([a_user("A", None), a_user("B", "")]) is None


def test_several_are_refused_by_the_classes_names() -> None:
    with pytest.raises(UsageError, match=r"http://a \(A\), http://b \(B\).*--host"):
        host_of([a_user("B", "http://b"), a_user("A", "http://a")])

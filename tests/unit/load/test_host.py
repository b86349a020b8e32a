"""The service that a locustfile is about."""

from __future__ import annotations

import pytest
from locust import FastHttpUser, HttpUser, User

from harness.errors import UsageError
from harness.load.host import service_of


def a_user(name: str, host: str | None, kind: type[User] = HttpUser) -> type[User]:
    return type(name, (kind,), {"host": host, "abstract": True})


def test_the_flag_goes_before_the_classes() -> None:
    assert service_of([a_user("A", "http://a")], "http://b") == "http://b"


def test_the_classes_own_host_is_taken() -> None:
    users = [a_user("A", "http://127.0.0.1:8000"), a_user("B", None), a_user("C", "http://127.0.0.1:8000")]
    assert service_of(users, None) == "http://127.0.0.1:8000"


def test_without_one_there_is_none() -> None:
    assert service_of([a_user("A", None), a_user("B", "", User)], None) is None


def test_several_are_refused_by_the_classes_names() -> None:
    with pytest.raises(UsageError, match=r"http://a \(A\), http://b \(B\).*--host"):
        service_of([a_user("B", "http://b"), a_user("A", "http://a")], None)


@pytest.mark.parametrize("host", ["127.0.0.1:50051", "grpc://127.0.0.1:50051/shop", "tcp://127.0.0.1:50051"])
def test_a_service_of_another_protocol_is_told_by_its_users(host: str) -> None:
    assert service_of([a_user("Grpc", host, User)], None) == "tcp://127.0.0.1:50051"
    assert service_of([a_user("Grpc", None, User)], host) == "tcp://127.0.0.1:50051"
    assert service_of([a_user("A", host, FastHttpUser)], None) == host


def test_users_of_another_protocol_may_go_to_an_http_service() -> None:
    assert service_of([a_user("Own", "https://a", User)], None) == "https://a"

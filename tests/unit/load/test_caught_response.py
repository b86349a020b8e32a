from typing import Any

import pytest
from locust.exception import LocustError, RescheduleTask, ResponseError
from locust.user.users import RestMixin

from harness.load.caught_response import CaughtResponse
from harness.load.http_response import Response


class Settled:
    """How requests were recorded."""

    def __init__(self) -> None:
        self.causes: list[str] = []

    def __call__(self, response: Response, cause: str) -> None:
        self.causes.append(cause)


@pytest.fixture
def settled() -> Settled:
    return Settled()


def caught(settled: Settled, status: int = 200, content: bytes = b'{"a": 1}') -> CaughtResponse:
    cause = "" if status < 300 else f"HTTP {status}"
    return CaughtResponse(Response(status, content, [(b"x", b"y")], url="http://h/a"), cause, settled)


def test_request_is_recorded_when_its_block_ends_as_its_answer_has_it(settled: Settled) -> None:
    with caught(settled) as response:
        assert (response.status_code, response.json(), response.headers["X"]) == (200, {"a": 1}, "y")
        assert settled.causes == []
    with caught(settled, 404):
        pass
    assert settled.causes == ["", "HTTP 404"]


def test_the_task_may_say_otherwise_and_its_last_word_counts(settled: Settled) -> None:
    with caught(settled, 404) as response:
        response.success()
    with caught(settled) as response:
        response.success()
        response.failure("total of 12345 is wrong")
    with caught(settled) as response:
        response.failure(KeyError("total"))
    with caught(settled) as response:
        response.failure("")
    assert settled.causes == ["", "total of # is wrong", "KeyError", "failed"]


def test_an_exception_leaves_the_block_and_the_request_is_recorded(settled: Settled) -> None:
    with pytest.raises(KeyError), caught(settled):
        raise KeyError("a")
    with pytest.raises(RescheduleTask), caught(settled, 500):
        raise RescheduleTask
    assert settled.causes == ["", "HTTP 500"]


def test_a_response_error_in_the_block_is_a_failure_and_ends_there(settled: Settled) -> None:
    with caught(settled):
        raise ResponseError("no total")
    with caught(settled, 404) as response:
        response.raise_for_status()
    assert settled.causes == ["ResponseError", "HTTP 404"]


def test_a_request_whose_block_was_forgotten_is_recorded_all_the_same(settled: Settled) -> None:
    assert caught(settled, 503).status_code == 503
    assert settled.causes == ["HTTP 503"]


@pytest.mark.parametrize(
    "say", [lambda response: response.success(), lambda response: response.failure("no")]
)
def test_outside_of_a_block_nothing_can_be_said(settled: Settled, say: Any) -> None:
    response = caught(settled)
    with pytest.raises(LocustError, match="catch_response=True"):
        say(response)
    with response:
        pass
    with pytest.raises(LocustError, match="catch_response=True"):
        say(response)
    assert settled.causes == [""]


def refuse(_: CaughtResponse) -> None:
    raise AssertionError("another a")


def test_rest_parses_the_answer(settled: Settled) -> None:
    class Client:
        def request(self, *_: object, catch_response: bool, **more: object) -> CaughtResponse:
            assert catch_response
            return self.answer

        answer: CaughtResponse

    user: Any = RestMixin()
    user.client = Client()
    user.client.answer = caught(settled)
    with user.rest("GET", "/a") as response:
        assert response.js == {"a": 1}
    user.client.answer = caught(settled, content=b"no json")
    with user.rest("GET", "/a") as response:
        assert response.js is None
    user.client.answer = caught(settled)
    with user.rest("GET", "/a") as response:
        refuse(response)
    assert settled.causes[0] == ""
    assert settled.causes[1].startswith("Could not parse response as JSON")
    assert settled.causes[2] == "another a"

"""A service without a wire: answers what a login sends, from a script, and keeps what it was asked."""

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from harness.core.accounts import Account
from harness.load import http_response
from harness.load.auth import Auth, Login
from harness.load.client import MeasuredSession

ANN = Account("ann@example.org", "correct horse battery staple", {"id": 7, "tenant": "north", "token": "t-1"})


class Response(http_response.Response):
    """A response that never was on a wire."""

    def __init__(self, status: int = 200, body: Any = None, headers: Sequence[tuple[str, str]] = ()) -> None:
        text = body if isinstance(body, str) else json.dumps(body if body is not None else {})
        lines = [(name.lower().encode(), value.encode()) for name, value in headers]
        super().__init__(status, text.encode(), lines)


Route = Response | Callable[[dict[str, Any]], Response]


class Service:
    """Answers by method and path; 404 elsewhere. A list is given out in turn; its last stays."""

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def __setitem__(self, route: str, answer: Route | list[Route]) -> None:
        self.routes[route] = answer

    def send(self, method: str, path: str, **payload: Any) -> Response:
        payload.pop("reader", None)
        self.asked.append((method, path, payload))
        answer = self.routes.get(f"{method} {path}", Response(404))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        return cast(Response, answer if isinstance(answer, Response) else answer(payload))

    @property
    def calls(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.asked]

    @property
    def last(self) -> dict[str, Any]:
        return self.asked[-1][2]


class Jar:
    def clear(self) -> None: ...


class Session:
    """What a Login needs of a session."""

    cookiejar = Jar()


def login(auth: Auth, account: Account = ANN, renew_share: float = 0.8) -> Login:
    return Login(auth, account, cast(MeasuredSession, Session()), renew_share)

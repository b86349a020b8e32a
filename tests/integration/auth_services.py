"""Small services that check who asks, as the usual frameworks do; each runs in a thread."""

import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import flask
import jwt
import uvicorn
from fastapi import Body, Depends, FastAPI, Header, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from werkzeug.serving import make_server

from harness.core.accounts import Account

ANN = Account("ann@example.org", "correct horse battery staple", {"token": "key-of-ann", "id": 1})
KEY = "k" * 32


@dataclass
class Book:
    """What the service with tokens knows."""

    passwords: dict[str, str] = field(default_factory=lambda: {ANN.name: ANN.password})
    refresh_tokens: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    deaf: bool = False  # whether every token is refused
    life_s: float = 300.0
    logins: int = 0
    refreshes: int = 0

    def issue(self, name: str) -> str:
        exp = datetime.now(UTC) + timedelta(seconds=self.life_s)
        return jwt.encode({"sub": name, "exp": exp, "jti": secrets.token_hex(4)}, KEY, "HS256")

    def check(self, name: str, password: str) -> None:
        self.logins += 1
        if self.passwords.get(name) != password:
            raise HTTPException(400, "Incorrect email or password")

    def owner(self, token: str) -> str:
        try:
            name: str = jwt.decode(token, KEY, algorithms=["HS256"])["sub"]
        except jwt.InvalidTokenError:
            raise HTTPException(401, "Could not validate credentials") from None
        if self.deaf or token in self.revoked:
            raise HTTPException(401, "revoked")
        return name


def token_app(book: Book) -> FastAPI:
    """A service with tokens, as FastAPI's scaffolds make it."""
    app = FastAPI()
    bearer = OAuth2PasswordBearer(tokenUrl="/api/v1/login/access-token")

    @app.post("/api/v1/login/access-token")
    def grant(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
        book.check(form.username, form.password)
        return {"access_token": book.issue(form.username), "token_type": "bearer"}

    @app.post("/auth/login")
    def log_in(email: Annotated[str, Body()], password: Annotated[str, Body()]) -> dict[str, Any]:
        book.check(email, password)
        refresh = secrets.token_hex(8)
        book.refresh_tokens.add(refresh)
        return {"data": {"token": book.issue(email), "refresh": refresh}}

    @app.post("/auth/refresh")
    def refresh(authorization: Annotated[str, Header()]) -> dict[str, Any]:
        book.refreshes += 1
        if authorization.removeprefix("Bearer ") not in book.refresh_tokens:
            raise HTTPException(401, "unknown refresh token")
        return {"data": {"token": book.issue(ANN.name)}}

    @app.post("/users/signup", status_code=201)
    def sign_up(email: Annotated[str, Body()], password: Annotated[str, Body()]) -> dict[str, str]:
        if email in book.passwords:
            raise HTTPException(400, "The user with this email already exists")
        book.passwords[email] = password
        return {"email": email}

    @app.post("/always-fine")
    def fine() -> dict[str, str]:
        return {"status": "error", "detail": "hush"}

    @app.get("/items")
    def items(token: Annotated[str, Depends(bearer)]) -> dict[str, str]:
        return {"owner": book.owner(token)}

    @app.get("/keyed")
    def keyed(x_api_key: Annotated[str, Header()] = "") -> dict[str, str]:
        if x_api_key != ANN.columns["token"]:
            raise HTTPException(401, "no such key")
        return {"owner": ANN.name}

    return app


@dataclass
class Door:
    """The server's side of the service with sessions; `epoch` ends all of them when it changes."""

    epoch: int = 1
    logins: int = 0
    written: list[str] = field(default_factory=list)


def session_app(door: Door) -> flask.Flask:
    """A service with a session cookie and a CSRF token, as Flask and Flask-WTF make it."""
    app = flask.Flask(__name__)
    app.secret_key = KEY

    def token() -> str:
        made: str = flask.session.setdefault("csrf", secrets.token_hex(8))
        return made

    def bears_the_token() -> bool:
        sent = flask.request.headers.get("X-CSRFToken") or flask.request.form.get("csrf_token")
        return sent == flask.session.get("csrf")

    @app.get("/login")
    def form() -> str:
        return f'<form method=post><input type="hidden" name="csrf_token" value="{token()}"></form>'

    @app.post("/login")
    def log_in() -> Any:
        sent = flask.request.form
        if not bears_the_token():
            flask.abort(400)
        if (sent["username"], sent["password"]) != (ANN.name, ANN.password):
            return form()
        door.logins += 1
        flask.session["epoch"] = door.epoch
        return flask.redirect("/items")

    @app.get("/items")
    def read() -> Any:
        if flask.session.get("epoch") != door.epoch:
            return flask.redirect("/login?next=/items")
        return {"csrf": token()}

    @app.post("/items")
    def write() -> Any:
        if flask.session.get("epoch") != door.epoch or not bears_the_token():
            flask.abort(403)
        door.written.append(flask.request.form["title"])
        return {}, 201

    return app


@contextmanager
def serving_tokens(book: Book) -> Iterator[str]:
    """The address of the service with tokens."""
    server = uvicorn.Server(uvicorn.Config(token_app(book), log_level="warning", ws="none"))
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        _running(lambda: server.run(sockets=[listener]), lambda: setattr(server, "should_exit", True)),
    ):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serving_sessions(door: Door) -> Iterator[str]:
    """The address of the service with sessions."""
    server = make_server("127.0.0.1", 0, session_app(door), threaded=True)
    with _running(lambda: server.serve_forever(poll_interval=0.02), server.shutdown):
        yield f"http://127.0.0.1:{server.server_port}"
    server.server_close()


@contextmanager
def _running(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(timeout=10)
    assert not thread.is_alive()

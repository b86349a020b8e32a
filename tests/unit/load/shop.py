"""A service without a wire: accounts with tokens, each with documents of its own; careless on demand."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from gevent.queue import Queue
from jwt.algorithms import ECAlgorithm

from harness.core.accounts import Account
from harness.core.bodies import canary, new_id
from harness.core.declaration import Declaration
from harness.load.accounts import Actor
from harness.load.auth import Login
from harness.load.client import MeasuredSession
from harness.load.token_auth import BearerAuth, PasswordGrant, Revoke
from harness.load.websocket import Refused, WebSocketEnded
from tests.unit.load.answers import Jar, Response

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
OTHER_PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

AUTH = PasswordGrant(
    "/token", revoke=Revoke("/revoke"), read_scope="read", jwks="/jwks", leeway_s=5.0, signing_key="SHOP_KEY"
)
DOCUMENTS = Declaration(
    "/documents",
    create={"id": new_id, "title": canary},
    version="version",
    page="limit/after",
    created={201},
    refusals={404},
)


@dataclass
class Shop:
    """`careless` holds what it does not check: whose a record is when it is to `read`, `list`, `update` or
    `delete` it; that the id of a `body` is that of the path; that an id is taken (`upsert`); of a token its
    `signature`, `none`, `confusion`, `expiry`, `audience`, `issuer`, `scope`, `revocation`, or anything
    (`token`). It may also `tell` in its refusals what it refuses, and `push` to all what changes, or keep
    `sessions`: take no token but those that it has issued.
    """

    careless: set[str] = field(default_factory=set)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    issued: set[str] = field(default_factory=set)
    life_s: int = 300
    asked: list[str] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)
    """The status with which a method and path is answered in any case, by their beginning."""
    sockets: list[ShopSocket] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    """Of the tokens by which they were opened."""

    def actor(self, name: str, auth: BearerAuth = AUTH, resource: Declaration = DOCUMENTS) -> Actor:
        """An account that is logged in."""
        login = Login(auth, Account(name, "secret"), cast(MeasuredSession, ShopSession(self)))
        login.credentials(login.session.unrecorded)
        return Actor(login, (resource,), "/documents")

    def answer(self, method: str, url: str, payload: dict[str, Any]) -> Response:
        path, _, query = url.partition("?")
        self.asked.append(f"{method} {path}")
        for beginning, status in self.failing.items():
            if f"{method} {path}".startswith(beginning):
                return Response(status)
        match method, path:
            case "POST", "/token":
                scope = payload["data"].get("scope") or "read write"
                return Response(200, {"access_token": self.issue(payload["data"]["username"], scope)})
            case "POST", "/revoke":
                self.revoked.add(payload["data"]["token"])
                return Response(200)
            case "GET", "/jwks":
                return Response(200, {"keys": [ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)]})
        claims = self._claims(payload.get("headers", {}).get("Authorization", "").removeprefix("Bearer "))
        if claims is None:
            return Response(401, {"detail": "no such token"})
        if method != "GET" and "write" not in claims["scope"] and "scope" not in self.careless:
            return Response(403, {"detail": "read only"})
        return self._documents(method, path, query, claims["sub"], payload.get("json") or {})

    def issue(self, name: str, scope: str = "read write") -> str:
        now = int(time.time())
        claims = {
            "sub": name,
            "aud": "shop",
            "iss": "us",
            "iat": now,
            "exp": now + self.life_s,
            "scope": scope,
        }
        token = jwt.encode({**claims, "jti": secrets.token_hex(4)}, KEY, "ES256")
        self.issued.add(token)
        return token

    def _claims(self, token: str) -> dict[str, Any] | None:
        if "token" in self.careless:
            return {"sub": "ann", "scope": "read write"}
        if "sessions" in self.careless and token not in self.issued:
            return None
        if token in self.revoked and "revocation" not in self.careless:
            return None
        try:
            return self._verified(token)
        except jwt.PyJWTError:
            return None

    def _verified(self, token: str) -> dict[str, Any]:
        checked: Any = {
            f"verify_{claim}": what not in self.careless
            for claim, what in (("exp", "expiry"), ("aud", "audience"), ("iss", "issuer"))
        }
        algorithm = str(jwt.get_unverified_header(token).get("alg"))
        if "signature" in self.careless and algorithm == "ES256":
            return jwt.decode(token, options={"verify_signature": False})
        if "none" in self.careless and algorithm.lower() == "none":
            return jwt.decode(token, options={"verify_signature": False})
        if "confusion" in self.careless and algorithm == "HS256":
            key = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
            signed, _, signature = token.rpartition(".")
            if key.verify(signed.encode(), PUBLIC, jwt.utils.base64url_decode(signature)):
                return jwt.decode(token, options={"verify_signature": False})
        return jwt.decode(token, KEY.public_key(), ["ES256"], audience="shop", issuer="us", options=checked)

    def connect(self, url: str, headers: dict[str, str], **_: Any) -> ShopSocket:
        """As `load/websocket.connect`."""
        self.asked.append(f"WS {url}")
        if "GET /ws" in self.failing:
            raise Refused(f"HTTP {self.failing['GET /ws']}", self.failing["GET /ws"])
        claims = self._claims(headers.get("Authorization", "").removeprefix("Bearer "))
        if claims is None:
            raise Refused("HTTP 401", 401)
        self.claims.append(claims)
        self.sockets.append(ShopSocket("" if "deaf" in self.careless else claims["sub"]))
        return self.sockets[-1]

    def _documents(self, method: str, path: str, query: str, who: str, body: dict[str, Any]) -> Response:
        if not path.startswith("/documents"):
            return Response(404)
        id_ = path.removeprefix("/documents").strip("/")
        if not id_:
            return self._list(query, who) if method == "GET" else self._create(who, body)
        found = self.documents.get(id_)
        does = {"GET": "read", "PUT": "update", "DELETE": "delete"}[method]
        if found is None or (found["owner"] != who and does not in self.careless):
            told = found if found is not None and "tell" in self.careless else {"detail": "no such document"}
            return Response(404, told)
        if method == "DELETE":
            del self.documents[id_]
            return Response(204)
        if method == "PUT":
            if "body" in self.careless:
                found = self.documents[body.get("id", id_)]
            if body["version"] != found["version"]:
                return Response(409)
            found |= {"title": body["title"], "version": found["version"] + 1}
        return Response(200, found)

    def _list(self, query: str, who: str) -> Response:
        after = dict(part.split("=") for part in query.split("&") if part).get("after", "")
        mine = sorted(
            (d for d in self.documents.values() if d["owner"] == who or "list" in self.careless),
            key=lambda document: str(document["id"]),
        )
        return Response(200, {"items": [document for document in mine if document["id"] > after]})

    def _create(self, who: str, body: dict[str, Any]) -> Response:
        id_ = str(body.get("id") or uuid.uuid4())
        if id_ in self.documents and "upsert" not in self.careless:
            return Response(409)
        owner = self.documents[id_]["owner"] if id_ in self.documents else who
        self.documents[id_] = {"id": id_, "title": body["title"], "version": 1, "owner": owner}
        for open_ in self.sockets:
            if open_.account == owner or "push" in self.careless:
                open_.push({"document": id_, "canary": f"canary:{owner}"})
        return Response(201, {"id": id_})


class ShopSocket:
    """An open stream of an account's changes."""

    def __init__(self, account: str) -> None:
        self.account = account
        self._messages: Any = Queue()
        self.push({"last_seq": 0, "account": account})

    def push(self, message: dict[str, Any]) -> None:
        self._messages.put(json.dumps(message))

    def say(self, text: str) -> None:
        self.account = json.loads(text)["subscribe"]

    def receive(self) -> str:
        message: str | None = self._messages.get()
        if message is None:
            raise WebSocketEnded("closed with 1000", 1000)
        return message

    def close(self) -> None:
        self._messages.put(None)


class ShopSession:
    """What a Login, and probes, need of a session."""

    base_url = "http://127.0.0.1:1"
    verified = True
    cookiejar = Jar()

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def another(self) -> ShopSession:
        return ShopSession(self._shop)

    def close(self) -> None: ...

    def unrecorded(self, method: str, url: str, **payload: Any) -> Response:
        return self._shop.answer(method, url, json.loads(json.dumps(payload, default=str)))

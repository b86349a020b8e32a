"""HTTP from the controller to the service under test itself, never by a proxy or a redirect."""

from __future__ import annotations

import urllib.request
from http.client import HTTPResponse
from typing import Any

__all__ = ["open_url"]


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer; following it could lead to a host that no guard has seen."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)


def open_url(request: str | urllib.request.Request, timeout_s: float) -> HTTPResponse:
    """The answer; raises HTTPError for a status from 300 on, OSError or HTTPException without an answer."""
    response: HTTPResponse = _opener.open(request, timeout=timeout_s)
    return response

from typing import Any

import pytest

from harness.load.auth import LoginError
from harness.load.cookie_auth import CookieSession, Csrf, changed, hidden_field
from tests.unit.load.answers import ANN, Response, Service, login

PAGE = '<form><input type="hidden" name="csrf_token" value="from-page"><input name="username"></form>'


def _cookies(*lines: str, status: int = 200, body: Any = None, to: str | None = None) -> Response:
    headers = [("Set-Cookie", line) for line in lines] + ([("Location", to)] if to else [])
    return Response(status, body, headers)


def test_form_login_keeps_the_session_cookie() -> None:
    service = Service()
    service["POST /login"] = _cookies("session=abc; Path=/; HttpOnly", status=302, to="/")
    assert login(CookieSession("/login")).headers(service.send) == {"Cookie": "session=abc"}
    assert service.last["data"] == {"username": "ann@example.org", "password": ANN.password}


def test_json_login_by_other_fields() -> None:
    service = Service()
    service["POST /login"] = _cookies("sid=abc", status=204)
    auth = CookieSession("/login", json=True, cookie="sid", username="email", extra={"tenant": "{tenant}"})
    assert login(auth).headers(service.send) == {"Cookie": "sid=abc"}
    assert service.last["json"] == {"email": "ann@example.org", "password": ANN.password, "tenant": "north"}


def test_token_in_a_cookie_is_sent_back_as_a_header_and_follows_the_login() -> None:
    """As Django does: the cookie is set by the login page, and made anew by the login."""
    service = Service()
    service["GET /login"] = _cookies("csrftoken=before")
    service["POST /login"] = _cookies("csrftoken=after", "sessionid=s", status=302, to="/")
    csrf = Csrf(cookie="csrftoken", page="/login", header="X-CSRFToken")
    ours = login(CookieSession("/login", cookie="sessionid", csrf=csrf))
    assert ours.headers(service.send, "POST") == {
        "Cookie": "csrftoken=after; sessionid=s",
        "X-CSRFToken": "after",
    }
    assert service.last["headers"] == {"Cookie": "csrftoken=before", "X-CSRFToken": "before"}
    assert "X-CSRFToken" not in ours.headers(service.send, "GET")


def test_hidden_field_of_the_login_page_is_sent_back_as_a_field() -> None:
    """As Flask-WTF does: the token goes with the session that the page began."""
    service = Service()
    service["GET /login"] = _cookies("session=anonymous", body=PAGE)
    service["POST /login"] = _cookies("session=ann", status=302, to="/home")
    ours = login(CookieSession("/login", csrf=Csrf(field="csrf_token", page="/login")))
    credentials = ours.credentials(service.send)
    assert service.last["data"]["csrf_token"] == "from-page"
    assert service.last["headers"] == {"Cookie": "session=anonymous"}
    assert credentials.signed("POST", {"data": {"title": "t"}}) == {
        "data": {"csrf_token": "from-page", "title": "t"},
        "headers": {"Cookie": "session=ann"},
    }


def test_token_of_a_page_after_the_login_takes_the_place_of_the_first() -> None:
    service = Service()
    service["GET /login"] = _cookies("s=1", body=PAGE)
    service["POST /login"] = _cookies("s=2", status=303, to="/home")
    service["GET /home"] = Response(200, '<meta name="csrf_token" content="from-home">')
    csrf = Csrf(field="csrf_token", page="/login", page_after="/home", header="X-CSRF-Token")
    ours = login(CookieSession("/login", csrf=csrf))
    assert ours.headers(service.send, "PUT")["X-CSRF-Token"] == "from-home"
    assert service.last["headers"] == {"Cookie": "s=2"}


def test_token_in_a_header_of_the_answer() -> None:
    service = Service()
    service["POST /login"] = Response(200, {}, [("Set-Cookie", "s=1"), ("X-CSRF-Token", "abc")])
    csrf = Csrf(answer_header="X-CSRF-Token", header="X-CSRF-Token")
    ours = login(CookieSession("/login", json=True, csrf=csrf))
    assert ours.headers(service.send, "POST") == {"Cookie": "s=1", "X-CSRF-Token": "abc"}


@pytest.mark.parametrize(
    ("auth", "response", "says"),
    [
        (CookieSession("/login"), Response(200, PAGE), r"HTTP 200: the form was shown again"),
        (
            CookieSession("/login"),
            _cookies("s=1", status=302, to="/login?e=1"),
            r"redirect back",
        ),
        (CookieSession("/login"), Response(302, {}, [("Location", "/")]), r"HTTP 302 without a cookie"),
        (
            CookieSession("/login", cookie="sid"),
            _cookies("flash=1", status=302, to="/"),
            r"HTTP 302 without the cookie sid",
        ),
        (CookieSession("/login", json=True), Response(401), r"HTTP 401"),
        (CookieSession("/login"), Response(429), r"rate limited \(HTTP 429\)"),
        (CookieSession("/nowhere"), Response(404), r"HTTP 404"),
        (
            CookieSession("/login", json=True, csrf=Csrf(cookie="csrf", header="X")),
            _cookies("s=1"),
            r"HTTP 200 without a CSRF token",
        ),
        (
            CookieSession("/login", csrf=Csrf(field="csrf", page="/login")),
            _cookies("s=1"),
            r"GET /login has no CSRF token",
        ),
        (
            CookieSession("/login", csrf=Csrf(field="c", page="/no")),
            _cookies("s=1"),
            r"GET /no failed: HTTP 404",
        ),
    ],
)
def test_login_that_did_not_work_says_why(auth: CookieSession, response: Response, says: str) -> None:
    service = Service()
    service["POST /login"] = response
    service["GET /login"] = Response(200, "<form></form>")
    with pytest.raises(LoginError, match=says) as raised:
        login(auth).credentials(service.send)
    assert ANN.password not in str(raised.value)


def test_cookies_that_an_answer_changes_are_used_from_then_on() -> None:
    service = Service()
    service["POST /login"] = _cookies("s=1", "csrf=a", status=204)
    ours = login(CookieSession("/login", json=True, csrf=Csrf(cookie="csrf", header="X-CSRF")))
    first = ours.credentials(service.send)
    ours.answered(first, _cookies("s=2", "csrf=b"))
    assert ours.headers(service.send, "POST") == {"Cookie": "s=2; csrf=b", "X-CSRF": "b"}


def test_redirect_to_the_login_page_refuses_the_session() -> None:
    auth = CookieSession("/login")
    assert auth.refuses(Response(302, {}, [("Location", "http://127.0.0.1:8000/login?next=/items")]))
    assert auth.refuses(Response(401))
    assert not auth.refuses(Response(302, {}, [("Location", "/items/7")]))
    assert not auth.refuses(Response(403))


def test_set_cookie_lines_are_applied_in_order() -> None:
    before = {"a": "1", "b": "2", "c": "3"}
    response = _cookies("a=9; Path=/; Secure", "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "c=4; Max-Age=0")
    assert changed(before, response) == {"a": "9"}


@pytest.mark.parametrize(
    ("html", "value"),
    [
        ('<input value="v" name=csrf type=hidden>', "v"),
        ('<meta name="csrf" content="m&amp;n"/>', "m&n"),
        ('<textarea name="csrf">t</textarea>', None),
        ('<input name="csrf">', None),
        ("", None),
    ],
)
def test_hidden_field_is_found_whatever_the_order_of_its_attributes(html: str, value: str | None) -> None:
    assert hidden_field(html, "csrf") == value


@pytest.mark.parametrize(
    "wrong", [{}, {"cookie": "a", "field": "b", "page": "/"}, {"cookie": "a"}, {"field": "a"}]
)
def test_csrf_that_contradicts_itself_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(TypeError, match=r"Csrf\(.*takes"):
        Csrf(**wrong)

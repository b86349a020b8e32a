import pytest

from harness.load.http_cookies import Cookies

URL = "http://127.0.0.1:8000/shop/cart"


def taken(*set_cookies: bytes, url: str = URL) -> Cookies:
    cookies = Cookies()
    cookies.take([(b"content-type", b"text/html"), *((b"set-cookie", one) for one in set_cookies)], url)
    return cookies


def test_what_a_service_sets_goes_with_the_next_request() -> None:
    cookies = taken(b"session=s1; Path=/; HttpOnly", b"theme=dark; Path=/")
    assert cookies.holds_any
    assert cookies.header(URL) == "session=s1; theme=dark"


def test_no_cookies_are_none() -> None:
    assert not taken().holds_any
    assert taken().header(URL) is None


@pytest.mark.parametrize(
    ("set_cookie", "url", "sent"),
    [
        (b"a=1; Path=/shop", "http://127.0.0.1:8000/shop/x", True),
        (b"a=1; Path=/shop", "http://127.0.0.1:8000/other", False),
        (b"a=1; Path=/", "http://127.0.0.2:8000/shop", False),
        (b"a=1; Path=/; Secure", "http://127.0.0.1:8000/", True),
        (b"a=1; Path=/; Domain=elsewhere.example", "http://elsewhere.example/", False),
        (b"a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", URL, False),
    ],
)
def test_a_cookie_goes_where_it_belongs(set_cookie: bytes, url: str, sent: bool) -> None:
    assert (taken(set_cookie).header(url) is not None) is sent


def test_a_cookie_that_ends_is_forgotten() -> None:
    cookies = taken(b"a=1; Path=/", b"b=2; Path=/")
    cookies.take([(b"set-cookie", b"a=; Path=/; Max-Age=0")], URL)
    assert cookies.header(URL) == "b=2"
    cookies.clear()
    assert not cookies.holds_any
    assert cookies.header(URL) is None


def test_what_is_no_cookie_is_passed_over() -> None:
    cookies = taken(b"", b";;;", b"=", b"a=1; Expires=never; Path=/", b"\xff=\xfe; Path=/")
    assert "a=1" in str(cookies.header(URL))

"""Which service a locustfile is about, as Locust finds it: by `--host`, else by the `host` of its classes."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from locust.user import User
from locust.user.users import RestMixin

from harness.errors import UsageError

__all__ = ["service_of"]


def service_of(classes: Iterable[type[User]], given: str | None) -> str | None:
    """The base URL of the service; None when neither `--host`, which is `given`, nor a class names one.

    Where no class speaks HTTP, a host of another protocol becomes `tcp://host:port`. Raises UsageError when
    the classes name several: a run is about one service.
    """
    users = tuple(classes)
    host = given or _host_of(users)
    if host is None or any(issubclass(user, RestMixin) for user in users):
        return host
    parts = urlsplit(host if "://" in host else f"//{host}")
    return host if parts.scheme in ("http", "https") else f"tcp://{parts.netloc}"


def _host_of(users: Iterable[type[User]]) -> str | None:
    hosts = {user.host: user.__name__ for user in users if user.host}
    if len(hosts) > 1:
        raise UsageError(
            "The user classes have several hosts: "
            f"{', '.join(f'{host} ({name})' for host, name in sorted(hosts.items()))}.",
            "Say with --host which service the run is about; users with full URLs still go elsewhere.",
        )
    return next(iter(hosts), None)

"""Where the users go when no flag says it: to the `host` of their classes, as in Locust."""

from __future__ import annotations

from collections.abc import Iterable

from locust.user import User

from harness.errors import UsageError

__all__ = ["host_of"]


def host_of(classes: Iterable[type[User]]) -> str | None:
    """The `host` that the user classes have, None when none has one.

    Raises UsageError when they have several: a run is about one service.
    """
    hosts = {user.host: user.__name__ for user in classes if user.host}
    if len(hosts) > 1:
        raise UsageError(
            "The user classes have several hosts: "
            f"{', '.join(f'{host} ({name})' for host, name in sorted(hosts.items()))}.",
            "Say with --host which service the run is about; users with full URLs still go elsewhere.",
        )
    return next(iter(hosts), None)

"""The code that master and workers must share: with other code a worker makes other load."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import __version__
from harness.errors import SetupError

__all__ = ["Code"]


@dataclass(frozen=True)
class Code:
    """The harness's release, and a digest of the source of each class of users by its name, "" if unknown."""

    harness: str
    users: Mapping[str, str]

    @classmethod
    def of(cls, user_classes: Sequence[type]) -> Code:
        """The code of this process."""
        return cls(__version__, {user.__name__: _digest(user) for user in user_classes})

    def as_message(self) -> dict[str, Any]:
        """The code as a part of a message."""
        return {"harness": self.harness, "users": dict(self.users)}

    def check(self, masters: Mapping[str, Any]) -> None:
        """Raise SetupError unless this worker has the master's code; it may have further users."""
        if self.harness != masters["harness"]:
            raise SetupError(
                f"it has release {self.harness} of the harness, the master has {masters['harness']}.",
                "Install the same release on both.",
            )
        absent = [name for name in masters["users"] if name not in self.users]
        other = [
            name
            for name, digest in masters["users"].items()
            if digest and self.users.get(name) and self.users[name] != digest
        ]
        for names, what in ((absent, "lacks"), (other, "has another")):
            if names:
                raise SetupError(
                    f"its locustfile {what} {', '.join(sorted(names))}.",
                    "Start every process with the same locustfile; a worker with -f - has the master's.",
                )


def _digest(user: type) -> str:
    """Of the class's source, "" where there is none to read: a class may be made up by the locustfile."""
    try:
        source = inspect.getsource(user)
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(source.encode()).hexdigest()[:16]

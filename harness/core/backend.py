"""Where the PostgreSQL of the reference service, and its cache, run: as processes of this machine, or in
containers.
"""

from __future__ import annotations

from harness.errors import UsageError

__all__ = [
    "AUTO",
    "BACKENDS",
    "CACHES",
    "CACHE_IMAGE",
    "DOCKER",
    "EMBEDDED",
    "NONE",
    "POSTGRES_VERSIONS",
    "check_backend",
    "image_of",
]

EMBEDDED, DOCKER = "embedded", "docker"
BACKENDS = (EMBEDDED, DOCKER)

NONE, AUTO = "none", "auto"
CACHES = (NONE, AUTO)

CACHE_IMAGE = "valkey/valkey:8-alpine"

POSTGRES_VERSIONS = ("14", "15", "16", "17", "18")
"""Major versions that are supported, the newest last."""


def image_of(image: str | None, version: str | None) -> str:
    """The container's image: the one that was named, or the official one of a major version."""
    return image or f"postgres:{version or POSTGRES_VERSIONS[-1]}-alpine"


def check_backend(
    backend: str,
    *,
    host: str | None,
    image: str | None,
    version: str | None,
    dockerfile: str | None = None,
    postgres_bin: str | None,
    cache: str = NONE,
    standby: bool = False,
) -> None:
    """Raise UsageError for flags of one backend beside another, or beside a service that was given."""
    if backend not in BACKENDS:
        raise UsageError(f"--services is {backend!r}.", f"Give {' or '.join(BACKENDS)}.")
    if cache not in CACHES:
        raise UsageError(f"--cache is {cache!r}.", f"Give {' or '.join(CACHES)}.")
    if cache != NONE and host is not None:
        raise UsageError(
            f"--cache {cache} is for the reference service, and --host names one that runs already.",
            "Drop one of them.",
        )
    if version and version not in POSTGRES_VERSIONS:
        raise UsageError(f"--postgres-version is {version}.", f"Give one of {', '.join(POSTGRES_VERSIONS)}.")
    if image and version:
        raise UsageError("--postgres-image and --postgres-version both name the image.", "Drop one of them.")
    if backend == EMBEDDED:
        of_a_container = {"image": image, "version": version, "dockerfile": dockerfile}
        for word, value in of_a_container.items():
            if value:
                raise UsageError(
                    f"--postgres-{word} is of a container.", "Add --services docker, or drop it."
                )
        return
    if host is not None:
        raise UsageError(
            "--services docker is for the reference service, and --host names one that runs already.",
            "Drop one of them.",
        )
    if standby:
        raise UsageError(
            "--standby is of the embedded server, and --services docker starts a container.",
            "Drop one of them.",
        )
    if postgres_bin:
        raise UsageError(
            "--postgres-bin is of the embedded server, and --services docker starts a container.",
            "Drop one of them: --postgres-version or --postgres-image says what the container runs.",
        )

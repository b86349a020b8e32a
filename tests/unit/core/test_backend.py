"""Where the reference service's PostgreSQL runs, and which flags go together."""

from __future__ import annotations

import pytest

from harness.core.backend import image_of
from harness.core.plan import Plan
from harness.core.plan_check import check_plan
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("image", "version", "expected"),
    [
        (None, None, "postgres:18-alpine"),
        (None, "15", "postgres:15-alpine"),
        ("registry.local/postgres:16", None, "registry.local/postgres:16"),
    ],
)
def test_the_image(image: str | None, version: str | None, expected: str) -> None:
    assert image_of(image, version) == expected


def test_a_container_of_a_version_is_a_sound_plan() -> None:
    plan = Plan(services="docker", postgres_version="17")
    check_plan(plan)
    assert plan.image == "postgres:17-alpine"


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        (Plan(services="podman"), "--services is 'podman'"),
        (Plan(cache="memcached"), "--cache is 'memcached'"),
        (
            Plan(
                cache="auto",
                host="http://127.0.0.1:8000",
                database_url="postgresql://127.0.0.1/shop",
                alembic_config="alembic.ini",
            ),
            "--host names one that runs already",
        ),
        (Plan(postgres_version="17"), "--postgres-version is of a container"),
        (Plan(postgres_image="postgres:17"), "--postgres-image is of a container"),
        (Plan(postgres_dockerfile="Dockerfile"), "--postgres-dockerfile is of a container"),
        (Plan(services="docker", postgres_version="9.6"), "--postgres-version is 9.6"),
        (Plan(services="docker", postgres_version="17", postgres_image="postgres"), "both name the image"),
        (Plan(services="docker", standby=True), "--standby is of the embedded"),
        (
            Plan(services="docker", postgres_bin="/usr/lib/postgresql/16/bin"),
            "--postgres-bin is of the embedded",
        ),
        (
            Plan(
                services="docker",
                host="http://127.0.0.1:8000",
                database_url="postgresql://127.0.0.1/shop",
                alembic_config="alembic.ini",
            ),
            "--host names one that runs already",
        ),
    ],
)
def test_flags_that_contradict_each_other_are_refused(plan: Plan, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_plan(plan)
    assert named in refused.value.message
    assert refused.value.remedy

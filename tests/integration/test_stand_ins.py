"""Which images of an engine stand in for official ones, and when they are made anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock

import docker
import pytest

from harness.core.backend import CACHE_IMAGE
from tests.containers import stand_ins

pytestmark = pytest.mark.integration


def engine(*labels: Mapping[str, str] | None, registry: bool = False) -> Any:
    """One that has an image with the labels, and can reach a registry or cannot."""
    client = Mock()
    client.images.list.return_value = [Mock(labels=given) for given in labels]
    client.images.pull.side_effect = None if registry else docker.errors.APIError("no registry")
    return client


@pytest.mark.parametrize(
    ("client", "built"),
    [
        (engine(None), 0),
        (engine({"of": "somebody"}), 0),
        (engine({stand_ins.LABEL: stand_ins.RECIPE}), 0),
        (engine(registry=True), 0),
        (engine(), 1),
        (engine({stand_ins.LABEL: "true"}), 1),
    ],
    ids=["official", "labelled", "ours", "pulled", "nothing", "of another recipe"],
)
def test_one_is_built_where_there_is_none_of_this_recipe(client: Any, built: int) -> None:
    assert stand_ins.valkey(client) == CACHE_IMAGE
    assert client.images.build.call_count == built

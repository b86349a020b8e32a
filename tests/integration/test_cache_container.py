"""The cache in a container: a real engine starts it, and nothing of it is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.clock import wait_until
from harness.errors import SetupError
from harness.run.cache_container import ContainerCache
from harness.run.cache_server import answers
from harness.run.docker_engine import LABEL
from tests.containers import stand_ins
from tests.fix_cache import command
from tests.fix_docker import Leftovers

pytestmark = [pytest.mark.docker, pytest.mark.integration]


def test_it_is_served_on_the_loopback_address_with_a_password_and_leaves_nothing(
    engine: Any, leftovers: Leftovers, tmp_path: Path
) -> None:
    server = ContainerCache.start(stand_ins.valkey(engine), run_id="cached", log=tmp_path / "cache.log")
    try:
        assert command(server.url, "PING") is True
        assert server.alive()
        assert not answers(server.port, "another")
        (container,) = engine.containers.list(filters={"label": f"{LABEL}=cached"})
        published = container.attrs["NetworkSettings"]["Ports"]
        assert published["6379/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(server.port)}]
        password = server.url.split(":")[2].partition("@")[0]
        assert password not in f"{container.attrs}{server!r}"
        assert command(server.url, "SET", "kept", "1") is True
        server.kill()
        assert wait_until(lambda: not server.alive(), within=10)
        server.launch()
        assert wait_until(server.answers, within=10)
        assert command(server.url, "GET", "kept") is None
    finally:
        server.stop()
        server.stop()  # does nothing
    assert leftovers.of("cached") == []
    assert "Ready to accept connections" in (tmp_path / "cache.log").read_text()


def test_an_image_that_serves_nothing_is_told(
    engine: Any, leftovers: Leftovers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = stand_ins.derived(
        engine, stand_ins.valkey(engine), "no-cache", 'ENTRYPOINT ["/bin/sh", "-c", "exit 3"]'
    )
    with pytest.raises(SetupError, match="ended at once"):
        ContainerCache.start(image, run_id="no-cache", log=tmp_path / "cache.log")
    assert leftovers.of("no-cache") == []

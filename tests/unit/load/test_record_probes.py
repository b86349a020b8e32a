"""A stranger on another's record: refused by a careful service, found out by each kind of carelessness."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from harness.core.bodies import canary
from harness.core.declaration import Declaration
from harness.core.isolation import FOREIGN_STREAM, RECORD_PROBES
from harness.core.record import Said
from harness.load.record_probes import probe_records
from harness.load.records import set_apart
from tests.unit.load.answers import Response
from tests.unit.load.shop import DOCUMENTS, Shop

KINDS = set(RECORD_PROBES) - {FOREIGN_STREAM}


def probed(shop: Shop, resource: Declaration = DOCUMENTS) -> list[Said]:
    ann, bob = (shop.actor(name, resource=resource) for name in ("ann", "bob"))
    return list(probe_records(ann, bob, resource, "run-1", lambda: None))


def outcomes(said: list[Said]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for _, kind, outcome, _ in said:
        found.setdefault(kind, set()).add(outcome)
    return found


def test_a_careful_service_refuses_everything_that_its_owner_can_do() -> None:
    shop = Shop()
    said = probed(shop)
    assert outcomes(said) == {"owner": {"worked"}, **{kind: {"refused"} for kind in KINDS}}
    assert Counter(kind for _, kind, _, _ in said) == {
        "owner": 4,
        "foreign_read": 1,
        "foreign_list": 1,
        "foreign_update": 1,
        "swapped_id": 3,
        "foreign_delete": 1,
    }
    assert {who for who, kind, _, _ in said if kind == "owner"} == {"bob"}
    assert {who for who, kind, _, _ in said if kind != "owner"} == {"ann"}


def test_nothing_of_it_is_left_in_the_service() -> None:
    shop = Shop()
    probed(shop)
    assert shop.documents == {}


def test_users_are_told_to_leave_it_alone() -> None:
    shop = Shop(failing={"DELETE": 503})
    probed(shop)
    assert shop.documents
    assert set(shop.documents) <= set_apart("run-1")


def test_what_is_written_is_not_taken_for_a_record_of_the_run() -> None:
    shop = Shop(failing={"DELETE": 503})
    probed(shop)
    assert shop.documents
    for document in shop.documents.values():
        assert " run:run-1 " not in document["title"]
        assert " run:run-1.probe " in document["title"]


@pytest.mark.parametrize(
    ("careless", "leaked"),
    [
        ("read", {"foreign_read"}),
        ("list", {"foreign_list"}),
        ("update", {"foreign_update"}),
        ("delete", {"foreign_delete"}),
        ("upsert", {"swapped_id"}),
        ("body", {"swapped_id"}),
        ("tell", {"foreign_read", "foreign_update", "foreign_delete", "swapped_id"}),
    ],
)
def test_each_kind_of_carelessness_is_found_by_its_probe(careless: str, leaked: set[str]) -> None:
    found = outcomes(probed(Shop({careless})))
    assert {kind for kind in RECORD_PROBES if "leaked" in found.get(kind, ())} == leaked


@pytest.mark.parametrize(
    ("failing", "kinds", "outcome"),
    [
        ("PUT", {"foreign_update", "swapped_id"}, "error"),
        ("DELETE", {"foreign_delete"}, "error"),
    ],
)
def test_what_its_owner_cannot_do_either_says_nothing(failing: str, kinds: set[str], outcome: str) -> None:
    found = outcomes(probed(Shop(failing={failing: 405})))
    assert {kind: found[kind] >= {outcome} for kind in kinds} == dict.fromkeys(kinds, True)
    assert "refused" not in found["foreign_update" if failing == "PUT" else "foreign_delete"]


def test_a_record_that_cannot_be_written_leaves_nothing_to_try() -> None:
    [(who, kind, outcome, detail)] = probed(Shop(failing={"POST /documents": 503}))
    assert (who, kind, outcome) == ("ann", "foreign_read", "not_tried")
    assert detail == "there was no record to try it on: POST /documents: HTTP 503"


def test_a_service_that_cannot_be_read_says_nothing() -> None:
    found = outcomes(probed(Shop(failing={"GET /documents": 500})))
    assert not {"refused", "leaked"} & set().union(*(found[kind] for kind in RECORD_PROBES if kind in found))


class Lagging(Shop):
    """Shows a document that has changed as it was at first, every so many times."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self._every = every
        self._first: dict[str, Response] = {}
        self._looks = 0

    def answer(self, method: str, url: str, payload: dict[str, Any]) -> Response:
        response = super().answer(method, url, payload)
        if method != "GET" or "/documents/" not in url or response.status_code != 200:
            return response
        first = self._first.setdefault(url, response)
        self._looks += first.content != response.content
        return first if self._looks and self._looks % self._every == 0 else response


@pytest.mark.parametrize("every", range(2, 8))
def test_a_stale_read_is_no_strangers_doing(every: int) -> None:
    found = outcomes(probed(Lagging(every)))
    assert "leaked" not in set().union(*found.values())


def test_what_is_not_declared_is_not_tried() -> None:
    resource = replace_without(DOCUMENTS, "update", "delete", "list")
    assert set(outcomes(probed(Shop(), resource))) == {"owner", "foreign_read"}


def replace_without(resource: Declaration, *operations: str) -> Declaration:
    return Declaration(
        resource.path, create=resource.create, version=resource.version, without=frozenset(operations)
    )


def test_a_change_is_seen_by_the_canary_where_there_is_no_version() -> None:
    resource = Declaration("/documents", create={"title": canary, "version": 1}, created={201})
    assert outcomes(probed(Shop({"update"}), resource))["foreign_update"] == {"leaked"}

"""Documents belong to one account, are created once and updated against a version."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fix_target import Client, Service

pytestmark = pytest.mark.integration


def test_a_document_is_read_as_it_was_written(account: Client) -> None:
    document = account.create_document(title="Plan", body="añ✓", tags=["legal"], status="draft")
    read = account.get(f"/documents/{document}").json
    assert {name: read[name] for name in ("id", "title", "body", "tags", "status", "size", "version")} == {
        "id": document,
        "title": "Plan",
        "body": "añ✓",
        "tags": ["legal"],
        "status": "draft",
        "size": 6,
        "version": 1,
    }


@pytest.mark.parametrize("title", ["Title", "Another"])
def test_an_id_is_created_once_whatever_the_content(account: Client, title: str) -> None:
    document = account.create_document()
    again = account.post("/documents", {"id": document, "title": title, "body": "Body"})
    assert again.status == 409
    assert account.get(f"/documents/{document}").json["title"] == "Title"


def test_an_id_of_another_account_is_taken_too(account: Client, other_account: Client) -> None:
    document = account.create_document()
    assert other_account.post("/documents", {"id": document, "title": "t", "body": "b"}).status == 409


def test_an_update_raises_the_version(account: Client) -> None:
    document = account.create_document(tags=["legal"], status="draft")
    updated = account.put(f"/documents/{document}", {"version": 1, "title": "New", "body": "New body"})
    assert (updated.status, updated.json["version"]) == (200, 2)
    read = account.get(f"/documents/{document}").json
    assert (read["title"], read["version"], read["tags"], read["status"]) == ("New", 2, ["legal"], "draft")
    assert read["updated_at"] > read["created_at"]


def test_an_update_of_an_old_version_is_answered_409_with_the_current_one(account: Client) -> None:
    document = account.create_document()
    change = {"version": 1, "title": "First", "body": "b"}
    assert account.put(f"/documents/{document}", change).status == 200
    late = account.put(f"/documents/{document}", {**change, "title": "Second"})
    assert (late.status, late.json["version"]) == (409, 2)
    assert account.get(f"/documents/{document}").json["title"] == "First"


def test_of_many_updates_of_one_version_one_wins(account: Client) -> None:
    document = account.create_document()

    def update(n: int) -> int:
        return account.put(f"/documents/{document}", {"version": 1, "title": str(n), "body": "b"}).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(update, range(8)))
    assert sorted(statuses) == [200] + [409] * 7


def test_a_deleted_document_is_gone(account: Client) -> None:
    document = account.create_document()
    assert account.delete(f"/documents/{document}").status == 204
    assert account.get(f"/documents/{document}").status == 404
    assert account.delete(f"/documents/{document}").status == 404
    assert account.put(f"/documents/{document}", {"version": 1, "title": "t", "body": "b"}).status == 404


def test_another_accounts_document_is_404_and_stays_as_it_is(account: Client, other_account: Client) -> None:
    path = f"/documents/{account.create_document()}"
    before = account.get(path).json
    assert other_account.get(path).status == 404
    assert other_account.put(path, {"version": 1, "title": "Mine", "body": "b"}).status == 404
    assert other_account.delete(path).status == 404
    assert account.get(path).json == before


def test_pages_hold_every_document_of_the_account_once(account: Client) -> None:
    created = {account.create_document() for _ in range(7)}
    listed: list[str] = []
    after: str | None = str(uuid.UUID(int=0))
    pages = 0
    while after is not None:
        page = account.get(f"/documents?limit=3&after={after}").json
        listed += [item["id"] for item in page["items"]]
        after, pages = page["next"], pages + 1
    assert (sorted(listed), pages) == (sorted(created), 3)
    assert listed == sorted(listed)


def test_seeded_documents_carry_their_accounts_canary(service: Service) -> None:
    items = service.sign_in("account-0007").get("/documents?limit=100").json["items"]
    assert len(items) == 10
    assert all("canary:account-0007" in item[field] for item in items for field in ("title", "body"))


@pytest.mark.parametrize(
    "wrong",
    [{"id": "no-uuid"}, {"title": ""}, {"status": "lost"}, {"title": "\0"}, {"tags": [""]}, {"body": None}],
)
def test_content_that_cannot_be_kept_is_answered_422(account: Client, wrong: dict[str, object]) -> None:
    document = {"id": str(uuid.uuid4()), "title": "t", "body": "b", **wrong}
    assert account.post("/documents", document).status == 422

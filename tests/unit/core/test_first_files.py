import ast
import tomllib
from typing import Any

import pytest

from harness.core.api_auth import AuthShape
from harness.core.api_shape import ApiShape, ResourceShape, shape_of
from harness.core.bodies import canary, new_id
from harness.core.first_files import WIDTH, Call, Given, ci_job, locustfile, plan_file, source
from harness.core.plan_file import parse_plan_file
from tests.unit.core.api_documents import FORM, LOGIN, answers, crud, document, takes

GIVEN = Given("http://127.0.0.1:8000", "alembic.ini", "shop")
UNSURE = Given(None)


def _shape(**changed: Any) -> ApiShape:
    shape = ApiShape("Shop", AuthShape(), [ResourceShape("items", "/items", {})], [], None, {})
    for name, value in changed.items():
        setattr(shape, name, value)
    return shape


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (canary, "canary"),
        (canary('say "more"'), r'canary("say \"more\"")'),
        (new_id, "new_id"),
        (
            {"id": new_id, "price": 1.5, "ok": True, "none": None},
            '{"id": new_id, "price": 1.5, "ok": True, "none": None}',
        ),
        ({"list", "delete"}, '{"delete", "list"}'),
        ([1, "ä"], '[1, "ä"]'),
        (Call("Resource", ["/items"], {"key": "pk"}), 'Resource("/items", key="pk")'),
    ],
)
def test_value_as_source(value: Any, text: str) -> None:
    assert source(value) == text
    assert ast.parse(text)


def test_what_has_no_room_in_a_line_is_broken_at_its_parts() -> None:
    call = Call(
        "Resource", ["/items"], {"create": {f"field_{n}": canary for n in range(9)}, "page": "skip/limit"}
    )
    text = source(call, 1, len("items = "))
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert text.splitlines()[-1] == "    )"
    assert ast.parse(text.strip())


def test_locustfile_of_the_issues_example() -> None:
    auth = AuthShape(
        "PasswordGrant",
        ["/api/v1/login/access-token"],
        registration=("/api/v1/users/signup", {"email": "{name}"}),
        account_name="mul-{:04}@example.com",
    )
    items = ResourceShape("items", "/api/v1/items/", {"create": {"title": canary}, "page": "skip/limit"})
    text = locustfile(
        _shape(auth=auth, resources=[items], pages=["/health"], left_out={"/users": "accounts"})
    )
    assert ast.parse(text)
    assert "from harness.locust import MigrationUser, PasswordGrant, Registration, Resource, canary\n" in text
    assert '    items = Resource("/api/v1/items/", create={"title": canary}, page="skip/limit")\n' in text
    assert 'register=Registration("/api/v1/users/signup", json={"email": "{name}"})' in text
    assert '    pages = ["/health"]\n' in text
    assert "    # Left out: /users (accounts).\n" in text
    assert "DECIDE" not in text


def test_what_a_person_must_decide_is_marked() -> None:
    auth = AuthShape("StaticToken", decide=["which key"])
    orders = ResourceShape(
        "orders", "/orders", {}, create={"shop_id": 1}, decide=["create: shop_id"], said=["so"]
    )
    text = locustfile(_shape(auth=auth, resources=[orders]))
    assert ast.parse(text)
    assert "    # DECIDE: which key.\n" in text
    assert "    # DECIDE: list accounts in accounts.csv, with the columns username,token.\n" in text
    assert "    # So.\n    # DECIDE: create: shop_id.\n" in text
    assert '    # Until then they are only read; then add: create={"shop_id": 1}\n' in text


def test_service_of_which_nothing_was_found_has_a_locustfile_that_says_so() -> None:
    text = locustfile(_shape(resources=[], title='A "shop" \\ here'))
    assert ast.parse(text)
    assert "DECIDE: nothing was found that users could do" in text


def test_plan_file_is_one() -> None:
    text = plan_file(_shape(), GIVEN)
    parsed = parse_plan_file(text, "harness.toml")
    assert parsed is not None
    assert parsed.locustfile == "locustfile.py"
    assert parsed.defaults["host"] == "http://127.0.0.1:8000"
    assert parsed.defaults["allow_database"] == ["shop"]
    assert text.count("DECIDE") == 1  # how much load


def test_plan_file_says_what_is_not_known() -> None:
    text = plan_file(_shape(), UNSURE)
    assert parse_plan_file(text, "harness.toml") is not None
    assert text.count("DECIDE") == 3


def test_what_nobody_allowed_is_not_allowed() -> None:
    text = plan_file(_shape(), Given("https://staging.example"))
    assert tomllib.loads(text)["safety"] == {"databases": [], "hosts": []}
    assert 'hosts = []  # DECIDE: "staging.example", if the load may go there\n' in text
    assert tomllib.loads(plan_file(_shape(), GIVEN))["safety"] == {"databases": ["shop"]}


def test_accounts_that_must_be_listed_are_in_a_file() -> None:
    table = tomllib.loads(plan_file(_shape(auth=AuthShape("StaticToken")), GIVEN))
    assert table["load"]["accounts"] == "accounts.csv"
    assert "accounts" not in tomllib.loads(plan_file(_shape(), GIVEN))["load"]


def test_ci_job_waits_for_the_service_and_keeps_the_evidence() -> None:
    text = ci_job(_shape(health="/health"), GIVEN)
    assert (
        "curl -fsS -o /dev/null --retry 30 --retry-connrefused --retry-delay 1 http://127.0.0.1:8000/health"
        in text
    )
    assert "origin/${{ github.base_ref }}" in text
    assert "locust -f locustfile.py --headless" in text
    assert "runs/latest/summary.md" in text
    assert "\t" not in text


def test_without_a_health_path_any_answer_will_do() -> None:
    assert "curl -sS -o /dev/null" in ci_job(_shape(), GIVEN)


def test_whole_document_becomes_a_locustfile_that_python_reads() -> None:
    paths = {"/login": {"post": takes(LOGIN, FORM)}, "/me": {"get": answers({})}, **crud(), **crud("/users")}
    assert ast.parse(locustfile(shape_of(document(paths))))

"""A user without tasks of its own does what its resources and totals can."""

from __future__ import annotations

from collections import Counter

from locust import task

from harness.core.bodies import canary
from harness.load.declared_tasks import DeclaredTask
from harness.load.resource import Resource
from harness.load.totals import Totals
from harness.load.users import MigrationUser


class _Buyer(MigrationUser):
    host = "http://127.0.0.1:1"
    foreign_read_ratio = 0.0
    items = Resource("/items", create={"title": canary}, without={"delete"})
    prices = Resource("/prices")


class _Seller(_Buyer):
    offers = Resource("/offers", without={"read"})


class _Waiter(_Buyer):
    @task
    def wait_for_better_times(self) -> None: ...


def _names(user: type[MigrationUser]) -> Counter[str]:
    return Counter(f"{one.name}.{one.operation}" for one in user.tasks if isinstance(one, DeclaredTask))


def test_user_without_tasks_does_what_its_resources_can() -> None:
    items = {"items.list": 25, "items.read": 35, "items.create": 15, "items.update": 20}
    assert _names(_Buyer) == {**items, "prices.list": 25, "prices.read": 35}
    assert _names(_Seller) == {**_names(_Buyer), "offers.list": 25}


class _Saver(_Buyer):
    wallets = Totals("/wallets", amount="balance")


def test_user_without_tasks_looks_at_what_its_totals_come_to() -> None:
    assert _names(_Saver) == {**_names(_Buyer), "wallets.total": 5}
    assert list(_Saver.declared_totals()) == ["wallets"]


def test_user_with_a_task_of_its_own_does_that_alone() -> None:
    assert len(_Waiter.tasks) == 1
    assert _names(_Waiter) == {}

"""The table of built-in gates: what each is red for, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.core.client_gates import compared, errors, recovery, throughput
from harness.core.continuity_gate import continuity
from harness.core.database_gates import catalog, deadlocks, lock_wait, replica_lag
from harness.core.deploy import deploy
from harness.core.drill_grades import drills
from harness.core.expressions import parse
from harness.core.gate import Gate, expressed
from harness.core.generator_gate import generator
from harness.core.invariants import invariant_gates
from harness.core.metrics import METRICS
from harness.core.migration_gate import migration
from harness.core.plan import Plan
from harness.core.round_trip import rollback_data, rollback_schema
from harness.core.websocket_gates import status

__all__ = ["BUILT_IN", "BuiltIn"]


@dataclass(frozen=True)
class BuiltIn:
    """A row of the table of built-in gates: its name, when it is red, and the gates it makes of a plan."""

    name: str
    red_when: str
    needs: str
    make: Callable[[Plan], Iterator[Gate]]


def _client(name: str, red_when: str, expression: str) -> BuiltIn:
    return BuiltIn(name, red_when, "client", compared(name, expression))


def _whole_run(name: str, red_when: str, expression: str) -> BuiltIn:
    own = parse(expression)[1]
    return BuiltIn(
        name, red_when, METRICS[own.left.metric].needs, lambda _plan: iter((expressed(name, own),))
    )


BUILT_IN: tuple[BuiltIn, ...] = (
    BuiltIn(
        "errors",
        "excess over baseline: > 1 % of all, or for any endpoint ≥ 5 failures and > 5 %, in the impact window"
        " or in recover",
        "client",
        errors,
    ),
    BuiltIn("throughput", "impact window's throughput < 95 % of baseline's", "client", throughput),
    _client(
        "latency",
        "worst slice's p95 > 3 × baseline's + 50 ms",
        "slice_p95{phase=MIGRATE} <= 3 * p95{phase=baseline} + 50ms",
    ),
    _client("stall", "> 1 s", "stall{phase=MIGRATE} <= 1s"),
    BuiltIn(
        "recovery",
        "p95 of `recover`'s last 5 s > 2 × baseline's + 25 ms, and a bootstrap interval clears it",
        "client",
        recovery,
    ),
    BuiltIn(
        "migration",
        "it failed, did not reach the target revision, or passed its deadline",
        "migration",
        migration,
    ),
    BuiltIn(
        "deploy",
        "the deploy's command or an instance failed, or it passed its deadline",
        "deploy",
        deploy,
    ),
    BuiltIn("lock_wait", "a client's session waited > 1 s because of the migration", "observer", lock_wait),
    BuiltIn("deadlocks", "any that the migration was one side of", "observer", deadlocks),
    BuiltIn(
        "replica_lag",
        "a streaming replica fell > 5 s behind, during the migration or after it",
        "replica",
        replica_lag,
    ),
    BuiltIn(
        "catalog",
        "new against before: an invalid index; a revision half applied",
        "catalog",
        catalog,
    ),
    BuiltIn(
        "rollback_schema",
        "after the rollback something of the schema from before the upgrade is gone or other than it was, or"
        " a constraint was left behind",
        "catalog",
        rollback_schema,
    ),
    BuiltIn(
        "rollback_data",
        "after the rollback rows from before the load are gone, or have other values, in numbers that the"
        " traffic does not explain",
        "catalog",
        rollback_data,
    ),
    BuiltIn(
        "invariant:NAME",
        "a query of `--invariant 'NAME: SELECT …'` returns a row after the migration",
        "catalog",
        invariant_gates,
    ),
    _whole_run("lost_writes", "> 0", "lost_writes == 0"),
    _whole_run("unexpected_writes", "> 0", "unexpected_writes == 0"),
    _whole_run("duplicates", "> 0", "duplicates == 0"),
    _whole_run("stale_reads", "> 0", "stale_reads == 0"),
    _whole_run("stale_cache", "> 0", "stale_cache == 0"),
    _whole_run("totals", "an account's amounts came to another sum", "wrong_totals == 0"),
    _whole_run("leaks", "> 0", "leaks == 0"),
    _whole_run("forged_tokens", "> 0", "forged_tokens == 0"),
    BuiltIn(
        "continuity",
        "after the migration an old token, a fresh login, or the first use after it does not work",
        "authentication",
        continuity,
    ),
    _whole_run("ws_delivery", "p99 > 2 s", "ws_delivery_p99 <= 2s"),
    _whole_run("ws_missed", "any missed message", "ws_missed == 0"),
    BuiltIn(
        "ws_status",
        "the migration's status never reached somebody who was connected, or p99 > 2 s",
        "broadcast",
        status,
    ),
    BuiltIn(
        "drills", "a drill is graded D: it did not come back, or left something unknown", "drills", drills
    ),
    BuiltIn(
        "generator",
        "hub ticker late (p99 > 50 ms), CPU saturated; a worker lost makes it inconclusive",
        "generator",
        generator,
    ),
)
"""The table, in the order in which gates are judged and printed."""

"""The pages of `harness help`: one Markdown file a topic, shipped with the package.

A page's first line is its title, `# TOPIC: what it answers`. Fenced blocks of `sh`, `toml`, `python` and
`yaml` are examples, which tests run or check; `text` is output.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from harness.errors import UsageError

__all__ = ["contents", "page", "topics"]

FOLDER = Path(__file__).parent

ORDER = (
    "concepts",
    "own-service",
    "locustfiles",
    "authentication",
    "isolation",
    "websockets",
    "migrations",
    "migration-command",
    "several-services",
    "plan-file",
    "poolers",
    "replicas",
    "same-start",
    "gates",
    "reading-a-report",
    "comparing",
    "ci",
    "pytest",
    "distributed",
    "drills",
    "troubleshooting",
)
"""The topics in the order of a first reading."""


def topics() -> tuple[str, ...]:
    """Every topic that has a page, in reading order."""
    return tuple(name for name in ORDER if (FOLDER / f"{name}.md").is_file())


def page(topic: str) -> str:
    """A topic's page as Markdown. Raises UsageError, naming near topics, for one there is not."""
    known = topics()
    if topic not in known:
        near = get_close_matches(topic, known, n=2, cutoff=0.4) or list(known)
        raise UsageError(f"There is no help on {topic!r}.", f"Topics: {', '.join(near)}.")
    return (FOLDER / f"{topic}.md").read_text(encoding="utf-8")


def contents() -> str:
    """All topics with what each answers, a line each."""
    width = max(len(name) for name in topics())
    return "\n".join(f"{name:<{width}}  {_title(page(name))}" for name in topics())


def _title(text: str) -> str:
    first = text.partition("\n")[0]
    return first.partition(": ")[2] or first.lstrip("# ")

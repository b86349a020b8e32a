"""The report as one HTML file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from harness.report import html
from tests.unit.report import sample
from tests.unit.report.hostile import hostile


class Page(HTMLParser):
    """The elements of a page, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements[-1:] and self.elements[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def policy(self) -> str:
        return next(a["content"] or "" for tag, a in self.elements if "http-equiv" in a)


@pytest.fixture(scope="module")
def red() -> str:
    return html.render(sample.red())


def test_the_page_is_the_same_for_the_same_view_and_small(red: str) -> None:
    assert html.render(sample.red()) == red
    assert 1_500_000 < len(red.encode()) < 2_500_000


def test_nothing_in_the_page_refers_to_the_network(red: str) -> None:
    page = Page(red)
    assert not {"link", "iframe", "img", "object", "base", "form"} & set(page.tags)
    assert not [a for tag, a in page.elements if tag != "a" and {"src", "href", "srcset", "action"} & set(a)]
    own = re.sub(r'(?s)id="plotly">.*?</script>|<a href="[^"]*" rel="noreferrer">[^<]*</a>', "", red)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", own)
    assert page.policy.startswith("default-src 'none';")


def test_the_policy_allows_exactly_the_two_embedded_scripts(red: str) -> None:
    data, packed, own = Page(red).scripts
    library = gzip.decompress(base64.b64decode(packed))
    hashes = [base64.b64encode(hashlib.sha256(s).digest()).decode() for s in (own.encode(), library)]
    assert f"script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}';" in Page(red).policy
    assert b"plotly.js" in library[:40]
    assert json.loads(data)["t"][0] == 0.0


def test_the_report_is_readable_without_the_chart(red: str) -> None:
    words = " ".join(" ".join(Page(red).words).split())
    for expected in (
        "FAIL throughput is 31.2/s, the limit is 75.5/s.",
        "AccessExclusiveLock on documents: 10 sessions blocked for 84.1 session-seconds",
        "observed (every 20 ms)",
        "SELECT id, title, body FROM documents WHERE owner_id = $1 LIMIT $2 7 58.2 session-seconds 9.17 s",
        "Root blocker: session 4711",
        "harness explain index-without-concurrently",
        "Ignored because: a table of 200 rows",
        "blocks INSERT, UPDATE, DELETE on documents",
        "46.2 MB of WAL",
        "not seen under this load prefer-robust-stmts squawk",
        "cached plan must not change result type 0A000 migrate 7",
        "✘ red ix_documents_slug",
        "Exact: read within the migration's own transaction",
        "✘ fail stall",
        "8.94 s 8.71 s to 9.02 s 105 ms",
        "898 80/s 80.1/s 31.2/s 2.1 % 3.58 s 6.9 ms 8.94 s 17.1 ms 10.7 s 21.2 ms 13.4 s 9.83 s 9.31 s",
        "UPDATE documents SET title_search = to_tsvector('simple', title || ' ' || coalesce(body, '')),",
        "1,204 acknowledged writes",
        "PUT /documents/[id]",
        "Everything ran on one machine with 2 cores",
        "The timeline needs JavaScript",
    ):
        assert expected in words


def test_a_placebo_and_an_empty_run_have_a_page_too() -> None:
    verdict = sample.green_verdict() | {"migration": None, "endpoints": [], "phases": [], "gates": []}
    view = sample.view_of(verdict)
    assert "No gate was judged." in html.render(view)


def test_code_keeps_its_lines_and_only_our_pages_are_linked(red: str) -> None:
    assert "autocommit_block():\n    op.create_index(" in red
    advice = sample.red_verdict()["advice"][0] | {"source": "javascript:alert(1)"}
    page = Page(html.render(sample.view_of(sample.green_verdict() | {"advice": [advice]})))
    assert "a" not in page.tags
    assert "javascript:alert(1)" in " ".join(page.words)


def test_what_must_be_refused_has_a_row_for_each_kind_and_phase(red: str) -> None:
    words = " ".join(" ".join(Page(red).words).split())
    assert "ok another's record is read baseline 40 40 0 0" in words
    assert "unclear another's record is changed probe 1 0 0 1" in words
    assert "red a token without a signature (alg none) probe 2 1 1 0" in words
    assert "unclear a token that has ended probe not tried: none outlived its end" in words


def test_of_very_many_blamed_statements_the_worst_are_shown() -> None:
    blame = sample.red_verdict()["blame"] * 15
    text = html.render(sample.view_of(sample.green_verdict() | {"blame": blame}))
    assert text.count('class="blame"') == 20
    assert "10 more statements made somebody wait for less" in text


def test_hostile_texts_stay_texts(red: str) -> None:
    page = Page(html.render(hostile()))
    assert set(page.tags) <= set(Page(red).tags) | {"details", "h3"}
    assert page.tags.count("script") == 3
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert "{{ 7*7 }}" in " ".join(page.words)


def test_hostile_texts_cannot_leave_their_script_element() -> None:
    data = Page(html.render(hostile())).scripts[0]
    assert data.isascii()
    assert not re.search("[<>&]", data)
    label = json.loads(data)["statements"][0]["details"][0]
    assert label.startswith("</script><script>alert(1)")


def test_each_of_several_migrations_has_a_section() -> None:
    words = Page(html.render(sample.several(rollback=True))).words
    headings = [word for word in words if word.startswith(("Migration of ", "Rollback of "))]
    there, back = ["Migration of shop", "Migration of billing"], ["Rollback of billing", "Rollback of shop"]
    assert headings == [*there, *back]


def test_the_legend_tells_of_a_late_generator_only_where_it_was_late(red: str) -> None:
    verdict = sample.red_verdict()
    verdict["load"] = {**verdict["load"], "late": [{"start_at": 31.0, "end_at": 32.0, "late_s": 0.2}]}
    late = html.render(sample.view_of(verdict))
    assert "the generator itself was late" in late
    assert "generator late by 200 ms" in late
    assert "the generator itself was late" not in red

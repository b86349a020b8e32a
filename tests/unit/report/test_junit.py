"""The verdict as JUnit XML."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from junitparser import JUnitXml

from harness.report import junit
from tests.unit.report import sample
from tests.unit.report.hostile import hostile


def cases(text: str) -> dict[str, ElementTree.Element]:
    return {case.attrib["name"].split(":")[0]: case for case in ElementTree.fromstring(text).iter("testcase")}


def test_a_gate_is_a_test_case_with_the_result_of_its_status() -> None:
    found = cases(junit.render(sample.red()))
    assert {name: [child.tag for child in case] for name, case in found.items()}.items() >= {
        "stall": ["failure"],
        "recovery": ["error"],
        "catalog": ["skipped"],
        "errors": [],
    }.items()
    assert found["stall"].attrib["name"] == "stall: stall{phase=migrate} <= 1s"
    assert found["stall"].attrib["classname"] == "migrate-under-load"
    assert found["stall"][0].attrib["message"].startswith("observed 9.31 s, limit 1 s, samples 898. worst")
    sure = "observed 8.94 s (95 % confidence: 8.71 s to 9.02 s), limit 105 ms"
    assert found["latency"][0].attrib["message"].startswith(sure)


def test_the_suite_counts_and_tells_run_and_revisions() -> None:
    suite = next(iter(JUnitXml.fromstring(junit.render(sample.red()).encode())))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (13, 4, 1, 1)
    properties = {found.name: found.value for found in suite.properties()}  # type: ignore[no-untyped-call]
    assert properties["run_id"] == "20260314T101502Z-demo-a1b2c3"
    assert (properties["revision.1"], properties["revision.2"]) == ("c41f0a7be2d9", "d52e1b8cf3ea")


def test_a_red_stall_names_the_blamed_statement_and_its_safe_form() -> None:
    found = cases(junit.render(sample.red()))
    told = found["stall"][0].text or ""
    assert told.startswith("Statement 1 of revision c41f0a7be2d9: ALTER TABLE documents ADD COLUMN")
    assert 'Safe form:\n\nop.add_column("documents"' in told
    assert found["latency"][0].text == told
    assert found["throughput"][0].text is None


def test_findings_are_properties_of_the_suite() -> None:
    suite = next(iter(JUnitXml.fromstring(junit.render(sample.red()).encode())))
    properties = {found.name: found.value for found in suite.properties()}  # type: ignore[no-untyped-call]
    assert properties["blame.2"].startswith("Statement 3 of revision d52e1b8cf3ea: CREATE INDEX")
    assert properties["advice.1"].startswith("index-without-concurrently, statement 3")
    assert properties["schema.1"].startswith("invalid index ix_documents_slug")
    assert properties["errors.1"].startswith("7 × cached plan")


def test_hostile_texts_make_valid_xml() -> None:
    text = junit.render(hostile())
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]", text)
    assert len(list(ElementTree.fromstring(text.encode()).iter("testcase"))) == 13

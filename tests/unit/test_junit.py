import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pipeline.backtest.expectations import Checked, Expectation
from pipeline.backtest.junit import write_junit
from pipeline.core.errors import ConfigError


def a_check(name: str = "quiet", *, holds: bool = True, says: str = "as expected") -> Checked:
    return Checked(Expectation(name, at_most=0), found=0 if holds else 2, holds=holds, says=says)


def read(path: Path) -> ET.Element:
    return ET.fromstring(path.read_bytes())  # noqa: S314  # we wrote it


def test_a_policy_is_a_suite_and_an_expectation_a_case_that_fails_with_its_sentence(
    tmp_path: Path,
) -> None:
    path = tmp_path / "report.xml"
    failing = a_check("no partners", holds=False, says="expected none, found 2: e1, e2")

    write_junit(path, {"now.toml": [a_check()], "next.toml": [a_check(), failing]})

    root = read(path)
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "0")
    assert [(one.get("name"), one.get("tests"), one.get("failures")) for one in root] == [
        ("now.toml", "1", "0"),
        ("next.toml", "2", "1"),
    ]
    cases = root.findall("testsuite/testcase")
    assert [(one.get("classname"), one.get("name")) for one in cases] == [
        ("now.toml", "quiet"),
        ("next.toml", "quiet"),
        ("next.toml", "no partners"),
    ]
    messages = [[failure.get("message") for failure in one] for one in cases]
    assert messages == [[], [], ["expected none, found 2: e1, e2"]]


def test_what_xml_cannot_carry_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    name = 'a\x00b\x1b\ud800\uffff <&"> \n\t é 𝄞'

    write_junit(path, {"now.toml": [a_check(name, holds=False, says=name)]})

    (case,) = read(path).findall("testsuite/testcase")
    readable = 'a\\x00b\\x1b\\ud800\\uffff <&"> \n\t é 𝄞'
    assert case.get("name") == readable
    assert case[0].get("message") == readable


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "junitparser", None)

    with pytest.raises(ConfigError, match=r"^junitparser: not installed: pip install "):
        write_junit(tmp_path / "report.xml", {})


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "report.xml"

    with pytest.raises(ConfigError) as caught:
        write_junit(path, {"now.toml": [a_check()]})

    assert str(caught.value) == f"{path}: no such file or directory: check --junit"

"""Checked expectations as JUnit XML, which CI servers show."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pipeline.backtest.expectations import Checked
from pipeline.core.errors import ConfigError
from pipeline.extra import needed

_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot carry, not even as a reference."""


def write_junit(path: Path, checked: Mapping[str, Sequence[Checked]]) -> None:
    """Write a test suite for each policy, by its name, with a test case for each expectation.

    Characters that XML cannot carry are written as Python escapes them.

    Raises:
        ConfigError: the library is not installed, or the file cannot be written.
    """
    junit = needed("junitparser")
    document = junit.JUnitXml("masswatch backtest")
    for policy, of_policy in checked.items():
        suite = junit.TestSuite(_carried(policy))
        for one in of_policy:
            case = junit.TestCase(_carried(one.expectation.name), classname=_carried(policy))
            if not one.holds:
                case.append(junit.Failure(_carried(one.says), "expectation"))
            suite.append(case)
        document.append(suite)
    document.update_statistics()
    try:
        document.write(str(path))
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or str(error)).lower()}: check --junit"
        ) from error


def _carried(text: str) -> str:
    return _NOT_IN_XML.sub(lambda found: ascii(found[0])[1:-1], text)

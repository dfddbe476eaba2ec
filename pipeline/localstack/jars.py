"""Kafka's jars, found by `jgo` and kept where Maven keeps its own."""

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError, Unreachable
from pipeline.localstack.lock import locked
from pipeline.localstack.service import Say

if TYPE_CHECKING:
    from jgo.maven import Artifact

KAFKA = "4.4.0"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA}+org.slf4j:slf4j-simple:1.7.36"
ATTEMPTS = 3


def class_path(remembered: Path, say: Say) -> str:
    """Return the class path of Kafka, from the file that remembers it or from Maven Central.

    Raises:
        ConfigError: jgo is not installed.
        Unreachable: Maven Central does not answer and not all is here already.
    """
    known = _remembered(remembered)
    if known is None:
        say(f"kafka: gathering Apache Kafka {KAFKA} (the first time: 45 MB from Maven Central)")
        known = os.pathsep.join(str(jar) for jar in _gathered())
        remembered.write_text(f"{COORDINATES}\n{known}\n")
    return known


def _remembered(path: Path) -> str | None:
    if not path.exists():
        return None
    lines = path.read_text().splitlines()
    if len(lines) != 2 or lines[0] != COORDINATES:
        return None
    whole = all(zipfile.is_zipfile(jar) for jar in lines[1].split(os.pathsep))
    return lines[1] if whole else None


def _gathered() -> list[Path]:
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ConfigError(
            "local stack: jgo is not installed: pip install 'masswatch[stack]'"
        ) from error
    repository = GlobalSettings.load().repo_cache
    # Two that fetch the same file at once would each find the half of the other.
    with locked(repository / ".masswatch.lock", within=300):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _fetched()
            # jgo tells of the network by OSError, of what is not there by RuntimeError, of a
            # cut-off description by SyntaxError.
            except (OSError, RuntimeError, SyntaxError) as error:
                if attempt == ATTEMPTS:
                    raise Unreachable(
                        f"Maven Central: {error}: check the network; if that is well, delete "
                        f"{repository / 'org' / 'apache' / 'kafka'} and try again"
                    ) from error
    raise AssertionError


def _fetched() -> list[Path]:
    # Not jgo.build: that looks for a Java, and fetches one from elsewhere.
    from jgo import resolve  # noqa: PLC0415 - an optional extra

    return [_whole(artifact) for artifact in resolve(COORDINATES)]


def _whole(artifact: "Artifact") -> Path:
    jar: Path = artifact.resolve()
    if not zipfile.is_zipfile(jar):
        jar.unlink()
        raise OSError(f"{jar} was cut off")
    return jar

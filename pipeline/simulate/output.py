"""Where a simulation goes: into files, or to Kafka at a rate or flat out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import orjson

from pipeline.core.errors import ConfigError
from pipeline.simulate.delivery import Arrival, Kind
from pipeline.simulate.document import FILES

EXPECTED_FILE = "expected.json"


class Producer(Protocol):
    """Takes values for topics; waits while it has no room."""

    def send(self, topic: str, value: bytes) -> None:
        """Hand over a value without a key, as Azure Monitor sends it."""
        ...


@dataclass(slots=True)
class Sent:
    """How many values and records of each kind went out."""

    values: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    records: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))

    def count(self, arrival: Arrival) -> None:
        """Count a value."""
        self.values[arrival.kind] += 1
        self.records[arrival.kind] += arrival.records


@dataclass(slots=True)
class Pace:
    """Keeps to a rate of records a second by a clock in seconds; without a rate, flat out."""

    rate: float | None
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    _first: float | None = None
    _records: int = 0

    def wait(self, records: int) -> None:
        """Return when it is time for so many more records."""
        if self.rate is None:
            return
        now = self.clock()
        if self._first is None:
            self._first = now
        early = self._first + self._records / self.rate - now
        if early > 0:
            self.sleep(early)
        self._records += records


def write_files(arrivals: Iterable[Arrival], folder: Path) -> Sent:
    """Write one JSON Lines file for each kind; a value must not hold a newline.

    Raises:
        ConfigError: the folder cannot be written, or a value does not fit on a line.
    """
    sent = Sent()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = {
                kind: stack.enter_context((folder / name).open("wb"))
                for kind, name in FILES.items()
            }
            for arrival in arrivals:
                if b"\n" in arrival.value:
                    raise ConfigError(
                        f"{FILES[arrival.kind]}: a value of many lines: plan without many_lines"
                    )
                files[arrival.kind].write(arrival.value + b"\n")
                sent.count(arrival)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return sent


def write_document(document: Mapping[str, object], path: Path) -> None:
    """Write what must come of it.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise _unwritable(path, error) from error


def send(
    arrivals: Iterable[Arrival],
    producer: Producer,
    topics: Mapping[Kind, Sequence[str]],
    pace: Pace,
) -> Sent:
    """Send every value to a topic of its kind; the topics of a kind take turns."""
    sent = Sent()
    for arrival in arrivals:
        pace.wait(arrival.records)
        names = topics[arrival.kind]
        producer.send(names[sent.values[arrival.kind] % len(names)], arrival.value)
        sent.count(arrival)
    return sent


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path}: {(error.strerror or str(error)).lower()}: name another place")

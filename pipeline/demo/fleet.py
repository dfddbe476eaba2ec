"""Worker processes: started as an operator starts them, asked over HTTP, and killed."""

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from pipeline.config import child_environment
from pipeline.core.errors import MasswatchError
from pipeline.localstack import wait
from pipeline.localstack.free_port import HOST, free_ports

READY_WITHIN: Final = 60.0
STOPPED_WITHIN: Final = 25.0


class Process(Protocol):
    """A process that has been started, as `subprocess.Popen` shows it."""

    @property
    def pid(self) -> int:
        """The process id."""
        ...

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal that has ended it; None while it runs."""
        ...

    def wait(self, timeout: float) -> int:
        """Wait for the end and return what `poll` does.

        Raises:
            subprocess.TimeoutExpired: it did not come in so many seconds.
        """
        ...

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        ...


Launch = Callable[[Mapping[str, str], Path], Process]
"""Starts `masswatch worker` with an environment and a log file."""


def launch(environment: Mapping[str, str], log: Path) -> Process:
    """Start `masswatch worker` as an operator does."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", "worker"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )


class Worker:
    """One `masswatch worker`, with its log in a file.

    Args:
        settings: Settings, without their prefix.
        log: Its output is appended here.
        launch: Starts the process.
    """

    def __init__(self, settings: Mapping[str, str], log: Path, launch: Launch = launch) -> None:
        (self.port,) = free_ports(1)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = child_environment({**settings, "HTTP__PORT": str(self.port)})
        self._process = launch(environment, log)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._process.poll()

    def is_ready(self) -> bool:
        """Tell whether the worker says that it is ready.

        Raises:
            MasswatchError: it has ended instead.
        """
        if self.exit_code is not None:
            raise MasswatchError(
                f"worker {self.pid}: ended with exit code {self.exit_code}: see {self.log}\n"
                + _tail(self.log)
            )
        try:
            with urllib.request.urlopen(self._url("readyz"), timeout=1) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def metrics(self) -> dict[str, float]:
        """Return every sample of the worker's metrics, by name with labels."""
        with urllib.request.urlopen(self._url("metrics"), timeout=5) as answer:  # noqa: S310
            text = answer.read().decode()
        lines = (line for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def wait(self, within: float = STOPPED_WITHIN) -> int:
        """Wait for the end of the process and return its exit code.

        Raises:
            MasswatchError: it did not end in time.
        """
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired as error:
            raise MasswatchError(
                f"worker {self.pid}: did not end within {within:g} s: see {self.log}"
            ) from error

    def stop(self) -> int:
        """End the process as an operator does, by SIGTERM, and return its exit code."""
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                self.send(signal.SIGCONT)  # one that sleeps cannot end
                self.send(signal.SIGTERM)
        try:
            return self.wait()
        except MasswatchError:
            self.send(signal.SIGKILL)
            self.wait()
            raise

    def _url(self, path: str) -> str:
        return f"http://{HOST}:{self.port}/{path}"


def until(holds: Callable[[], bool], what: str, within: float) -> None:
    """Wait until something holds, looking often.

    Raises:
        MasswatchError: it did not hold in time.
    """
    if not wait.until(holds, within=within):
        raise MasswatchError(f"{what}: not within {within:g} s: see the workers' logs")


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

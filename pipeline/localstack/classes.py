"""Kafka's classes, read and linked once, and mapped into memory at every later start.

A start takes half the time and a third of the CPU then, which pays for who starts many: tests.
Java calls it class data sharing; an archive that does not fit is passed over by Java itself.
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pipeline.core.errors import MasswatchError, Unreachable
from pipeline.localstack import kafka
from pipeline.localstack.free_port import free_ports
from pipeline.localstack.lock import locked
from pipeline.localstack.process import ENVIRONMENT, spawn, stop
from pipeline.localstack.service import Say
from pipeline.localstack.wait import until

_WITHIN: Final = 120.0


def archive_classes(say: Say = lambda _: None) -> None:
    """Make the archive of Kafka's classes that every later start uses, unless it is there.

    Raises:
        ConfigError: the extra `stack` is not installed.
        Unreachable: Maven Central does not answer, or Kafka did not start.
        MasswatchError: Java could not write the archive.
    """
    with TemporaryDirectory(prefix="masswatch-classes-") as name:
        folder = Path(name)
        seen = folder / "seen.txt"
        service = kafka.service(folder / "kafka", say, java=(f"-XX:DumpLoadedClassList={seen}",))
        ports = free_ports(service.port_count)
        command = service.prepare(ports)
        path = kafka.archive_of(command)
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock"), within=_WITHIN):
            if path.exists():
                return
            say("kafka: archiving its classes, once")
            process = spawn(command, service.log)
            try:
                if not until(lambda: service.answers(ports[0]), within=service.starts_within):
                    raise Unreachable(f"kafka: no answer: {service.log.read_text()[-2000:]}")
            finally:
                stop(process, within=service.stops_within)
            _dump(command, seen, path)


def _dump(command: list[str], seen: Path, path: Path) -> None:
    written = path.with_suffix(".new")
    options = command[: command.index("-cp") + 2]
    done = subprocess.run(  # noqa: S603 - no shell, and every argument is ours
        [
            *(one for one in options if "DumpLoadedClassList" not in one),
            "-Xshare:dump",
            f"-XX:SharedClassListFile={seen}",
            f"-XX:SharedArchiveFile={written}",
        ],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN,
        check=False,
    )
    if done.returncode != 0:
        raise MasswatchError(f"{path}: not written: {(done.stderr or done.stdout)[-2000:]}")
    written.replace(path)

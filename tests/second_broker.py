"""Another broker in the cluster of a local stack, so that a partition can change its leader."""

import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from guarded import started

from pipeline.localstack import Stack, kafka
from pipeline.localstack.free_port import HOST, free_ports
from pipeline.localstack.process import stop


class SecondBroker:
    """Node 2, a broker alone; node 1 stays the only controller.

    Args:
        folder: For its data, settings and log.
        cluster: The stack that it joins.
    """

    def __init__(self, folder: Path, cluster: Stack) -> None:
        first = cluster.folder / "kafka"
        told = _properties(first / "data" / "meta.properties")
        self._voters = _properties(first / "server.properties")["controller.quorum.voters"]
        data = folder / "data"
        data.mkdir(parents=True)
        directory = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        (data / "meta.properties").write_text(
            f"version=1\nnode.id=2\ncluster.id={told['cluster.id']}\ndirectory.id={directory}\n"
        )
        self._service = kafka.service(folder, lambda _: None, more=self._settings)
        ports = free_ports(self._service.port_count)
        self.bootstrap_servers = f"{HOST}:{ports[0]}"
        self._process = started(self._service, ports)

    def close(self) -> None:
        """End it in good order: it hands its partitions over first."""
        stop(self._process, within=self._service.stops_within)

    def _settings(self, ports: tuple[int, ...]) -> str:
        return f"""
process.roles=broker
node.id=2
controller.quorum.voters={self._voters}
listeners=PLAINTEXT://{HOST}:{ports[0]}
"""


def _properties(file: Path) -> dict[str, str]:
    lines = (line for line in file.read_text().splitlines() if "=" in line)
    return {name: value for name, _, value in (line.partition("=") for line in lines)}

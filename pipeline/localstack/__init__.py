"""A real Kafka and a real Redis-compatible server as child processes, for tests and development.

They need no Docker, root, Java, Maven or Redis on the machine: Java and Valkey come as wheels
(the extra `stack`), Kafka's jars from Maven Central.
"""

from pipeline.localstack.classes import archive_classes
from pipeline.localstack.stack import (
    Addresses,
    Health,
    Server,
    Stack,
    Standing,
    down,
    status,
    up,
)

__all__ = [
    "Addresses",
    "Health",
    "Server",
    "Stack",
    "Standing",
    "archive_classes",
    "down",
    "status",
    "up",
]

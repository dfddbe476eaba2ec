"""A Kafka and a Redis that let nobody in unknown: TLS, users, and rights by ACL."""

import asyncio
import ssl
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import redis
import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AclBinding,
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pipeline.localstack import kafka, valkey
from pipeline.localstack.free_port import HOST, free_ports
from pipeline.localstack.process import Process, spawn, stop
from pipeline.localstack.service import Service
from pipeline.localstack.wait import until

KEY_PASSWORD: Final = "key-pass-6f1d"  # noqa: S105 - a test's
CONNECTION_STRING: Final = (
    "Endpoint=sb://contoso.example.org/;SharedAccessKeyName=masswatch;"
    "SharedAccessKey=c2VjcmV0LWtleS0xMjM0NTY3ODkwYWJjZGVm+/s="
)
EVENT_HUBS_USER: Final = "$ConnectionString"


@dataclass(frozen=True)
class Certificates:
    """PEM files: who signed, the servers', and a client's whose key is encrypted."""

    folder: Path

    def write(self) -> Self:
        """Make them all."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        trustme.CA().cert_pem.write_to_path(self.stranger)
        server = authority.issue_cert(HOST, "localhost")
        _write(server, self.folder / "server.pem", NoEncryption())
        client = authority.issue_cert("client@example.org", common_name="client")
        _write(client, self.client_key, BestAvailableEncryption(KEY_PASSWORD.encode()))
        for one in client.cert_chain_pems:
            one.write_to_path(self.client, append=True)
        return self

    @property
    def authority(self) -> Path:
        """Who signed the servers' certificate."""
        return self.folder / "authority.pem"

    @property
    def stranger(self) -> Path:
        """Somebody who signed none of them."""
        return self.folder / "stranger.pem"

    @property
    def client(self) -> Path:
        """A client's certificate."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """Its key, encrypted; the certificate comes after it."""
        return self.folder / "client-key.pem"


def _write(leaf: trustme.LeafCert, path: Path, encryption: KeySerializationEncryption) -> None:
    """Write key and certificates into one file, the key in the only form that Java reads."""
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        + b"".join(one.bytes() for one in leaf.cert_chain_pems)
    )


class GuardedKafka:
    """One broker: users by SASL_SSL, client certificates by SSL, and an open port for the test."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self._certificates = certificates
        self._service = kafka.service(folder, lambda _: None, more_ports=2, more=self._settings)
        ports = free_ports(self._service.port_count)
        self._open = f"{HOST}:{ports[0]}"
        self.bootstrap_servers, self.by_certificate = f"{HOST}:{ports[2]}", f"{HOST}:{ports[3]}"
        self._process = started(self._service, ports)

    def stop(self) -> None:
        """End it."""
        stop(self._process, within=self._service.stops_within)

    @property
    def everything(self) -> dict[str, str]:
        """A client that may do everything, for what is not under test."""
        return {"bootstrap.servers": self._open}

    def add_user(self, user: str, password: str, rights: Iterable[AclBinding]) -> None:
        """Make a user with rights."""
        admin = AdminClient(dict(self.everything))
        wanted = UserScramCredentialUpsertion(
            user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password.encode()
        )
        for future in admin.alter_user_scram_credentials([wanted]).values():
            future.result(10)
        self.allow(rights)

    def allow(self, rights: Iterable[AclBinding]) -> None:
        """Give rights."""
        admin = AdminClient(dict(self.everything))
        if wanted := list(rights):
            for future in admin.create_acls(wanted).values():
                future.result(10)

    def _settings(self, ports: tuple[int, ...]) -> str:
        clients, controller, users, certificates = ports
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        folder = self._certificates.folder
        return f"""
listeners=PLAINTEXT://{HOST}:{clients},CONTROLLER://{HOST}:{controller},\
SASL_SSL://{HOST}:{users},SSL://{HOST}:{certificates}
advertised.listeners=PLAINTEXT://{HOST}:{clients},SASL_SSL://{HOST}:{users},\
SSL://{HOST}:{certificates}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={folder / "server.pem"}
ssl.truststore.type=PEM
ssl.truststore.location={self._certificates.authority}
listener.name.ssl.ssl.client.auth=required
listener.name.ssl.ssl.principal.mapping.rules=RULE:^CN=([a-z]+),.*$/$1/,DEFAULT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram}
listener.name.sasl_ssl.plain.sasl.jaas.config={plain} \
"user_{EVENT_HUBS_USER}"="{CONNECTION_STRING}";
"""


class GuardedRedis:
    """One server, whose TLS a proxy ends, since the wheel's server is built without."""

    def __init__(self, folder: Path, certificates: Certificates, password: str) -> None:
        self._service = valkey.service(folder)
        (self.port,) = ports = free_ports(1)
        self._process = started(self._service, ports)
        self._admin = redis.Redis(HOST, self.port)
        self._admin.config_set("requirepass", password)
        self._admin.close()
        self._admin = redis.Redis(HOST, self.port, password=password)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.folder / "server.pem")
        self._proxy = TlsProxy(context, self.port)
        self.url = f"rediss://{HOST}:{self._proxy.port}/0"

    def add_user(self, user: str, password: str, rights: str) -> None:
        """Make a user with rights."""
        categories = [each for each in rights.split() if each.startswith("+")]
        self._admin.acl_setuser(
            user,
            enabled=True,
            passwords=f"+{password}",
            keys=[each[1:] for each in rights.split() if each.startswith("~")],
            commands=categories,
        )

    def stop(self) -> None:
        """End both."""
        self._admin.close()
        self._proxy.stop()
        stop(self._process, within=self._service.stops_within)


class TlsProxy:
    """Takes connections with TLS, and passes their bytes on to a port of this machine."""

    def __init__(self, context: ssl.SSLContext, target: int) -> None:
        (self.port,) = free_ports(1)
        self._context = context
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, HOST, self.port, ssl=context)
        )
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Cut all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for one in self._connections:
            one.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        from_target, to_target = await asyncio.open_connection(HOST, self._target)
        try:
            await asyncio.gather(_pass_on(reader, to_target), _pass_on(from_target, writer))
        except asyncio.CancelledError:
            return  # the end of the proxy
        finally:
            self._connections.discard(task)
            writer.close()
            to_target.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def started(service: Service, ports: tuple[int, ...]) -> Process:
    """Start a server of a test's own, and return when it answers."""
    process = spawn(service.prepare(ports), service.log)
    if not until(lambda: service.answers(ports[0]), within=service.starts_within):
        stop(process, within=service.stops_within)
        raise AssertionError(service.log.read_text()[-2000:])
    return process

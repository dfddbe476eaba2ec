"""Who we are to Kafka and Redis, and by what we know them: settings of users, TLS and SASL."""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

MASKED: Final = "***"

_SECRETS: Final = frozenset({"sasl.password", "ssl.key.password"})


class Client(dict[str, str]):
    """librdkafka's settings, which hold secrets and never show them."""

    def __repr__(self) -> str:
        shown = {name: MASKED if name in _SECRETS else value for name, value in self.items()}
        return f"{type(self).__name__}({shown})"


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


Name = Annotated[str | None, BeforeValidator(_none_if_empty)]
Secret = Annotated[SecretStr | None, BeforeValidator(_none_if_empty)]
File = Annotated[Path | None, BeforeValidator(_none_if_empty)]


class Section(BaseModel):
    """A part of the settings; what was set wrongly is never quoted, as it may be a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Identity(Section):
    """A user, and the files of TLS."""

    username: Name = Field(None, description="the user that we are there")
    password: Secret = Field(None, description="of the user")
    ca_file: File = Field(
        None, description="PEM: who may sign the server's certificate; else who the system trusts"
    )
    cert_file: File = Field(
        None, description="PEM: our certificate, if the server asks for one, and its chain"
    )
    key_file: File = Field(None, description="PEM: the key of our certificate")
    key_password: Secret = Field(None, description="of the key, if it is encrypted")

    @property
    def has_tls_files(self) -> bool:
        """Whether anything is set that only TLS needs."""
        return any((self.ca_file, self.cert_file, self.key_file, self.key_password))

    def tls_faults(self, prefix: str) -> Iterator[str]:
        """Yield what is wrong with the files, each named as the environment names it."""
        if self.cert_file and not self.key_file:
            yield f"{prefix}KEY_FILE: missing, while CERT_FILE is set: name the key's PEM file"
        if self.key_file and not self.cert_file:
            yield f"{prefix}CERT_FILE: missing, while KEY_FILE is set: name the certificate's file"
        if self.key_password and not self.key_file:
            yield f"{prefix}KEY_FILE: missing, while KEY_PASSWORD is set: name the key's PEM file"
        unread = [
            f"{prefix}{name}: {file}: {fault}: name a PEM file that we may read"
            for name, file in (
                ("CA_FILE", self.ca_file),
                ("CERT_FILE", self.cert_file),
                ("KEY_FILE", self.key_file),
            )
            if file is not None and (fault := _unreadable(file))
        ]
        yield from unread
        if unread:
            return
        try:
            _trust(self.ca_file)
        except (ssl.SSLError, ValueError):
            yield f"{prefix}CA_FILE: {self.ca_file}: holds no certificate: name a PEM file"
        try:
            self._prove(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        except (ssl.SSLError, ValueError):
            yield (
                f"{prefix}KEY_FILE: {self.key_file}: not the key of CERT_FILE, or not opened by "
                "KEY_PASSWORD: name a certificate and its key, both PEM"
            )

    def tls_context(self) -> ssl.SSLContext:
        """Return what Python needs for TLS; certificates and host names are always checked."""
        context = _trust(self.ca_file)
        self._prove(context)
        return context

    def _prove(self, context: ssl.SSLContext) -> None:
        if self.cert_file and self.key_file:
            # Never nothing: OpenSSL would ask whoever sits at the terminal.
            password = revealed(self.key_password) or ""
            context.load_cert_chain(self.cert_file, self.key_file, password)


class KafkaIdentity(Identity):
    """How Kafka knows us, and we it."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )

    @property
    def has_sasl(self) -> bool:
        """Whether a user is asked for."""
        return self.security_protocol.startswith("SASL_")

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield what does not fit together, each named as the environment names it."""
        protocol = self.security_protocol
        credentials = (("USERNAME", self.username), ("PASSWORD", self.password))
        for name, value in credentials:
            if self.has_sasl and not value:
                yield f"{prefix}{name}: missing, while SECURITY_PROTOCOL is {protocol}: set it"
            if value and not self.has_sasl:
                yield (
                    f"{prefix}{name}: of no use, while SECURITY_PROTOCOL is {protocol}: "
                    "set that to SASL_SSL, or leave this out"
                )
        if self.has_tls_files and not self.has_tls:
            yield (
                f"{prefix}SECURITY_PROTOCOL: {protocol}, while files of TLS are set: "
                "set SSL or SASL_SSL, or leave the files out"
            )
        yield from self.tls_faults(prefix)

    def librdkafka(self) -> dict[str, str]:
        """Return what librdkafka has to be told; nothing for an open cluster."""
        if self.security_protocol == "PLAINTEXT":
            return {}
        told: dict[str, str] = {"security.protocol": self.security_protocol}
        if self.has_sasl:
            told["sasl.mechanism"] = self.sasl_mechanism
            told["sasl.username"] = self.username or ""
            told["sasl.password"] = revealed(self.password) or ""
        if self.has_tls:
            files = {
                "ssl.ca.location": self.ca_file,
                "ssl.certificate.location": self.cert_file,
                "ssl.key.location": self.key_file,
                "ssl.key.password": revealed(self.key_password),
            }
            told |= {name: str(value) for name, value in files.items() if value}
        return told

    def aiokafka(self) -> dict[str, Any]:
        """Return the same for aiokafka."""
        if self.security_protocol == "PLAINTEXT":
            return {}
        told: dict[str, Any] = {"security_protocol": self.security_protocol}
        if self.has_sasl:
            told["sasl_mechanism"] = self.sasl_mechanism
            told["sasl_plain_username"] = self.username or ""
            told["sasl_plain_password"] = revealed(self.password) or ""
        if self.has_tls:
            told["ssl_context"] = self.tls_context()
        return told


def aiokafka_of(client: Mapping[str, str]) -> dict[str, Any]:
    """Return for aiokafka what `KafkaSettings.client` returns for librdkafka."""
    files = {
        name: Path(client[told])
        for name, told in (
            ("ca_file", "ssl.ca.location"),
            ("cert_file", "ssl.certificate.location"),
            ("key_file", "ssl.key.location"),
        )
        if told in client
    }
    identity = KafkaIdentity.model_validate(
        {
            "security_protocol": client.get("security.protocol", "PLAINTEXT"),
            "sasl_mechanism": client.get("sasl.mechanism", "PLAIN"),
            "username": client.get("sasl.username"),
            "password": client.get("sasl.password"),
            "key_password": client.get("ssl.key.password"),
            **files,
        }
    )
    return {"bootstrap_servers": client["bootstrap.servers"], **identity.aiokafka()}


class RedisIdentity(Identity):
    """How Redis knows us, and we it, beside what the url says."""

    def faults(self, prefix: str, url: str) -> Iterator[str]:
        """Yield what does not fit together, each named as the environment names it."""
        scheme = urlsplit(url).scheme
        if (self.username or self.password) and names_user(url):
            yield (
                f"{prefix}URL: has a user or password, while USERNAME or PASSWORD is set: "
                "say it once, best outside of the url"
            )
        if self.username and not self.password:
            yield f"{prefix}PASSWORD: missing, while USERNAME is set: set it"
        if self.has_tls_files and scheme != "rediss":
            yield (
                f"{prefix}URL: {scheme}, while files of TLS are set: write rediss://…, or "
                "leave the files out"
            )
        yield from self.tls_faults(prefix)

    def redis(self, url: str) -> Mapping[str, Any]:
        """Return what redis-py has to be told beside the url."""
        told = {
            "username": self.username,
            "password": revealed(self.password),
            "ssl_ca_certs": self.ca_file and str(self.ca_file),
            "ssl_certfile": self.cert_file and str(self.cert_file),
            "ssl_keyfile": self.key_file and str(self.key_file),
            "ssl_password": revealed(self.key_password),
            # Not checked by redis-py before version 6.
            "ssl_check_hostname": urlsplit(url).scheme == "rediss",
        }
        return {name: value for name, value in told.items() if value}


def names_user(url: str) -> bool:
    """Tell whether a url has a user or a password in it."""
    parts = urlsplit(url)
    return bool(
        parts.username or parts.password or {"username", "password"} & parse_qs(parts.query).keys()
    )


def revealed(secret: SecretStr | None) -> str | None:
    """Return what a secret hides, for the client library that needs it."""
    return None if secret is None else secret.get_secret_value()


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))


def _unreadable(file: Path) -> str | None:
    try:
        with file.open("rb"):
            return None
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()

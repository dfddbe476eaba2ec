import os
import pickle
import ssl
from pathlib import Path

import pytest
from guarded import CONNECTION_STRING, EVENT_HUBS_USER, KEY_PASSWORD, Certificates
from rights import REDIS, ROLES, Role
from typer.testing import CliRunner

from pipeline.adapters.redis_client import connect
from pipeline.cli import command_line
from pipeline.config import Settings, load_settings
from pipeline.core.errors import ConfigError
from pipeline.security import aiokafka_of
from pipeline.wiring import _reading

SECRET = "hunter2"  # noqa: S105 - what must not show
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("MASSWATCH_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates")).write()


def put(monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"MASSWATCH_{name}", str(value))


def faults() -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return str(caught.value).splitlines()


def test_event_hubs_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    put(
        monkeypatch,
        KAFKA__BOOTSTRAP_SERVERS="contoso.servicebus.example.org:9093",
        KAFKA__SECURITY_PROTOCOL="SASL_SSL",
        KAFKA__SASL_MECHANISM="PLAIN",
        KAFKA__USERNAME=EVENT_HUBS_USER,
        KAFKA__PASSWORD=CONNECTION_STRING,
    )

    kafka = load_settings().kafka

    assert kafka.client() == {
        "bootstrap.servers": "contoso.servicebus.example.org:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": EVENT_HUBS_USER,
        "sasl.password": CONNECTION_STRING,
    }
    told = kafka.aiokafka()
    context = told.pop("ssl_context")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert told == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": EVENT_HUBS_USER,
        "sasl_plain_password": CONNECTION_STRING,
    }
    translated = aiokafka_of(kafka.client())
    assert translated.pop("bootstrap_servers") == kafka.bootstrap_servers
    assert translated.pop("ssl_context").check_hostname
    assert translated == told


def test_certificates_reach_every_client(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    for server in ("KAFKA", "REDIS"):
        put(
            monkeypatch,
            **{
                f"{server}__CA_FILE": certificates.authority,
                f"{server}__CERT_FILE": certificates.client,
                f"{server}__KEY_FILE": certificates.client_key,
                f"{server}__KEY_PASSWORD": KEY_PASSWORD,
            },
        )
    put(monkeypatch, KAFKA__SECURITY_PROTOCOL="SSL", REDIS__URL="rediss://cache.example.org:6380/0")
    put(monkeypatch, REDIS__USERNAME="worker", REDIS__PASSWORD=SECRET)

    settings = load_settings()

    assert settings.kafka.client("other:9093") == {
        "bootstrap.servers": "other:9093",
        "security.protocol": "SSL",
        "ssl.ca.location": str(certificates.authority),
        "ssl.certificate.location": str(certificates.client),
        "ssl.key.location": str(certificates.client_key),
        "ssl.key.password": KEY_PASSWORD,
    }
    assert _reading(settings, "audit").client["security_protocol"] == "SSL"
    pool = connect(**settings.redis.client()).connection_pool
    told = {
        "username": "worker",
        "password": SECRET,
        "ssl_ca_certs": str(certificates.authority),
        "ssl_certfile": str(certificates.client),
        "ssl_keyfile": str(certificates.client_key),
        "ssl_password": KEY_PASSWORD,
    }
    assert told.items() <= pool.connection_kwargs.items()


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        (
            {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL"},
            ["KAFKA__USERNAME: missing, while", "KAFKA__PASSWORD: missing, while"],
        ),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA__USERNAME": "me"},
            ["KAFKA__PASSWORD: missing, while SECURITY_PROTOCOL is SASL_PLAINTEXT: set it"],
        ),
        (
            {"KAFKA__USERNAME": "me", "KAFKA__PASSWORD": SECRET},
            ["KAFKA__USERNAME: of no use, while", "KAFKA__PASSWORD: of no use, while"],
        ),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__PASSWORD": SECRET},
            ["KAFKA__PASSWORD: of no use, while SECURITY_PROTOCOL is SSL: set that to SASL_SSL"],
        ),
        (
            {"KAFKA__CA_FILE": "{folder}/authority.pem"},
            ["KAFKA__SECURITY_PROTOCOL: PLAINTEXT, while files of TLS are set: set SSL or"],
        ),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CA_FILE": "{folder}/none.pem"},
            ["KAFKA__CA_FILE: {folder}/none.pem: no such file or directory: name a PEM file"],
        ),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CA_FILE": "{folder}"},
            ["KAFKA__CA_FILE: {folder}: is a directory: name a PEM file"],
        ),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CA_FILE": __file__},
            [f"KAFKA__CA_FILE: {__file__}: holds no certificate: name a PEM file"],
        ),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CERT_FILE": "{folder}/client.pem"},
            ["KAFKA__KEY_FILE: missing, while CERT_FILE is set"],
        ),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__KEY_FILE": "{folder}/client-key.pem"},
            ["KAFKA__CERT_FILE: missing, while KEY_FILE is set"],
        ),
        (
            {
                "KAFKA__SECURITY_PROTOCOL": "SSL",
                "KAFKA__CERT_FILE": "{folder}/client.pem",
                "KAFKA__KEY_FILE": "{folder}/client-key.pem",
            },
            ["KAFKA__KEY_FILE: {folder}/client-key.pem: not the key of CERT_FILE, or not opened"],
        ),
        (
            {
                "KAFKA__SECURITY_PROTOCOL": "SSL",
                "KAFKA__CERT_FILE": "{folder}/client.pem",
                "KAFKA__KEY_FILE": "{folder}/server.pem",
            },
            ["KAFKA__KEY_FILE: {folder}/server.pem: not the key of CERT_FILE, or not opened"],
        ),
        ({"KAFKA__SECURITY_PROTOCOL": "TLS"}, ["KAFKA__SECURITY_PROTOCOL: "]),
        ({"KAFKA__SASL_MECHANISM": "OAUTHBEARER"}, ["KAFKA__SASL_MECHANISM: "]),
        ({"REDIS__USERNAME": "me"}, ["REDIS__PASSWORD: missing, while USERNAME is set"]),
        (
            {"REDIS__URL": "redis://me:hunter2@localhost/0", "REDIS__PASSWORD": SECRET},
            ["REDIS__URL: has a user or password, while USERNAME or PASSWORD is set: say it once"],
        ),
        (
            {"REDIS__URL": "unix:///redis?password=hunter2", "REDIS__PASSWORD": SECRET},
            ["REDIS__URL: has a user or password, while USERNAME or PASSWORD is set: say it once"],
        ),
        (
            {"REDIS__CA_FILE": "{folder}/authority.pem"},
            ["REDIS__URL: redis, while files of TLS are set: write rediss://"],
        ),
        (
            {
                "REDIS__USERNAME": "me",
                "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
                "WORKER__LEASE": "99",
            },
            [
                "WORKER__LEASE: not below the session time-out",
                "KAFKA__USERNAME: missing",
                "KAFKA__PASSWORD: missing",
                "REDIS__PASSWORD: missing",
            ],
        ),
    ],
)
def test_what_does_not_fit_together_is_said_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
    certificates: Certificates,
    settings: dict[str, str],
    begins: list[str],
) -> None:
    folder = str(certificates.folder)
    put(monkeypatch, **{name: each.replace("{folder}", folder) for name, each in settings.items()})

    said = faults()

    expected = [f"MASSWATCH_{each.replace('{folder}', folder)}" for each in begins]
    assert [line[: len(one)] for line, one in zip(said, expected, strict=True)] == expected
    assert SECRET not in "".join(said)


def test_an_empty_setting_of_a_user_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, KAFKA__USERNAME="", KAFKA__PASSWORD="", KAFKA__CA_FILE="", REDIS__PASSWORD="")

    assert load_settings() == Settings()


def test_a_whole_section_at_once_is_no_setting_and_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(monkeypatch, KAFKA='{"password": SECRET')

    assert faults() == ["MASSWATCH_KAFKA: no such setting: see `masswatch settings`"]


def test_no_secret_shows_where_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    put(
        monkeypatch,
        KAFKA__SECURITY_PROTOCOL="SASL_SSL",
        KAFKA__USERNAME="me",
        KAFKA__PASSWORD=SECRET,
        REDIS__URL="redis://me:hunter2@localhost/0",
    )
    settings = load_settings()

    shown = (
        repr(settings),
        str(settings.model_dump()),
        settings.model_dump_json(),
        repr(settings.kafka.client()),
        repr(_reading(settings, "audit")),
        repr(connect(**settings.redis.client())),
        CliRunner().invoke(command_line(), ["settings"]).output,
    )

    assert not [one for one in shown if SECRET in one]


def test_a_client_that_a_process_is_given_keeps_its_secret_and_hides_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(monkeypatch, KAFKA__SECURITY_PROTOCOL="SASL_SSL", KAFKA__USERNAME="me")
    put(monkeypatch, KAFKA__PASSWORD=SECRET)
    client = load_settings().kafka.client()

    given = pickle.loads(pickle.dumps(client))  # noqa: S301 - our own

    assert given == client
    assert given["sasl.password"] == SECRET
    assert SECRET not in repr(given)


def test_dev_up_prints_no_url_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, KAFKA__BOOTSTRAP_SERVERS="one:9092")
    put(monkeypatch, REDIS__URL="redis://me:hunter2@localhost/0")

    printed = CliRunner().invoke(command_line(), ["dev", "up"]).stdout

    assert printed == "export MASSWATCH_KAFKA__BOOTSTRAP_SERVERS=one:9092\n"


def test_http_is_served_on_the_loopback_unless_somebody_says_otherwise() -> None:
    assert load_settings().http.host == "127.0.0.1"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_readme_has_the_rights_of_every_role_as_they_are_tested(role: Role) -> None:
    assert role.row in README


def test_the_readme_has_the_rights_in_redis_as_they_are_tested() -> None:
    assert f"`{REDIS}`" in README

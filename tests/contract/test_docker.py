"""The image, the compose file and the example policy, checked without a container engine."""

import json
import re
import subprocess
import sys
import sysconfig
import threading
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from pipeline.config import PREFIX, WorkerSettings, every_setting
from pipeline.core.policy import Policy, Reason, Severity
from pipeline.localstack import jars, kafka
from pipeline.policy_file import _File, load_policy, read_policy

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = ROOT / "docker" / "compose.yaml"
POLICY = ROOT / "docker" / "policy.example.toml"
SCRIPTS = Path(sysconfig.get_path("scripts"))

Yaml = dict[str, Any]


# The image


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    done = _run(SCRIPTS / "hadolint", "--failure-threshold", "style", DOCKERFILE)

    assert done.returncode == 0, done.stdout


def test_the_end_image_is_another_stage_that_runs_nothing_while_it_is_built() -> None:
    build, end = _stages()

    assert any(line.startswith("RUN ") for line in build)
    assert not [line for line in end if line.startswith(("RUN ", "ADD "))]
    assert [line for line in end if line.startswith("COPY ")] == [
        "COPY --from=build /opt/masswatch /opt/masswatch"
    ]


def test_both_stages_have_the_same_python_on_the_same_system() -> None:
    (build, *_), (end, *_) = _stages()

    assert re.fullmatch(r"FROM python:3\.\d+-bookworm AS build", build)
    assert end == build.removesuffix(" AS build").replace("-bookworm", "-slim-bookworm")


def test_the_image_does_not_run_as_root_and_names_its_user_by_number() -> None:
    user = _only("USER")

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_image_starts_a_worker_and_passes_sigterm_to_it() -> None:
    assert json.loads(_only("ENTRYPOINT")) == ["masswatch"]
    assert json.loads(_only("CMD")) == ["worker"]
    assert _only("STOPSIGNAL") == "SIGTERM"


def test_the_image_sets_nothing_but_where_to_listen() -> None:
    assert re.findall(rf"{PREFIX}\w+=\S+", _only("ENV")) == [f"{PREFIX}HTTP__HOST=0.0.0.0"]


def test_every_file_the_build_copies_exists_and_is_let_through_to_it() -> None:
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    build, _ = _stages()
    copied = {source for line in build if line.startswith("COPY ") for source in line.split()[1:-1]}

    assert copied == let_through
    assert {name for name in copied if not (ROOT / name).exists()} == set()


def test_the_lock_gives_a_hash_for_everything_and_names_no_registry() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    requirements = [line for line in re.sub(r"\\\n", "", lock).splitlines() if line[:1].isalnum()]

    assert requirements
    assert [line for line in requirements if "--hash=sha256:" not in line] == []
    assert "://" not in lock


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1)])
def test_the_health_check_says_what_the_worker_says(status: int, exit_code: int) -> None:
    with _worker_that_answers(status) as server:
        done = _check_health(server.server_port)

    assert done.returncode == exit_code, done.stderr
    assert server.asked == ["/healthz"]


def test_the_health_check_fails_when_nobody_listens() -> None:
    with _worker_that_answers(200) as server:
        port = server.server_port

    assert _check_health(port).returncode == 1


# The compose file


def test_the_compose_file_is_one_by_the_schema_of_its_specification() -> None:
    done = _run(SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_image_has_a_version() -> None:
    images = [service["image"] for service in _services().values()]

    assert [image for image in images if not re.fullmatch(r".+:\d+\.\d+\.\d+", image)] == []


def test_every_service_has_a_health_check_or_ends_by_itself() -> None:
    for name, service in _services().items():
        if service.get("restart") == "no":
            assert service["healthcheck"] == {"disable": True}, name
        else:
            assert "build" in service or "test" in service["healthcheck"], name


def test_every_service_waits_for_one_that_exists_in_the_way_it_can_be_waited_for() -> None:
    services = _services()
    waits = [
        (services[other], how["condition"])
        for service in services.values()
        for other, how in service.get("depends_on", {}).items()
    ]

    assert len(waits) == 5
    for other, condition in waits:
        ends = other.get("restart") == "no"
        assert condition == ("service_completed_successfully" if ends else "service_healthy")


def test_topics_are_applied_before_two_workers_start() -> None:
    services = _services()
    workers = [each for each in services.values() if each.get("command") == ["worker"]]

    assert services["topics"]["command"] == ["topics", "apply"]
    assert len(workers) == 2
    assert all("topics" in worker["depends_on"] for worker in workers)


def test_ports_are_published_on_the_loopback_address_and_once() -> None:
    ports = [port for service in _services().values() for port in service.get("ports", [])]

    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_what_is_kept_is_in_named_volumes_that_are_declared() -> None:
    compose = _compose()
    named = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str)
    ]

    assert sorted(named) == sorted(compose["volumes"])


def test_the_policy_file_is_mounted_for_reading_where_the_worker_looks_for_it() -> None:
    for name in ("worker-1", "worker-2"):
        worker = _services()[name]
        (mount,) = worker["volumes"]

        assert (COMPOSE.parent / mount["source"]).resolve() == POLICY
        assert mount["target"] == worker["environment"][f"{PREFIX}POLICY_FILE"]
        assert mount["read_only"] is True


def test_every_setting_that_the_compose_file_gives_is_one() -> None:
    known = {name for name, _, _ in every_setting()}
    given = {
        name
        for service in _services().values()
        for name in service.get("environment", {})
        if name.startswith(PREFIX)
    }

    assert given
    assert given - known == set()


def test_a_worker_is_given_longer_to_stop_than_it_takes() -> None:
    for name in ("worker-1", "worker-2"):
        grace = re.fullmatch(r"(\d+)s", _services()[name]["stop_grace_period"])

        assert grace is not None
        assert timedelta(seconds=int(grace[1])) > WorkerSettings().stop_within


def test_kafka_is_the_one_of_the_local_stack_with_its_settings() -> None:
    service = _services()["kafka"]
    properties = dict(
        line.split("=", 1)
        for line in kafka._settings(Path("data"), (1, 2)).splitlines()
        if line and not line.startswith("#")
    )
    of_the_place = {
        "controller.quorum.voters",
        "listeners",
        "advertised.listeners",
        "log.dirs",
    }
    wanted = {
        "KAFKA_" + name.upper().replace(".", "_"): value
        for name, value in properties.items()
        if name not in of_the_place
    }

    assert service["image"] == f"apache/kafka:{jars.KAFKA}"
    assert {name: service["environment"].get(name) for name in wanted} == wanted


def test_the_store_forgets_nothing_that_it_has_acknowledged() -> None:
    command = _services()["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))

    assert options["--maxmemory-policy"] == "noeviction"
    assert (options["--appendonly"], options["--appendfsync"]) == ("yes", "always")


# The example policy


def test_the_example_policy_says_what_holds_without_one() -> None:
    assert load_policy(POLICY) == Policy()


def test_the_examples_in_the_example_policy_are_valid() -> None:
    policy = read_policy(_with_examples(), "policy.example.toml")

    assert len(policy.allow_list) == 2
    assert len(policy.tenants) == 1
    assert len(policy.workspaces) == 1


def test_the_example_policy_names_every_key_there_is() -> None:
    content = _with_examples()
    paths = list(_paths_of(_File))

    assert ("allow", "[]", "owner") in paths
    assert [path for path in paths if not _leads_somewhere(content, path)] == []


@pytest.mark.parametrize("word", [*Reason, *Severity])
def test_the_example_policy_names_every_word_that_a_setting_takes(word: str) -> None:
    assert f'"{word}"' in POLICY.read_text()


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _stages() -> list[list[str]]:
    """The instructions of the Dockerfile, one line each, by stage."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    stages: list[list[str]] = []
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        if line.startswith("FROM "):
            stages.append([])
        if line:
            stages[-1].append(line)
    return stages


def _only(instruction: str) -> str:
    """What the end image says in the one line of an instruction."""
    found = [line for line in _stages()[-1] if line.startswith(f"{instruction} ")]
    assert len(found) == 1, found
    return found[0].removeprefix(f"{instruction} ")


class _Answering(ThreadingHTTPServer):
    status: int
    asked: list[str]

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,)).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: _Answering

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the output of a test run to the tests."""


def _worker_that_answers(status: int) -> _Answering:
    server = _Answering(("127.0.0.1", 0), _Answer)
    server.status, server.asked = status, []
    return server


def _check_health(port: int) -> subprocess.CompletedProcess[str]:
    _, command = _only("HEALTHCHECK").split(" CMD ")
    program, *arguments = json.loads(command)
    assert program == "python"
    # A proxy that nobody serves: the check has to go past it.
    environment = {f"{PREFIX}HTTP__PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _compose() -> Yaml:
    loaded: Yaml = yaml.safe_load(COMPOSE.read_text())
    return loaded


def _services() -> dict[str, Yaml]:
    services: dict[str, Yaml] = _compose()["services"]
    return services


def _with_examples() -> Yaml:
    """The example policy with the lines read that are commented out without a space."""
    return tomllib.loads(re.sub(r"^#(?=\S)", "", POLICY.read_text(), flags=re.MULTILINE))


def _paths_of(kind: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every key of a model: `*` is any key of a table, `[]` any entry of a list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from _paths_of(field.annotation, (*path, name))
    elif get_origin(kind) is dict:
        yield from _paths_of(get_args(kind)[1], (*path, "*"))
    elif get_origin(kind) is tuple:
        yield from _paths_of(get_args(kind)[0], (*path, "[]"))
    else:
        yield path


def _leads_somewhere(content: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    step, *rest = path
    match step:
        case "*":
            inside = list(content.values())
        case "[]":
            inside = content
        case _:
            inside = [content[step]] if step in content else []
    return any(_leads_somewhere(each, tuple(rest)) for each in inside)

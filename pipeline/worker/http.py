"""Health, readiness and metrics over HTTP."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from mode import Service

from pipeline.adapters.metrics import CONTENT_TYPE
from pipeline.core.errors import ConfigError

_log = structlog.get_logger()

Answer = Callable[[], Awaitable[list[str]]]
"""Says what is wrong; nothing when all is well."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the server is asked for.

    Attributes:
        live: What stands still: a reason to start the worker again.
        ready: What the worker still waits for: no reason to do anything.
        metrics: The metrics as text.
    """

    live: Answer
    ready: Answer
    metrics: Callable[[], bytes]


class Http(Service):
    """Serves `/healthz`, `/readyz` and `/metrics`."""

    mundane_level = "debug"

    def __init__(self, host: str, port: int, answers: Answers, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._host = host
        self._port = port
        self._answers = answers
        self._runner: web.AppRunner | None = None

    async def on_start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise ConfigError(
                f"MASSWATCH_HTTP__PORT: {self._host}:{self._port}: {error.strerror}: "
                "set another port; every worker on a machine needs its own"
            ) from error
        _log.info("http.listening", addresses=[str(one) for one in self._runner.addresses])

    async def on_stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return _verdict(await self._answers.live())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _verdict(await self._answers.ready())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._answers.metrics(), headers={"Content-Type": CONTENT_TYPE})


def _verdict(faults: list[str]) -> web.Response:
    return web.json_response({"faults": faults}, status=503 if faults else 200)

"""`masswatch worker`: read the sources, publish alerts, until told to stop."""

from pipeline.config import load_settings
from pipeline.log import set_up_logs
from pipeline.worker.run import run_worker


def worker() -> None:
    """Read the source topics and publish alerts, until SIGTERM or Ctrl-C.

    Runs in the foreground and logs to standard error. Several workers share the partitions; on one
    machine each needs its own MASSWATCH_HTTP__PORT, where /healthz, /readyz and /metrics are.

    Exit codes: 0 stopped, 1 stuck or crashed, 3 wrong configuration or missing topics, 4 broker or
    store not reachable at the start.
    """
    settings = load_settings()
    set_up_logs(settings.log)
    run_worker(settings)

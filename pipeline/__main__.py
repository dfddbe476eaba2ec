"""The command: `masswatch`, and `python -m pipeline`."""

import signal
import sys


def main() -> None:
    """Run the command line and end with its exit code."""
    if sys.argv[1:2] == ["worker"]:
        # Sent to a worker that is still starting, it would end it; the policy is read later.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from pipeline.cli import run  # noqa: PLC0415 - takes time, in which signals come

    raise SystemExit(run())


if __name__ == "__main__":
    main()

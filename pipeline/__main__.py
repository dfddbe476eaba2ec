"""The command: `masswatch`, and `python -m pipeline`."""

from pipeline.cli import run


def main() -> None:
    """Run the command line and end with its exit code."""
    raise SystemExit(run())


if __name__ == "__main__":
    main()

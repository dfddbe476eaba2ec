"""Libraries that only some backtests need: the extra `masswatch[backtest]`."""

from importlib import import_module
from typing import Any

from pipeline.core.errors import ConfigError


def needed(module: str) -> Any:
    """Import a library of the extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f'{module}: not installed: pip install "masswatch[backtest]"') from error

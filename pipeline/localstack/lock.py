"""One at a time: a lock file that the kernel opens again when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.core.errors import MasswatchError
from pipeline.localstack.wait import until


@contextmanager
def locked(path: Path, *, within: float) -> Iterator[None]:
    """Hold the lock file for the block; wait for another holder so many seconds.

    Raises:
        MasswatchError: another process held it all the while.
    """
    with ExitStack() as held:
        if not until(lambda: _took(path, held), within=within):
            raise MasswatchError(
                f"{path}: held by another masswatch for {within:.0f} s: wait for it, or end it"
            )
        yield


def _took(path: Path, held: ExitStack) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        file = opened.enter_context(path.open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before us may have deleted the file, which then locks nobody out.
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return False
        except (BlockingIOError, FileNotFoundError):
            return False
        held.push(opened.pop_all())
    return True

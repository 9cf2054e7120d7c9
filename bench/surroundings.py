"""What every measurement in Blender needs around it: a service of its own, and Blender's silence."""

import contextlib
import os
import sys
from collections.abc import Iterator

from underpaint.protocol import client
from underpaint.protocol.client import Connection


@contextlib.contextmanager
def service() -> Iterator[Connection]:
    """The service of the data folder that is set, ended afterwards."""
    connection = client.ensure_running()
    try:
        yield connection
    finally:
        connection.shutdown()
        connection.close()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Blender and Rigify write to the process's own stdout, past Python's."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)

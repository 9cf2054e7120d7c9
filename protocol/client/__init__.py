"""The only code of ours that opens a connection: finding the service, starting it, talking to it.

    with ensure_running() as connection:
        job = run(connection, GenerateRequest(prompt="a lighthouse", size=Extent(width=512, height=512)))
        picture = connection.download(job.result.image)

Standard library and numpy only: this runs in Blender's Python.
"""

from .connection import Connection
from .endpoint import Endpoint
from .following import run, succeeded, wait
from .home import Home, default_home
from .launcher import backend_python, connect, connect_here, ensure_running

__all__ = [
    "Connection",
    "Endpoint",
    "Home",
    "backend_python",
    "connect",
    "connect_here",
    "default_home",
    "ensure_running",
    "run",
    "succeeded",
    "wait",
]

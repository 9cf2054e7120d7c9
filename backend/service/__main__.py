"""The service as a program: one for each home, on a loopback port of its own, until nobody needs it.

With `--bind` it serves other computers as well, and stays until it is ended.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import math
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.concurrency import run_in_threadpool

from ...protocol.client import endpoint, logs
from ...protocol.client.endpoint import Endpoint
from ...protocol.client.file_lock import FileLock
from ...protocol.client.home import Home, default_home
from ...protocol.client.logs import Program
from ...protocol.errors import BackendUnreachable, DiskFull, QueueLocked
from ..blobstore import BlobStore
from ..library.index import Index
from .app import Activity, Parts, build
from .database import Database, UnusableDatabase
from .guard import Door
from .hub import Hub
from .limits import Limits
from .patience import Doorkeeper, Patience, PatientProtocol
from .privacy import ForeignHome, keep_token_private, make_private
from .recovery import close_queue, keep_copy, open_queue
from .remote import DEFAULT_PORT, Remote, RemoteRefused, prepare
from .remote_door import RemoteDoor
from .retention import Keep, keep_tidy
from .supervisor import Supervisor

IDLE_EXIT_S = 20 * 60.0
_INTEREST_S = 60.0  # after a call, for which the list of models is kept fresh
_HOST = "127.0.0.1"

log = logging.getLogger("underpaint.service")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to leave, or until nobody has needed the service for long. Returns the exit code."""
    options = _parser().parse_args(arguments)
    home = Home(options.home.absolute()) if options.home else default_home()
    os.umask(0o077)  # prompts and pictures are their owner's business, wherever the home lies
    home.create()
    lock = FileLock(home.lock_file)
    if not lock.try_acquire():
        if options.bind is not None:
            sys.stderr.write(
                f"An Underpaint service runs for {home.folder} already. Stop it (in Blender's preferences, "
                "for instance), and start this one again.\n"
            )
            return 1
        sys.stderr.write(f"Another Underpaint service runs for {home.folder}; this one is not needed.\n")
        return 0
    with lock:
        _log_to(home)
        try:
            make_private(home)
            remote = _remote(home, options)
            database = open_queue(home)
        except (ForeignHome, RemoteRefused, UnusableDatabase, DiskFull, QueueLocked) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        try:
            _serve(home, lock, database, options, remote)
        except BaseException:
            log.exception("the service fell")
            database.close()  # and the next one looks whether the queue is whole
            raise
        close_queue(home, database)
    return 0


def _remote(home: Home, options: argparse.Namespace) -> Remote | None:
    """How other computers are served, where that was asked for. Raises RemoteRefused."""
    if options.bind is None:
        if options.certificate or options.key or options.name:
            raise RemoteRefused("--certificate, --key and --name are for other computers, which --bind lets in.")
        return None
    remote = prepare(home, bind=options.bind, certificate=options.certificate, key=options.key, names=options.name)
    sys.stdout.write(
        f"Serving other computers at {' and '.join(remote.urls)}\n"
        f"There, after bringing the certificate and {home.remote_token_file} over (and not by mail):\n"
        f"  underpaint remote use {remote.urls[0]} --certificate {options.certificate.name} --token remote-token\n"
    )
    sys.stdout.flush()
    return remote


def _serve(home: Home, lock: FileLock, database: Database, options: argparse.Namespace, remote: Remote | None) -> None:
    from ... import __version__

    blobs, hub, activity = BlobStore(home.blobs), Hub(), Activity()
    blobs.sweep()
    index = Index(home.models, home.model_list, software=__version__)
    index.open()
    supervisor = Supervisor(
        database=database,
        blobs=blobs,
        hub=hub,
        command=options.worker_command or _worker_command(home),
        worker_log=home.worker_log,
        limits=Limits(silence_s=options.silence_s, cancel_s=options.cancel_s),
    )
    supervisor.recover()
    listener = _listen()
    port, token = listener.getsockname()[1], secrets.token_hex(32)
    where = Endpoint(host=_HOST, port=port, pid=os.getpid(), software_version=__version__)

    def stop() -> None:
        server.should_exit = True
        endpoint.withdraw(home, os.getpid())  # from now on nobody is to find one that is leaving

    parts = Parts(
        database=database,
        blobs=blobs,
        hub=hub,
        supervisor=supervisor,
        index=index,
        activity=activity,
        stop=stop,
        software_version=__version__,
        pid=os.getpid(),
    )
    PatientProtocol.patience = Patience(**options.patience)
    config = uvicorn.Config(
        build(
            parts,
            here=Door.on_loopback(token=token, port=port),
            remote=None if remote is None else remote.door,
        ),
        http=PatientProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,  # there is no proxy, and nobody else is believed
        server_header=False,
        date_header=False,
        backlog=256,
        timeout_keep_alive=int(Patience.keep_alive_s),
        timeout_graceful_shutdown=2,
    )
    server = _Server(
        config,
        home=home,
        lock=lock,
        where=where,
        token=token,
        parts=parts,
        idle_exit_s=_idle_exit_s(options),
        remote=remote,
        keep=Keep(max_bytes=int(options.keep_gb * 1e9), max_age_s=options.keep_days * 86400),
    )
    # uvicorn raises the signal that it obeyed once more when it is done; by then there is nothing left to do.
    for number in (signal.SIGINT, signal.SIGTERM, *((signal.SIGBREAK,) if sys.platform == "win32" else ())):
        signal.signal(number, lambda _number, _frame: stop())
    log.info("serving %s on port %d as process %d", home.folder, port, os.getpid())
    index.start(lambda: hub.listeners > 0 or time.monotonic() - activity.last_call < _INTEREST_S)
    try:
        server.run(sockets=[listener])
    finally:
        index.stop()
        endpoint.withdraw(home, os.getpid())
        listener.close()
    log.info("left")


class _Server(uvicorn.Server):
    """uvicorn, with our files, our supervisor and our reasons to leave."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        home: Home,
        lock: FileLock,
        where: Endpoint,
        token: str,
        parts: Parts,
        idle_exit_s: float,
        remote: Remote | None,
        keep: Keep,
    ) -> None:
        super().__init__(config)
        self._home = home
        self._lock = lock
        self._where = where
        self._token = token
        self._parts = parts
        self._idle_exit_s = idle_exit_s
        self._remote = remote
        self._keep = keep
        self._tasks: list[asyncio.Task[None]] = []
        self._doorkeeper = Doorkeeper()
        self._token_closes = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and only then say where."""
        await super().startup(sockets)
        parts = self._parts
        self._tasks = [
            asyncio.create_task(parts.supervisor.run()),
            asyncio.create_task(keep_tidy(parts.database, parts.blobs, self._keep)),
            asyncio.create_task(keep_copy(self._home, parts.database)),
        ]
        if self._remote is not None:
            self._tasks.append(asyncio.create_task(self._remote_door(self._remote).run()))
        self._parts.activity.last_call = time.monotonic()
        endpoint.publish(self._home, self._where, self._token)
        await run_in_threadpool(os.getpid)  # its first use loads a tenth of a second of code; not on a client's time

    def _remote_door(self, remote: Remote) -> RemoteDoor:
        """What lets other computers' connections in, to where those of this one go."""
        patience = PatientProtocol.patience

        def protocol() -> PatientProtocol:
            return PatientProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        return RemoteDoor(
            remote.listener,
            remote.context,
            protocol,
            handshake_s=patience.head_s,
            strangers=patience.strangers,
        )

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; whether to leave."""
        for task in self._tasks:
            if task.done():
                task.result()  # raises what made it fall: a service without it would only pretend
        if self._parts.activity.damage is not None:
            raise self._parts.activity.damage
        if counter % 10 == 0:
            self._doorkeeper.look(self.server_state.connections, time.monotonic())
            self._stay_or_leave()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop answering, end the events, end the worker."""
        endpoint.withdraw(self._home, self._where.pid)
        self._parts.hub.close()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._parts.supervisor.stop()
        await super().shutdown(sockets)

    def _stay_or_leave(self) -> None:
        if self.should_exit:
            return
        self._token_closes = self._token_closes and keep_token_private(self._home)
        if self._idle():
            log.info("nobody has needed this service for %.0f s", self._idle_exit_s)
            self.should_exit = True
        elif not self._lock.intact():
            log.warning("%s was removed; this service has no home any more", self._home.folder)
            self.should_exit = True
        elif not self._findable():
            # Nobody could use this service, nor stop it, and its lock would keep another from starting.
            try:
                endpoint.publish(self._home, self._where, self._token)
            except OSError as error:
                log.warning("the endpoint was removed or changed, and can't be written again yet: %s", error)

    def _findable(self) -> bool:
        """Whether the files lead others here, with the right token."""
        try:
            return endpoint.read(self._home) == (self._where, self._token)
        except BackendUnreachable:
            return False

    def _idle(self) -> bool:
        if self._parts.hub.listeners or self._parts.supervisor.busy:
            self._parts.activity.last_call = time.monotonic()
        return time.monotonic() - self._parts.activity.last_call > self._idle_exit_s


def _idle_exit_s(options: argparse.Namespace) -> float:
    """Other computers can't start it again, so where they are served it stays unless told otherwise."""
    if options.idle_exit_s is not None:
        return options.idle_exit_s
    return IDLE_EXIT_S if options.bind is None else math.inf


def _listen() -> socket.socket:
    """A loopback socket on a free port, on which connections can queue from now on."""
    # The protocol must be named: asyncio sets TCP_NODELAY only on sockets that say they are TCP, and without
    # it every small answer waits 40 ms for the peer's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform == "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)  # nobody else may take the port over
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((_HOST, 0))
    listener.listen(128)
    return listener


def _worker_command(home: Home) -> list[str]:
    bootstrap = Path(__file__).resolve().parents[1] / "bootstrap.py"
    return [sys.executable, "-P", str(bootstrap), "worker", "--blobs", str(home.blobs), "--models", str(home.models)]


def _log_to(home: Home) -> None:
    """The service's own log, and what workers print."""
    logs.write_to_home(Program.SERVICE, home, also=("uvicorn",))
    logs.write_to_home(Program.WORKER, home)
    logging.raiseExceptions = False  # a full disk must not make every log line a traceback


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="underpaint service", description=__doc__)
    parser.add_argument("--home", type=Path, help="the data folder; by default the user's")
    parser.add_argument("--idle-exit-s", type=float, help="leave after so long without a client; with --bind never")
    parser.add_argument("--keep-days", type=float, default=Keep.max_age_s / 86400, help="forget jobs that are older")
    parser.add_argument("--keep-gb", type=float, default=Keep.max_bytes / 1e9, help="forget the oldest jobs beyond it")
    others = parser.add_argument_group("serving other computers")
    others.add_argument("--bind", metavar="ADDRESS[:PORT]", help=f"where they reach it; port {DEFAULT_PORT} otherwise")
    others.add_argument("--certificate", type=Path, metavar="FILE", help="shown to them (PEM)")
    others.add_argument("--key", type=Path, metavar="FILE", help="of the certificate (PEM)")
    others.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="theirs for it; by default those in the certificate"
    )
    # For tests: another worker, and less patience.
    parser.add_argument("--worker-command", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--patience", type=json.loads, default={}, help=argparse.SUPPRESS)
    parser.add_argument("--silence-s", type=float, default=Limits.silence_s, help=argparse.SUPPRESS)
    parser.add_argument("--cancel-s", type=float, default=Limits.cancel_s, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The door for other computers: TLS or nothing, and nobody stands in it for long."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

_PAUSE_S = 1.0  # after a connection that could not be taken, for lack of handles

log = logging.getLogger("underpaint.service")


class RemoteDoor:
    """Owns a listening socket, and the connections on it until their handshake is done.

    asyncio's own server has no limit for those, and somebody without the token could take all handles with them.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        *,
        handshake_s: float,
        strangers: int,
    ) -> None:
        """`strangers` may be at their handshake at once, for `handshake_s` each; the oldest goes for one more."""
        self._listener = listener
        self._context = context
        self._protocol = protocol
        self._handshake_s = handshake_s
        self._strangers = strangers
        self._knocking: dict[asyncio.Task[None], None] = {}  # oldest first

    async def run(self) -> None:
        """Let in who comes, until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listener)
                except OSError as error:
                    log.warning("a connection from another computer could not be taken: %s", error)
                    await asyncio.sleep(_PAUSE_S)
                    continue
                task = loop.create_task(self._let_in(connection))
                self._knocking[task] = None
                task.add_done_callback(lambda done: self._knocking.pop(done, None))
                if len(self._knocking) > self._strangers:
                    oldest = next(iter(self._knocking))
                    del self._knocking[oldest]  # at once: it takes a few turns to end, and the next one has to go too
                    oldest.cancel()
                # Accepting never waits while somebody is there: others have their turn, and what was taken is begun,
                # as one that is cancelled before that would leave its connection open.
                await asyncio.sleep(0)
        finally:
            self._listener.close()
            for task in list(self._knocking):
                task.cancel()

    async def _let_in(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, ssl=self._context, ssl_handshake_timeout=self._handshake_s
            )
        except OSError as error:  # no TLS, another idea of it, or no word at all
            log.debug("a connection from another computer was not let in: %s", error)

"""How long a connection may take over what it has to say, so that nobody holds the door for others.

uvicorn waits for ever for a head or a body that has begun. Here every connection is looked at once a second, and one
that is overdue is cut. Clients of ours never notice: they speak at once, and ask once more where a connection broke.
"""

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

WELCOME = "underpaint.welcome"
"""What the guard leaves in the scope of a request that it let in."""
_OVERSLEPT_S = 3.0

log = logging.getLogger("underpaint.service")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """In seconds, where nothing else is said."""

    head_s: float = 10.0  # until a request's head is complete, and for a connection that says nothing
    body_s: float = 15.0  # before a body is held to `body_rate`; and all that one takes which is refused a welcome
    body_rate: float = 16 * 1024.0  # bytes a second, on average
    keep_alive_s: float = 600.0  # between the requests of a client
    stranger_s: float = 5.0  # the same where the last one did not have the token
    stalled_s: float = 600.0  # without a byte of an answer being taken
    strangers: int = 128  # connections that have not shown the token; beyond them the oldest goes


class _Phase(Enum):
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    BETWEEN = auto()  # two requests


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """A connection as it was when it last got on."""

    phase: _Phase
    cycle: object  # the request that it is about
    unsent: int  # bytes of an answer that wait for the client
    at: float  # monotonic
    received: int  # bytes, all told


class PatientProtocol(H11Protocol):
    """uvicorn's connection, and whether it is overdue."""

    patience = Patience()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = 0
        self._mark: _Mark | None = None
        self._cut = False

    @property
    def welcome(self) -> bool:
        """Whether its last request had the token."""
        return self._request is not None and WELCOME in cast("dict[str, object]", self.scope)

    @property
    def _request(self) -> RequestResponseCycle | None:
        return self.cycle  # None before the first, whatever its type says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a newcomer in, in the place of the oldest stranger where there are many."""
        super().connection_made(transport)
        self.look(self.loop.time())
        # Those that are closing count: over TLS that waits for the other side, and each holds a handle meanwhile.
        strangers = [one for one in self._all() if not one.welcome and not one._cut]
        if len(strangers) > self.patience.strangers:
            min(strangers, key=lambda one: one.arrived).cut("too many connections without the token")

    @property
    def arrived(self) -> float:
        """When it last got on."""
        return self._mark.at if self._mark is not None else 0.0

    def data_received(self, data: bytes) -> None:
        """Count what comes."""
        self._received += len(data)
        super().data_received(data)

    def look(self, now: float, *, overslept_s: float = 0.0) -> str:
        """Why this connection is overdue, at `now` (monotonic); empty where it isn't."""
        mark, fresh = self._mark, self._marked(now)
        if mark is None or (mark.phase, mark.cycle, mark.unsent) != (fresh.phase, fresh.cycle, fresh.unsent):
            self._mark = fresh
            return ""
        if overslept_s or self.flow.read_paused:  # it is we who keep the client waiting
            self._mark = _Mark(
                phase=mark.phase,
                cycle=mark.cycle,
                unsent=mark.unsent,
                at=now if self.flow.read_paused else mark.at + overslept_s,
                received=fresh.received,
            )
            return ""
        return self._overdue(now - mark.at, fresh.received - mark.received, fresh)

    def cut(self, reason: str) -> None:
        """End the connection at once."""
        log.debug("a connection was cut: %s", reason)
        self._cut = True
        self.transport.abort()

    def _overdue(self, elapsed_s: float, received: int, mark: _Mark) -> str:
        patience = self.patience
        match mark.phase:
            case _Phase.HEAD if elapsed_s > patience.head_s:
                return "its request's head is not complete"
            case _Phase.BODY if elapsed_s > patience.body_s:
                if not self.welcome:
                    return "it goes on after it was refused"
                if received < patience.body_rate * (elapsed_s - patience.body_s):
                    return "its request's body comes too slowly"
            case _Phase.ANSWER if mark.unsent and elapsed_s > patience.stalled_s:
                return "it doesn't take its answer"
            case _Phase.BETWEEN if elapsed_s > (patience.keep_alive_s if self.welcome else patience.stranger_s):
                return "it has nothing to say"
            case _:
                pass
        return ""

    def _marked(self, now: float) -> _Mark:
        unsent = self.transport.get_write_buffer_size()
        return _Mark(phase=self._phase(unsent), cycle=self.cycle, unsent=unsent, at=now, received=self._received)

    def _phase(self, unsent: int) -> _Phase:
        their = self.conn.their_state
        if their is h11.SEND_BODY:
            return _Phase.BODY
        request = self._request
        if unsent or (request is not None and not request.response_complete):
            return _Phase.ANSWER
        if request is None or (their is h11.IDLE and self.conn.trailing_data[0]):
            return _Phase.HEAD
        return _Phase.BETWEEN

    def _all(self) -> "list[PatientProtocol]":
        return [one for one in self.connections if isinstance(one, PatientProtocol)]


class Doorkeeper:
    """Looks at every connection, now and then."""

    def __init__(self) -> None:
        self._last: float | None = None

    def look(self, connections: "set[Any]", now: float) -> None:
        """Cut those that are overdue; called about once a second."""
        gap = 0.0 if self._last is None else now - self._last
        self._last = now
        overslept_s = gap if gap > _OVERSLEPT_S else 0.0  # we slept, or the whole computer: nobody is late for that
        for one in list(connections):
            if isinstance(one, PatientProtocol) and (reason := one.look(now, overslept_s=overslept_s)):
                one.cut(reason)

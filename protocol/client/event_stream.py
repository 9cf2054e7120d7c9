"""The events' own connection: one response that never ends, read without ever blocking for long."""

import json
import ssl
import time
from collections.abc import Iterator
from typing import Any, cast, get_args

from .. import wire
from ..errors import BackendUnreachable, ErrorInfo, UnderpaintError
from ..events import Event
from . import transport
from .endpoint import Endpoint

SILENCE_S = 10.0  # the service says Alive every second; this long without a word means that it is gone
_CONNECT_TIMEOUT_S = 5.0
_MAX_LINE_BYTES = 64 << 20
_KNOWN = {kind.__name__ for kind in get_args(Event)}


class EventStream:
    """Owns a socket on which the service tells its events."""

    def __init__(self, endpoint: Endpoint, token: str, since: int | None) -> None:
        """Connect and ask. Raises BackendUnreachable, or what the service answers instead of events."""
        self._endpoint = endpoint
        self._buffer = bytearray()
        query = "" if since is None else f"?since={since}"
        # HTTP/1.0, so that the body is the lines themselves up to the end, without chunks in between.
        head = f"GET /v1/events{query} HTTP/1.0\r\nHost: {endpoint.authority}\r\nAuthorization: Bearer {token}\r\n\r\n"
        try:
            self._socket = transport.open_socket(endpoint, _CONNECT_TIMEOUT_S)
        except OSError as error:
            raise transport.unreachable(endpoint, error) from error
        self._heard_at = time.monotonic()
        try:
            self._socket.sendall(head.encode("ascii"))
            self._read_head()
        except OSError as error:
            self.close()
            raise transport.unreachable(endpoint, error) from error
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Event | None]:
        return self.poll(0.05)

    def poll(self, poll_s: float) -> Iterator[Event | None]:
        """Events as they come, and None whenever none came for `poll_s`.

        Raises BackendUnreachable when the service ends the stream or falls silent.
        """
        while True:
            line = self._next_line()
            if line is None:
                if not self._fill(poll_s):
                    yield None
                continue
            event = _event(line)
            if event is not None:
                yield event

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _unreachable(self, error: Exception | str) -> UnderpaintError:
        return transport.unreachable(self._endpoint, error)

    def _read_head(self) -> None:
        end = -1
        while end < 0:
            if not self._fill(1.0) and time.monotonic() - self._heard_at > SILENCE_S:
                raise self._unreachable("it accepts connections and says nothing")
            end = self._buffer.find(b"\r\n\r\n")
        status = bytes(self._buffer[:end]).split(b" ", 2)
        del self._buffer[: end + 4]
        if len(status) < 2 or status[0][:5] != b"HTTP/":
            raise self._unreachable("what listens there is not Underpaint")
        if status[1] != b"200":
            raise self._refusal()

    def _refusal(self) -> UnderpaintError:
        try:
            while True:
                self._fill(1.0)
        except BackendUnreachable:  # the answer is complete
            return error_from(bytes(self._buffer))

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > _MAX_LINE_BYTES:
                raise self._unreachable("it sends a line without an end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _fill(self, wait_s: float) -> bool:
        """Wait for bytes and take them; whether any came."""
        # The wait is the socket's own and not select's: over TLS there can be bytes without an event to read, and half
        # a record that is no byte yet.
        try:
            self._socket.settimeout(wait_s)
            chunk = self._socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            chunk = None
        except OSError as error:  # closed by another generator's end, too
            raise self._unreachable(error) from error
        now = time.monotonic()
        if chunk is None:
            if now - self._heard_at > SILENCE_S:
                raise self._unreachable(f"it has been silent for {SILENCE_S:.0f} s")
            return False
        if not chunk:
            raise self._unreachable("it has stopped")
        self._heard_at = now
        self._buffer += chunk
        return True


def error_from(body: bytes) -> UnderpaintError:
    """The error that an answer other than success describes."""
    try:
        return wire.loads(ErrorInfo, body, ignore_unknown=True).error()
    except UnderpaintError:
        return BackendUnreachable(reason="what listens there is not Underpaint")


def _event(line: bytes) -> Event | None:
    """The event in a line; None for a kind that a newer service has added."""
    try:
        data: Any = json.loads(line)
        if not isinstance(data, dict) or cast("dict[str, Any]", data).get("type") not in _KNOWN:
            return None
        return cast(Event, wire.from_json(Event, data, ignore_unknown=True))
    except (ValueError, UnderpaintError) as error:
        raise BackendUnreachable(reason=f"it says what can't be understood: {error}") from error

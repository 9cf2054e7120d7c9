"""The events' connection against servers that behave badly."""

import socket
import threading
from contextlib import closing

import pytest
from underpaint.protocol import wire
from underpaint.protocol.client import Connection, Endpoint, event_stream
from underpaint.protocol.errors import BackendUnreachable, TokenRefused
from underpaint.protocol.events import Alive, Event

HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
ALIVE = (wire.dumps(Alive(revision=5), Event) + "\n").encode()


@pytest.fixture
def serve():
    """Start a server that answers one call with the given pieces, and then hangs up or stays silent."""
    servers, peers = [], []

    def start(*pieces, hang_up=True):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def answer():
            peer, _ = server.accept()
            peers.append(peer)
            peer.recv(1 << 16)
            for piece in pieces:
                peer.sendall(piece)
            if hang_up:
                peer.close()

        threading.Thread(target=answer, daemon=True).start()
        return Connection(Endpoint(host="127.0.0.1", port=server.getsockname()[1], pid=0), "token")

    yield start
    for one in (*peers, *servers):
        one.close()


def told(connection):
    with closing(connection.events(poll_s=0.01)) as events:
        return [event for event in events if event is not None]


def test_lines_are_whole_however_they_arrive(serve):
    connection = serve(*(bytes([byte]) for byte in HEAD + ALIVE), hang_up=False)
    with closing(connection.events(poll_s=0.01)) as events:
        assert next(event for event in events if event is not None) == Alive(revision=5)


def test_the_end_of_the_stream_is_told(serve):
    with pytest.raises(BackendUnreachable, match="stopped"):
        told(serve(HEAD + ALIVE))


def test_silence_is_told_and_polled_through(serve, monkeypatch):
    monkeypatch.setattr(event_stream, "SILENCE_S", 0.2)
    seen = []
    connection = serve(HEAD, ALIVE, hang_up=False)
    with pytest.raises(BackendUnreachable, match="silent"), closing(connection.events(poll_s=0.01)) as events:
        seen.extend(events)
    assert seen[0] == Alive(revision=5)
    assert set(seen[1:]) == {None}


def test_callers_get_their_turn_while_nothing_happens(serve):
    connection = serve(HEAD, ALIVE, hang_up=False)
    with closing(connection.events(poll_s=0.01)) as events:
        turns = [next(events) for _ in range(5)]
    assert None in turns


def test_events_of_a_newer_service_are_passed_over(serve):
    newer = b'{"type":"CoffeeReady","cups":2}\n' + ALIVE.replace(b"}", b',"mood":"good"}')
    connection = serve(HEAD + newer, hang_up=False)
    with closing(connection.events(poll_s=0.01)) as events:
        assert next(event for event in events if event is not None) == Alive(revision=5)


def test_a_refusal_is_raised_typed(serve):
    body = b'{"code":"token_refused","details":{"path":"here"}}'
    with pytest.raises(TokenRefused, match="here"):
        told(serve(b"HTTP/1.1 401 Unauthorized\r\n\r\n" + body))


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n<html>", b"", HEAD + b"<html>\n", HEAD + b"[1]\n"],
)
def test_a_stranger_is_unreachable(serve, answer):
    with pytest.raises(BackendUnreachable):
        told(serve(answer))


def test_nobody_there_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    connection = Connection(Endpoint(host="127.0.0.1", port=port, pid=0), "token")
    with pytest.raises(BackendUnreachable):
        told(connection)
    with pytest.raises(BackendUnreachable):
        connection.hello()

"""Whether programs on this computer can talk to each other at all."""

import socket

_WAIT_S = 3.0


def try_loopback() -> None:
    """Listen on 127.0.0.1, connect, send a byte there and back. Raises OSError where something forbids it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_WAIT_S)
        with socket.create_connection(listener.getsockname(), timeout=_WAIT_S) as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(_WAIT_S)
                client.sendall(b"?")
                server.sendall(server.recv(1))
                if client.recv(1) != b"?":
                    raise OSError("what was sent did not come back")

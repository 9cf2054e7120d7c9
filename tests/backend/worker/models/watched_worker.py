"""The real worker, with every attempt to reach another computer written down: `watched_worker.py REPORT arguments`."""

import os
import runpy
import sys

from underpaint.backend import bootstrap

_REACHING = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")


def main() -> None:
    report = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in _REACHING:
            whom = arguments[-1] if event == "socket.connect" else arguments[0]
            os.write(report, f"{event} {whom}\n".encode())

    sys.addaudithook(watch)
    os.write(report, b"watching\n")
    sys.argv = [str(bootstrap.__file__), "worker", *sys.argv[2:]]
    runpy.run_path(str(bootstrap.__file__), run_name="__main__")


if __name__ == "__main__":
    main()

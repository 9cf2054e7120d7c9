"""Checks of the way to the service, and of the one that runs."""

from ..protocol import version
from ..protocol.client import connect, connect_here, remote
from ..protocol.client.loopback import try_loopback
from ..protocol.errors import BackendUnreachable, TokenRefused, UnderpaintError, VersionMismatch
from .findings import Computer, Finding, ok, problem, warning

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def check_loopback(computer: Computer) -> Finding:
    """Whether programs here can talk to each other."""
    check = "Loopback"
    try:
        try_loopback()
    except OSError as error:
        return problem(
            check,
            f"Programs on this computer can't talk to each other over 127.0.0.1: {error.strerror or error}.",
            "Allow Blender and Python to use the loopback network in the firewall or security software.",
        )
    proxies = sorted({name for name, value in computer.environ.items() if name.lower() in _PROXIES and value})
    if proxies:
        return ok(
            check,
            f"127.0.0.1 works. {', '.join(proxies)} is set, for downloads; the talk with the backend goes past it.",
        )
    return ok(check, "127.0.0.1 works, and there are free ports.")


def check_remote(computer: Computer) -> Finding:
    """Whether another computer's backend is used, and answers."""
    check = "Other Computer"
    try:
        chosen = remote.load(computer.home)
        if chosen is None:
            return ok(check, "None is used: pictures are painted here.")
        with connect(computer.home) as connection:
            hello = connection.hello()
    except UnderpaintError as error:
        return problem(check, str(error), "Look whether it runs there, and whether this computer reaches it.")
    return ok(
        check,
        f"The backend at {chosen.url} is used and answers, over TLS: Underpaint {hello.software_version}, protocol "
        f"{hello.protocol_major}.{hello.protocol_minor}.",
    )


def check_service(computer: Computer) -> Finding:
    """Whether a service runs on this computer, and can be talked to."""
    check, ours = "Service", f"{version.PROTOCOL_MAJOR}.{version.PROTOCOL_MINOR}"
    try:
        with connect_here(computer.home) as connection:
            hello = connection.hello()
    except BackendUnreachable as error:
        if not computer.home.endpoint_file.exists():
            if computer.home.remote_file.exists():
                return ok(check, "None runs on this computer, nor is one needed.")
            return ok(check, "It does not run; it is started when it is needed.")
        return warning(
            check,
            f"It was ended without a farewell, or it hangs ({error.details['reason']}).",
            "Nothing, usually: it is started anew when it is needed. Where that fails, end the process named in "
            f"{computer.home.endpoint_file}.",
        )
    except VersionMismatch as error:
        return problem(check, str(error), "Stop the backend in Blender's preferences; the right one starts then.")
    except TokenRefused as error:
        return problem(check, str(error), "Stop the backend in Blender's preferences, or end its process.")
    except UnderpaintError as error:
        return problem(check, str(error), "Look into the service's log.")
    return ok(
        check,
        f"It runs as process {hello.pid}: Underpaint {hello.software_version}, protocol "
        f"{hello.protocol_major}.{hello.protocol_minor} (this program speaks {ours}).",
    )

"""The command line's part on other computers: `underpaint service` to serve them, `underpaint remote` to use one."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ..protocol.client import Connection, Home, backend_python, remote
from ..protocol.client.launcher import greeted, service_command, service_environment
from ..protocol.client.remote import Remote
from ..protocol.errors import RemoteInvalid

_REMOTE = """\
Have Blender, the panel and scripts of this computer use the backend of another
one, over TLS. It is verified by the certificate that you bring from there, and
is neither started nor stopped from here.
"""
_SERVICE = """\
Runs the backend here, until Ctrl-C. Without --bind it is the one that starts by
itself when it is needed, for this computer alone. With --bind it serves other
computers as well, over TLS only, to those who have its token: the file
remote-token in the data folder, which is made the first time.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add both commands. (argparse has no public name for what `add_subparsers` answers.)"""
    raw = argparse.RawDescriptionHelpFormatter
    serve = commands.add_parser(
        "service", help="run the backend here, for other computers too", description=_SERVICE, formatter_class=raw
    )
    serve.add_argument("--bind", metavar="ADDRESS[:PORT]", help="serve other computers on this address (0.0.0.0: all)")
    serve.add_argument("--certificate", metavar="FILE", help="shown to them (PEM)")
    serve.add_argument("--key", metavar="FILE", help="of the certificate (PEM), readable by you alone")
    serve.add_argument("--name", action="append", default=[], metavar="HOST", help="default: those in the certificate")
    serve.set_defaults(run=_serve)

    other = commands.add_parser(
        "remote", help="use the backend of another computer", description=_REMOTE, formatter_class=raw
    )
    what = other.add_subparsers(title="commands", required=True, metavar="COMMAND")
    use = what.add_parser("use", help="use it from now on, once it has answered")
    use.add_argument("url", metavar="https://HOST:PORT")
    use.add_argument("--certificate", type=Path, required=True, metavar="FILE", help="brought from there (PEM)")
    use.add_argument("--token", type=Path, required=True, metavar="FILE", help="its remote-token, brought from there")
    use.set_defaults(run=_use)
    what.add_parser("show", help="say which is used").set_defaults(run=_show)
    what.add_parser("forget", help="use this computer's own again").set_defaults(run=_forget)


def _serve(home: Home, options: argparse.Namespace) -> int:
    arguments = [f"--name={name}" for name in options.name]
    for option in ("bind", "certificate", "key"):
        value: str | None = getattr(options, option)
        if value is not None:
            arguments.append(f"--{option}={value}")
    command = service_command(home, backend_python(home), arguments)
    if sys.platform != "win32":
        os.execve(command[0], command, service_environment())  # signals are its own then
    service = subprocess.Popen(command, env=service_environment())
    while True:
        try:
            return service.wait()
        except KeyboardInterrupt:
            continue  # the service has heard it, too


def _use(home: Home, options: argparse.Namespace) -> int:
    chosen = Remote(url=options.url, token=_read(options.token).strip(), certificate=_read(options.certificate))
    endpoint = remote.checked(chosen).endpoint
    with greeted(Connection(endpoint, chosen.token)) as connection:
        hello = connection.hello()
    remote.save(home, chosen)
    print(f"Using the backend at {endpoint.url} (Underpaint {hello.software_version}) from now on.")
    print(f"What that needs lies in {home.remote_file}; the copies that you brought can be deleted.")
    return 0


def _show(home: Home, _options: argparse.Namespace) -> int:
    chosen = remote.load(home)
    print("This computer's own backend is used." if chosen is None else f"The backend at {chosen.url} is used.")
    return 0


def _forget(home: Home, _options: argparse.Namespace) -> int:
    print("Forgotten. " if remote.forget(home) else "No other was used. ", end="")
    print("This computer's own backend is used; it starts when it is needed.")
    return 0


def _read(path: Path) -> str:
    """Raises RemoteInvalid."""
    try:
        return path.expanduser().read_text("ascii")
    except OSError as error:
        raise RemoteInvalid(reason=f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RemoteInvalid(reason=f"{path} is no text file") from error

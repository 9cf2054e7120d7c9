"""What to show to others when something is wrong: versions, findings, the ends of the logs; nothing private."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence

from ..protocol import version
from ..protocol.client import Connection, Home, connect, logs
from ..protocol.client.logs import Program
from ..protocol.errors import BackendError
from ..protocol.request import GenerateRequest
from . import doctor
from .doctor import Check
from .scrub import scrub, without_quotations

_LINES = 40  # of each log
_JOBS = 200  # whose prompts are looked for


def diagnostics(
    home: Home,
    *,
    about: Mapping[str, str] | None = None,
    prompts: Iterable[str] = (),
    checks: Sequence[Check] = doctor.CHECKS,
) -> str:
    """The text. `about` are lines of the program that asks; `prompts` those that it knows, to be taken out."""
    from .. import __version__

    lines = [
        f"Underpaint {__version__}, protocol {version.PROTOCOL_MAJOR}.{version.PROTOCOL_MINOR}",
        f"{platform.platform()}, {platform.machine()}, Python {platform.python_version()}",
        *(f"{name}: {value}" for name, value in (about or {}).items()),
        f"Set: {', '.join(sorted(name for name in os.environ if name.startswith('UNDERPAINT_'))) or 'nothing'}",
        "",
        *(doctor.as_text(finding) for finding in doctor.examine(home, checks)),
    ]
    for path in [*(logs.log_file(home, program) for program in Program), home.start_log, home.logs / "install.log"]:
        said = logs.last_lines(path, _LINES)
        if said:
            lines += ["", f"-- {path.name}", *(without_quotations(line) for line in said)]
    return scrub("\n".join(lines) + "\n", home=home, prompts=[*prompts, *_prompts_of_the_queue(home)])


def _prompts_of_the_queue(home: Home) -> list[str]:
    """What the service that runs has been asked to paint lately; nothing where none runs."""
    try:
        with connect(home) as connection:
            return _prompts(connection)
    except BackendError:
        return []  # without it, the logs' own rules must do


def _prompts(connection: Connection) -> list[str]:
    requests = [job.request for job in connection.jobs(limit=_JOBS).jobs]
    painted = [request for request in requests if isinstance(request, GenerateRequest)]
    return [
        text
        for request in painted
        for picture in request.pictures
        for text in (picture.prompt, picture.negative_prompt)
        if text
    ]

"""The command line's part on downloads: `underpaint download owner/name`."""

import argparse
import shutil
import sys

from ..protocol.client import Home, ensure_running
from ..protocol.client.following import wait
from ..protocol.events import Event, JobChanged, Progress
from ..protocol.jobs import JobState
from ..protocol.request import DownloadRequest

_DESCRIPTION = """\
Fetches a model from the Hugging Face hub into its cache on this computer, where
every program that uses the hub finds it. Of a repository only what Underpaint
needs is fetched: safetensors, configs and tokenizers, in one precision.
Pictures that are being painted go on meanwhile.
"""
_EPILOG = """\
Ctrl-C ends it. What was fetched is kept, and the same command goes on from there.
Models whose terms have to be accepted first need a token: accept the terms on
the model's page, then run "hf auth login", or set HF_TOKEN.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    download = commands.add_parser(
        "download",
        help="fetch a model from the Hugging Face hub",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    download.add_argument("model", metavar="OWNER/NAME", help="the repository, as its page calls it")
    download.add_argument("--file", default="", metavar="FILE", help="one file of it, and what that needs")
    download.add_argument("--revision", default="", metavar="NAME", help="a branch, tag or commit other than main")
    download.set_defaults(run=_download)


def _download(home: Home, options: argparse.Namespace) -> int:
    request = DownloadRequest(reference=options.model, file=options.file, revision=options.revision)
    teller = _Teller()
    with ensure_running(home) as connection:
        job = connection.submit(request, client="script")
        teller.job_id = job.id
        try:
            done = wait(connection, job, on_event=teller.hear)
        except KeyboardInterrupt:
            teller.end_line()
            print("Cancelled. What was fetched is kept: the same command goes on from there.")
            return 130
        except BaseException:
            teller.end_line()
            raise
        connection.rescan_models()
    teller.end_line()
    assert done.result is not None
    print(*(f"{note}." for note in done.result.notes), sep="\n")
    print(f"It is in {done.result.checkpoint}")
    print(f'Choose it as "{"/".join(part for part in (options.model, options.file) if part)}".')
    return 0


class _Teller:
    """Shows how far it is: on one line where somebody watches, a line for every tenth elsewhere."""

    def __init__(self) -> None:
        self.job_id = ""
        self._tenth = -1
        self._open = False  # a line that isn't ended

    def hear(self, event: Event) -> None:
        """Show what an event tells of the download."""
        if isinstance(event, Progress) and event.job_id == self.job_id:
            self._show(event.fraction, event.note)
        elif isinstance(event, JobChanged) and event.job.id == self.job_id and event.job.state is JobState.QUEUED:
            self._show(0.0, "Waiting for other downloads")

    def end_line(self) -> None:
        """Begin a new line, if one was begun."""
        if self._open:
            print()
        self._open = False

    def _show(self, fraction: float, note: str) -> None:
        words = f"{fraction:4.0%}  {note}"
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{words[:width]:<{width}}", end="", flush=True)
            self._open = True
        elif int(10 * fraction) != self._tenth:
            self._tenth = int(10 * fraction)
            print(words, flush=True)

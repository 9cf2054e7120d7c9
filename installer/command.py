"""The command line: `underpaint` with a command; each of the larger ones has a module of its own."""

import argparse
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..protocol.client import Home, default_home
from ..protocol.errors import InstallImpossible, UnderpaintError
from . import convert_command, doctor, download_command, models_command, remote_command, repair
from .diagnostics import diagnostics
from .install import Installation
from .plan import Plan, gigabytes, plan_for
from .uninstall import data, environments, size, uninstall
from .variants import Build
from .work import Stage, Work

_POLL_S = 0.2
_DESCRIPTION = (
    "Underpaint's backend on this computer. It has a Python environment of its own in the data folder: UNDERPAINT_HOME "
    "where that is set, else the usual place for a user's data. Nothing is installed anywhere else."
)
_INSTALL = """\
Shows what will be installed, how large it is and where, and asks before anything
is done. The environment that is there stays in use until the new one works.
Ctrl-C leaves everything as it was; what was downloaded completely is not fetched
again the next time.
"""
_WITHOUT_NETWORK = """\
without a network:
  On a computer that has one, with the same system and the same version of Python,
      python -m pip download --no-deps --requirement backend.txt --dest FOLDER
  (backend.txt is in the folder "constraints" of the extension). Bring FOLDER here:
      underpaint install --wheels FOLDER
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; 0 when it went well, 1 when it didn't, 130 when it was interrupted."""
    options = _parser().parse_args(arguments)
    home = Home(options.home.expanduser().absolute()) if options.home else default_home()
    try:
        return options.run(home, options)
    except UnderpaintError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="underpaint", description=_DESCRIPTION)
    parser.add_argument("--home", type=Path, metavar="FOLDER", help="another data folder")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    install = commands.add_parser(
        "install",
        help="make the backend's environment, or mend it",
        description=_INSTALL,
        epilog=_WITHOUT_NETWORK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    install.add_argument("--yes", action="store_true", help="don't ask")
    install.add_argument("--repair", action="store_true", help="look what is wrong, and install only that again")
    install.add_argument(
        "--variant",
        type=Build,
        choices=list(Build),
        metavar="|".join(Build),
        help="instead of what fits the graphics card",
    )
    install.add_argument(
        "--torch-index",
        metavar="ADDRESS",
        help="take torch and torchvision from an index of PyTorch's own builds (default: UNDERPAINT_TORCH_INDEX); "
        "needed for ROCm, for CUDA on Windows, and for the small build for processors on Linux",
    )
    install.add_argument("--wheels", type=Path, metavar="FOLDER", help="take all packages from a folder of wheels")
    install.add_argument("--offline", action="store_true", help="refuse to use the network; needs --wheels")
    install.add_argument("--python", type=Path, metavar="FILE", help="the Python to make the environment with")
    install.set_defaults(run=_install)

    remove = commands.add_parser(
        "uninstall",
        help="stop the backend and delete its environment",
        description="Deletes the environment. Models are never deleted; pictures and the queue only with --data.",
    )
    remove.add_argument("--yes", action="store_true", help="don't ask")
    remove.add_argument("--data", action="store_true", help="delete the queue, its pictures and the logs, too")
    remove.set_defaults(run=_uninstall)

    examine = commands.add_parser(
        "doctor",
        help="say what is right and wrong, and what to do",
        description="Looks at the environment and its packages, the graphics card as PyTorch sees it, disk, "
        "permissions, models, the way to the backend, its queue, logs and clock. The exit status is 1 where there is "
        "a problem.",
    )
    examine.add_argument("--json", action="store_true", help="for programs")
    examine.set_defaults(run=_doctor)

    show = commands.add_parser(
        "diagnostics",
        help="print what to show to others when something is wrong",
        description="Versions, the doctor's findings and the ends of the logs, without prompts, tokens, and the "
        "names of users and their folders. Read it before you pass it on.",
    )
    show.set_defaults(run=_diagnostics)
    models_command.add_to(commands)
    download_command.add_to(commands)
    convert_command.add_to(commands)
    remote_command.add_to(commands)
    return parser


def _install(home: Home, options: argparse.Namespace) -> int:
    wheels: Path | None = options.wheels.expanduser().absolute() if options.wheels else None
    if options.offline and wheels is None:
        raise InstallImpossible(reason="--offline needs a folder of wheels, see --wheels and --help")
    if wheels is not None and not any(wheels.glob("*.whl")):
        raise InstallImpossible(reason=f"there are no wheels in {wheels}")
    plan = plan_for(home, wanted=options.variant, torch_index=options.torch_index, wheels=wheels)
    if options.python:
        plan = replace(plan, base_python=options.python.expanduser().absolute())
    if options.repair:
        return _repair(plan, options)
    _tell(plan.lines)
    if plan.home.environment.exists():
        print("The environment that is there is replaced when the new one works.")
    if not _agreed(options, "Install?"):
        return 1
    return _follow(Installation(plan))


def _repair(plan: Plan, options: argparse.Namespace) -> int:
    print("Looking what is wrong ...", flush=True)
    wrong = repair.diagnose(plan)
    if wrong is None:
        print("The environment is not there, is for another version, or can't be mended: it is made anew.")
        _tell(plan.lines)
    elif not wrong:
        print("Nothing is wrong with the environment.")
        return 0
    else:
        for name, what in wrong.items():
            print(f"  {name}: {what}")
    if not _agreed(options, "Go ahead?"):
        return 1
    return _follow(Installation(plan) if wrong is None else repair.Repair(plan, tuple(wrong)))


def _follow(work: Work) -> int:
    """Show how far it is, on one line where somebody watches, until it is done."""
    shown = ""
    try:
        while True:
            progress = work.poll()
            words = f"{progress.fraction * 100:3.0f} %  {progress.stage.value}"
            if sys.stdout.isatty():
                width = shutil.get_terminal_size().columns - 1
                print(f"\r{f'{words}: {progress.line}'[:width]:<{width}}", end="", flush=True)
            elif progress.stage.value != shown:
                print(words, flush=True)
            shown = progress.stage.value
            if progress.stage is Stage.READY:
                print("\nThe backend is installed. It starts when it is needed.")
                return 0
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        print("\nCancelling ...", flush=True)
        work.cancel()
        print("Cancelled. What was there before is as it was; what was downloaded completely is kept for the next try.")
        return 130


def _uninstall(home: Home, options: argparse.Namespace) -> int:
    paths = environments(home) + (data(home) if options.data else [])
    if not paths:
        print(f"There is nothing to delete in {home.folder}.")
        return 0
    for path in paths:
        print(f"  {path}  ({gigabytes(size([path]))})")
    if not _agreed(options, "Stop the backend and delete them?"):
        return 1
    uninstall(home, with_data=options.data)
    print("Deleted." + (f" The models are still in {home.models}." if home.models.is_dir() else ""))
    return 0


def _doctor(home: Home, options: argparse.Namespace) -> int:
    findings: list[doctor.Finding] = []
    for finding in doctor.examine(home):
        findings.append(finding)
        if not options.json:
            print(doctor.as_text(finding), flush=True)
    print(doctor.as_json(findings) if options.json else f"\n{doctor.summary(findings)}")
    return 0 if doctor.is_healthy(findings) else 1


def _diagnostics(home: Home, _options: argparse.Namespace) -> int:
    print(diagnostics(home), end="")
    return 0


def _tell(lines: Sequence[str]) -> None:
    """Print lines, broken where a terminal's would end."""
    width = min(shutil.get_terminal_size().columns, 100)
    for line in lines:
        print(
            textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) if sys.stdout.isatty() else line
        )


def _agreed(options: argparse.Namespace, question: str) -> bool:
    if options.yes:
        return True
    if not sys.stdin.isatty():
        print(f"{question} Nobody is there to ask: say --yes.", file=sys.stderr)
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")

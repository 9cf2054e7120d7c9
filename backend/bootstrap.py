"""Run one of the backend's programs from wherever this package lies: `python -P bootstrap.py service|worker ...`.

The package is registered as `underpaint` by its location. No folder joins `sys.path`, so the package's
folder may have any name, and nothing that lies beside it can shadow what the environment has installed.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

_ROOMS = ("service", "worker")
_NAME = "underpaint"


def _register() -> None:
    package = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        _NAME, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{package} is no package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)


def _die_with_parent() -> None:
    """Have Linux end this process with the service. Elsewhere the end of the pipe must do."""
    if sys.platform != "linux":
        return
    import ctypes
    import signal

    pr_set_pdeathsig = 1
    parent = os.getppid()
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we had asked
        os._exit(1)


def main() -> int:
    """Run the program that the first argument names, with the others as its own."""
    if len(sys.argv) < 2 or sys.argv[1] not in _ROOMS:
        sys.stderr.write(f"usage: bootstrap.py {'|'.join(_ROOMS)} [arguments]\n")
        return 2
    room = sys.argv.pop(1)
    if room == "worker":
        _die_with_parent()
    _register()
    return importlib.import_module(f"{_NAME}.backend.{room}.__main__").main()


if __name__ == "__main__":
    sys.exit(main())

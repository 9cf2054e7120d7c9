"""Run a program on a clock that a file sets: `fault_clock.py FILE PROGRAM ARGUMENTS`. The file holds seconds to add."""

import runpy
import sys
import time
from pathlib import Path

_set_by, program, *arguments = sys.argv[1:]
_real = time.time


def _stepped() -> float:
    try:
        return _real() + float(Path(_set_by).read_text() or 0)
    except (FileNotFoundError, ValueError):
        return _real()


time.time = _stepped
sys.argv = [program, *arguments]
runpy.run_path(program, run_name="__main__")

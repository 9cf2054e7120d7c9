"""For clients that are whole programs: what they submit is written down as it goes by."""

import argparse
import json
from pathlib import Path
from typing import Any

from underpaint.protocol.client import Connection


def options() -> argparse.Namespace:
    """The command line that such a client is started with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def enough(ledger: Path) -> bool:
    """Whether the client is to finish what it has begun."""
    return (ledger.parent / "enough").exists()


def _write(ledger: Path, note: dict[str, Any]) -> None:
    with ledger.open("a") as file:
        file.write("\n" + json.dumps(note))  # a line break first: what was cut off spoils no other line


def note_submissions(ledger: Path) -> None:
    """Write down that this process is up, and every job of it once the service has confirmed it."""
    submit = Connection.submit

    def noted(self: Connection, request: Any, **details: Any) -> Any:
        job = submit(self, request, **details)
        if not job.transient:
            _write(ledger, {"accepted": job.id})
        return job

    Connection.submit = noted  # type: ignore[method-assign]
    _write(ledger, {"life": True})

"""The worker process: `python -m underpaint.backend.worker --blobs DIR --models DIR`, or through bootstrap.py."""

import argparse
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...protocol import arrays
from ...protocol.arrays import UInt8Array
from ..blobstore import BlobStore
from ..pipe import Failed, Previewed, Ready, Reported, Run, Succeeded
from .channel import Channel

if TYPE_CHECKING:
    from .jobs import JobRunner


def main(argv: list[str] | None = None) -> int:
    """Serve jobs until the service says Shutdown or closes the pipe."""
    parser = argparse.ArgumentParser(prog="underpaint worker", description=__doc__)
    parser.add_argument("--blobs", type=Path, required=True, help="the blob store's folder")
    parser.add_argument("--models", type=Path, required=True, help="the folder of local models")
    options = parser.parse_args(argv)
    channel = Channel(*_take_pipe())
    channel.start()
    runner = _runner(options.blobs, options.models)
    from .jobs import preload, versions

    channel.send(Ready(device=runner.plan.device_name, versions=versions()))
    preload()
    while True:
        run, token = channel.next_job()
        _serve(channel, runner, run, token, options.blobs)
        channel.forget(run.job_id)


def _take_pipe() -> tuple[BinaryIO, BinaryIO]:
    """stdin and stdout for the pipe alone: whatever prints from now on, in Python or C, prints to stderr."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return incoming, outgoing


def _runner(blobs: Path, models: Path) -> "JobRunner":
    """Import torch and find the device."""
    # cuBLAS gives the same numbers for the same input only with a workspace of its own; read at its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from .jobs import JobRunner
    from .memory import make_plan

    models.mkdir(parents=True, exist_ok=True)
    return JobRunner(blobs=BlobStore(blobs), models=models, plan=make_plan())


def _serve(channel: Channel, runner: "JobRunner", run: Run, token: threading.Event, blobs: Path) -> None:
    """Run one job and say how it ended."""
    from .failures import error_info, is_out_of_memory

    def on_preview(step: int, preview: UInt8Array) -> None:
        channel.send(Previewed(job_id=run.job_id, step=step), arrays.encode(preview))

    out_of_memory = False
    try:
        result = runner.run(
            run.job_id,
            run.request,
            on_progress=lambda progress: channel.send(Reported(progress=progress)),
            on_preview=on_preview,
            cancelled=token.is_set,
        )
    except Exception as error:
        # Whatever a job may raise is told to the service, and the next job is served.
        traceback.print_exc(file=sys.stderr)
        out_of_memory = is_out_of_memory(error)
        ended: Failed | Succeeded = Failed(
            job_id=run.job_id, error=error_info(error, device=runner.plan.device_name, blobs=blobs)
        )
    else:
        ended = Succeeded(job_id=run.job_id, result=result)
    if out_of_memory:
        runner.residents.clear()  # only now: the exception's traceback kept the tensors
    channel.send(ended)



if __name__ == "__main__":
    sys.exit(main())

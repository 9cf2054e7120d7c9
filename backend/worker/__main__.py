"""The worker process: `python -m underpaint.backend.worker --blobs DIR --models DIR`, or through bootstrap.py."""

import argparse
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...protocol import arrays
from ...protocol.arrays import UInt8Array
from ..blobstore import BlobStore
from ..pipe import Failed, Previewed, Ready, Reported, Succeeded
from .channel import Channel, Waiting

if TYPE_CHECKING:
    from .jobs import JobRunner


def main(argv: list[str] | None = None) -> int:
    """Serve jobs until the service says Shutdown or closes the pipe."""
    parser = argparse.ArgumentParser(prog="underpaint worker", description=__doc__)
    parser.add_argument("--blobs", type=Path, required=True, help="the blob store's folder")
    parser.add_argument("--models", type=Path, required=True, help="the folder of local models")
    options = parser.parse_args(argv)
    channel = Channel(*_take_pipe())
    _be_considerate()
    channel.start()
    runner = _runner(options.blobs, options.models)
    from .jobs import preload, versions

    channel.busy_with = "Loading diffusers"
    channel.send(Ready(device=runner.plan.device_name, versions=versions()))
    preload()
    channel.busy_with = ""
    while True:
        job = channel.next_job()
        channel.finish(job.run.job_id, _serve(channel, runner, job, options.blobs))


def _take_pipe() -> tuple[BinaryIO, BinaryIO]:
    """stdin and stdout for the pipe alone: whatever prints from now on, in Python or C, prints to stderr."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return incoming, outgoing


def _be_considerate() -> None:
    """Leave the machine usable, and the numbers reproducible; before torch is imported, which reads all this."""
    if hasattr(os, "nice"):
        os.nice(5)  # whoever clicks something while a picture is made on the CPU goes first
    # OpenMP threads that spin while they wait make a step 100 times slower once another program wants the cores
    # (measured: 0.03 s against 4.4 s, two busy loops on two cores).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # cuBLAS gives the same numbers for the same input only with a workspace of its own.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _runner(blobs: Path, models: Path) -> "JobRunner":
    """Import torch and find the device."""
    from .jobs import JobRunner
    from .memory import make_plan

    models.mkdir(parents=True, exist_ok=True)
    return JobRunner(blobs=BlobStore(blobs), models=models, plan=make_plan())


def _serve(channel: Channel, runner: "JobRunner", job: Waiting, blobs: Path) -> Succeeded | Failed:
    """Run one job; how it ended."""
    from .failures import error_info, is_out_of_memory

    run = job.run
    waited_ms = 1000 * (time.perf_counter() - job.arrived)

    def on_preview(step: int, preview: UInt8Array) -> None:
        channel.send(Previewed(job_id=run.job_id, step=step), arrays.encode(preview))

    out_of_memory = False
    try:
        result = runner.run(
            run.job_id,
            run.request,
            on_progress=lambda progress: channel.send(Reported(progress=progress)),
            on_preview=on_preview,
            cancelled=job.cancelled.is_set,
            waited_ms=waited_ms,
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
    return ended


if __name__ == "__main__":
    sys.exit(main())

"""The worker process: `python -m underpaint.backend.worker --blobs DIR --models DIR`, or through bootstrap.py."""

import argparse
import os
import sys
import threading
import time
import traceback
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...protocol import arrays
from ...protocol.arrays import UInt8Array
from ...protocol.errors import JobCancelled
from ...protocol.events import Progress
from ...protocol.jobs import JobResult, Phase
from ...protocol.request import ControlMapsRequest, DownloadRequest
from ..blobstore import BlobStore
from ..pipe import Failed, MapsReady, Previewed, Ready, Reported, Succeeded
from .channel import Channel, Lane, Waiting

if TYPE_CHECKING:
    from .jobs import JobRunner
    from .maps import MapMaker, OnProgress


def main(argv: list[str] | None = None) -> int:
    """Serve jobs until the service says Shutdown or closes the pipe."""
    parser = argparse.ArgumentParser(prog="underpaint worker", description=__doc__)
    parser.add_argument("--blobs", type=Path, required=True, help="the blob store's folder")
    parser.add_argument("--models", type=Path, required=True, help="the folder of local models")
    options = parser.parse_args(argv)
    channel = Channel(*_take_pipe())
    _be_considerate()
    channel.start()
    from .maps import MapMaker

    preparing: Future[JobRunner] = Future()
    maps = MapMaker(
        blobs=BlobStore(options.blobs), models=options.models, device=lambda: preparing.result().machine.device
    )
    options.models.mkdir(parents=True, exist_ok=True)
    threading.Thread(
        target=_prepare, args=(preparing, channel, maps, options.models), name="prepare", daemon=True
    ).start()
    threading.Thread(
        target=_serve_looks, args=(channel, preparing, maps, options.blobs), name="looks", daemon=True
    ).start()
    threading.Thread(target=_serve_downloads, args=(channel, options.blobs), name="downloads", daemon=True).start()
    channel.send(MapsReady())
    while True:
        job = channel.next_job(Lane.PICTURES)
        channel.finish(job.run.job_id, _serve(channel, preparing, job, options.blobs))


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


def _prepare(preparing: "Future[JobRunner]", channel: Channel, maps: "MapMaker", models: Path) -> None:
    """Import torch and find the device, say so, and import what the first picture would wait for."""
    try:
        from .jobs import JobRunner, preload
        from .maps import versions

        runner = JobRunner(maps=maps, models=models)
        channel.send(Ready(device=runner.machine.full_name, versions=versions()))
        preload()
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        os._exit(1)  # a worker that can't make pictures is none; the service tells why from the last line
    preparing.set_result(runner)


def _serve_looks(channel: Channel, preparing: "Future[JobRunner]", maps: "MapMaker", blobs: Path) -> None:
    """Make control images, whatever torch is doing in the meantime, and plans as soon as the device is known."""
    from .failures import error_info

    while True:
        job = channel.next_job(Lane.LOOKS)
        run, cancelled = job.run, job.cancelled.is_set
        try:
            if isinstance(run.request, ControlMapsRequest):
                result = maps.run(run.job_id, run.request, on_progress=_reporter(channel), cancelled=cancelled)
            else:
                result = _run(channel, preparing, job)
        except Exception as error:  # as below
            traceback.print_exc(file=sys.stderr)
            channel.finish(run.job_id, Failed(job_id=run.job_id, error=error_info(error, device="cpu", blobs=blobs)))
        else:
            channel.finish(run.job_id, Succeeded(job_id=run.job_id, result=result))


def _serve_downloads(channel: Channel, blobs: Path) -> None:
    """Fetch models from the hub, one after the other, whatever is painted in the meantime."""
    from .downloading import download
    from .failures import error_info

    while True:
        job = channel.next_job(Lane.DOWNLOADS)
        run, cancelled = job.run, job.cancelled.is_set
        try:
            assert isinstance(run.request, DownloadRequest)  # as `channel` sorts them
            result = download(run.job_id, run.request, on_progress=_reporter(channel), cancelled=cancelled)
        except Exception as error:  # as below
            traceback.print_exc(file=sys.stderr)
            channel.finish(run.job_id, Failed(job_id=run.job_id, error=error_info(error, device="cpu", blobs=blobs)))
        else:
            channel.finish(run.job_id, Succeeded(job_id=run.job_id, result=result))


def _serve(channel: Channel, preparing: "Future[JobRunner]", job: Waiting, blobs: Path) -> Succeeded | Failed:
    """Run one job; how it ended."""
    from .failures import error_info, is_out_of_memory

    out_of_memory = False
    try:
        result = _run(channel, preparing, job)
    except Exception as error:
        # Whatever a job may raise is told to the service, and the next job is served.
        traceback.print_exc(file=sys.stderr)
        out_of_memory = is_out_of_memory(error)
        device = preparing.result().machine.full_name if preparing.done() else "cpu"
        ended: Failed | Succeeded = Failed(job_id=job.run.job_id, error=error_info(error, device=device, blobs=blobs))
    else:
        ended = Succeeded(job_id=job.run.job_id, result=result)
    if out_of_memory and preparing.done():
        preparing.result().clear()  # only now: the exception's traceback kept the tensors
    return ended


def _run(channel: Channel, preparing: "Future[JobRunner]", job: Waiting) -> JobResult:
    run, cancelled = job.run, job.cancelled.is_set
    on_progress = _reporter(channel)

    def on_preview(step: int, preview: UInt8Array) -> None:
        channel.send(Previewed(job_id=run.job_id, step=step), arrays.encode(preview))

    if not preparing.done():
        on_progress(Progress(job_id=run.job_id, phase=Phase.LOAD, note="Loading diffusers"))
    while not preparing.done():
        if cancelled():
            raise JobCancelled
        wait([preparing], timeout=0.1)
    waited_ms = 1000 * (time.perf_counter() - job.arrived)
    return preparing.result().run(
        run.job_id,
        run.request,
        on_progress=on_progress,
        on_preview=on_preview,
        cancelled=cancelled,
        waited_ms=waited_ms,
    )


def _reporter(channel: Channel) -> "OnProgress":
    return lambda progress: channel.send(Reported(progress=progress))


if __name__ == "__main__":
    sys.exit(main())

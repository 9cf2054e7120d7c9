"""A worker without torch that speaks the real pipe and does what the prompt tells it.

The prompt is a list of words `name=value`; what isn't said has a default:
  steps=3         progress reports, each with a preview
  pause=0.01      seconds before each of them
  then=succeed    what follows: succeed | fail | oom | full | crash | crash-once | leave | hang | deaf | silent |
                  garbage | huge | stranger | lie
  notes=0         how many things the result has to say
The further pictures of a job take their steps one after the other. A plan is answered at once, whatever the prompt. A
download tells how far it is and ends as its file's name says ("then=hang"), or else in success.
`hang` obeys a cancel, `deaf` does not, `silent` also stops beating. The command line: --blobs DIR [--models DIR],
and --start ready | die | garbage | never | look-kills for what happens before the first job.
"""

import argparse
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
from underpaint.backend import pipe
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.pipe import Beat, Cancel, Failed, MapsReady, Previewed, Ready, Reported, Run, Succeeded
from underpaint.protocol import arrays
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.errors import DiskFull, JobCancelled, OutOfMemory, UnderpaintError, WorkerFailed
from underpaint.protocol.events import Progress
from underpaint.protocol.jobs import JobResult, Phase, Timing
from underpaint.protocol.request import DownloadRequest, GenerateRequest, PlanRequest

BEAT_S = 0.2


def picture(width: int, height: int, seed: int) -> np.ndarray:
    """What the fake paints: (height, width, 3) uint8, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def told(run: Run) -> dict[str, str]:
    """What a picture's prompt says, or a download's file."""
    prompt = run.request.prompt if isinstance(run.request, GenerateRequest) else ""
    prompt = run.request.file if isinstance(run.request, DownloadRequest) else prompt
    return dict(word.split("=", 1) for word in prompt.split() if "=" in word)


def fetched(request: DownloadRequest) -> JobResult:
    """What a download leaves behind."""
    return JobResult(
        images=(), control_maps=(), timings=(), checkpoint=request.reference, plan="no model", versions={"fake": "1"}
    )


class FakeWorker:
    def __init__(self, blobs: BlobStore, stdin: BinaryIO, stdout: BinaryIO, *, look_kills: bool = False) -> None:
        self.blobs = blobs
        self.look_kills = look_kills  # a request for control images ends the process
        self.stdin = stdin
        self.stdout = stdout
        self.lock = threading.Lock()
        self.jobs: queue.SimpleQueue[Run] = queue.SimpleQueue()
        self.cancelled: set[str] = set()
        self.beating = True

    def send(self, message: pipe.FromWorker, payload: bytes = b"") -> None:
        with self.lock:
            pipe.write_frame(self.stdout, message, payload)

    def listen(self) -> None:
        while (frame := pipe.read_frame(self.stdin)) is not None:
            message = frame[0]
            if isinstance(message, Run) and isinstance(message.request, GenerateRequest):
                self.jobs.put(message)
            elif isinstance(message, Run) and self.look_kills:
                os._exit(3)
            elif isinstance(message, Run):  # control images and plans don't wait for a picture
                threading.Thread(target=self.work, args=(message,), daemon=True).start()
            elif isinstance(message, Cancel):
                self.cancelled.add(message.job_id)
            else:
                break
        os._exit(0)  # whatever hangs elsewhere

    def beat(self) -> None:
        while True:
            if self.beating:
                self.send(Beat())
            time.sleep(BEAT_S)

    def serve(self) -> None:
        threading.Thread(target=self.listen, daemon=True).start()
        threading.Thread(target=self.beat, daemon=True).start()
        if self.look_kills:
            self.send(MapsReady())
            time.sleep(0.3)
        self.send(Ready(device="fake", versions={"fake": "1"}))
        while True:
            self.work(self.jobs.get())

    def work(self, run: Run) -> None:
        if isinstance(run.request, PlanRequest):
            self.send(Succeeded(job_id=run.job_id, result=self.plan(run.request.picture)))
            return
        words = told(run)
        try:
            if isinstance(run.request, DownloadRequest):
                self.send(Reported(progress=Progress(job_id=run.job_id, phase=Phase.FETCH, fraction=0.5)))
                self.finish(run, words.get("then", "succeed"))
                return
            self.steps(run, int(words.get("steps", "3")), float(words.get("pause", "0.01")))
            self.finish(run, words.get("then", "succeed"))
        except UnderpaintError as error:
            self.send(Failed(job_id=run.job_id, error=error.info()))

    def steps(self, run: Run, steps: int, pause_s: float) -> None:
        pictures = len(run.request.pictures) if isinstance(run.request, GenerateRequest) else 1
        for done in range(pictures * steps):
            step = done % steps + 1
            self.pause(run.job_id, pause_s)
            progress = Progress(
                job_id=run.job_id,
                phase=Phase.STEP,
                step=step,
                steps=steps,
                picture=done // steps + 1,
                pictures=pictures,
                fraction=(done + 1) / (pictures * steps + 1),
            )
            self.send(Reported(progress=progress))
            preview = np.full((8, 8, 3), step, np.uint8)
            self.send(Previewed(job_id=run.job_id, step=step), arrays.encode(preview))

    def pause(self, job_id: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            if job_id in self.cancelled:
                raise JobCancelled
            if time.monotonic() >= deadline:
                return
            time.sleep(0.005)

    def finish(self, run: Run, then: str) -> None:
        match then:
            case "succeed":
                self.succeed(run)
            case "fail":
                raise WorkerFailed(reason="as told")
            case "oom":
                raise OutOfMemory(device="fake")
            case "full":
                raise DiskFull(path="/fake")
            case "crash-once":
                marker = self.blobs.folder.parent / f"crashed-{run.job_id}"
                if marker.exists():
                    self.succeed(run)
                else:
                    marker.touch()
                    self.crash()
            case "crash":
                self.crash()
            case "leave":
                sys.stderr.write("last words\n")
                sys.stderr.flush()
                os._exit(7)
            case "hang":
                self.pause(run.job_id, 3600)
            case "deaf":
                time.sleep(3600)
            case "silent":
                self.beating = False
                time.sleep(3600)
            case "garbage":
                self.raw(b"Loading pipeline components...: 100%\n" * 3)
            case "huge":
                self.raw(b"\x7f\xff\xff\xff\x7f\xff\xff\xff")
            case "stranger":
                self.send(Succeeded(job_id="0" * 32, result=self.result(run)))
            case "lie":
                lost = ArrayRef(sha256="0" * 64, shape=(8, 8, 3), dtype=DType.UINT8)
                self.send(Succeeded(job_id=run.job_id, result=self.result(run, lost)))
            case _:
                raise WorkerFailed(reason=f"the fake doesn't know then={then}")

    def crash(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)

    def raw(self, data: bytes) -> None:
        with self.lock:
            self.stdout.write(data)
            self.stdout.flush()
        time.sleep(3600)

    def succeed(self, run: Run) -> None:
        if isinstance(run.request, DownloadRequest):
            self.send(Succeeded(job_id=run.job_id, result=fetched(run.request)))
            return
        size = run.request.size
        seeds = [one.seed for one in run.request.pictures] if isinstance(run.request, GenerateRequest) else [0]
        images = [self.blobs.write_array(picture(size.width, size.height, seed)) for seed in seeds]
        self.send(Succeeded(job_id=run.job_id, result=self.result(run, *images)))

    def plan(self, request: GenerateRequest) -> JobResult:
        words = f"{len(request.controls)} ControlNets at {request.size.width} x {request.size.height}"
        if request.memory_budget_gb is not None:
            words += f" in {request.memory_budget_gb:g} GB"
        return JobResult(
            images=(), control_maps=(), timings=(), checkpoint="fake", plan=f"{words}: no model", versions={"fake": "1"}
        )

    def result(self, run: Run, *images: ArrayRef) -> JobResult:
        size = run.request.size
        maps = tuple(
            self.blobs.write_array(np.full((size.height, size.width, 3), number, np.uint8))
            for number, _ in enumerate(run.request.controls)
        )
        timings = (Timing(phase=Phase.STEP, ms=1.0),)
        versions = {"fake": "1"}
        return JobResult(
            images=images,
            control_maps=maps,
            timings=timings,
            checkpoint="fake",
            plan="no model",
            notes=tuple(f"Note {number} of the fake" for number in range(1, int(told(run).get("notes", "0")) + 1)),
            versions=versions,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--blobs", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--start", choices=("ready", "die", "garbage", "never", "look-kills"), default="ready")
    options = parser.parse_args()
    stdout = sys.stdout.buffer
    if options.start == "die":
        sys.exit("the fake was told not to start")
    if options.start == "garbage":
        stdout.write(b"Welcome to Fake 1.0, the friendly worker\n")
        stdout.flush()
    if options.start == "never":
        sys.stdin.buffer.read()
        return
    look_kills = options.start == "look-kills"
    FakeWorker(BlobStore(options.blobs), sys.stdin.buffer, stdout, look_kills=look_kills).serve()


if __name__ == "__main__":
    main()

"""The real worker process, spoken to over the real pipe."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from underpaint.backend import bootstrap
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.pipe import (
    Beat,
    Cancel,
    Failed,
    FromWorker,
    MapsReady,
    Previewed,
    Ready,
    Reported,
    Run,
    Shutdown,
    Succeeded,
    ToWorker,
    read_frame,
    write_frame,
)
from underpaint.backend.worker.jobs import JobRunner
from underpaint.protocol import arrays
from underpaint.protocol.errors import JobCancelled, ModelMissing
from underpaint.protocol.jobs import Phase
from underpaint.protocol.request import ControlMapsRequest, GenerateRequest, Scheduler, Start, Variant
from worker_runner import Job

Asked = Callable[..., GenerateRequest]


class Worker:
    """A worker as the service would start it."""

    def __init__(self, blobs: Path, models: Path, log: Path) -> None:
        self.log = log
        with log.open("wb") as stream:
            command = [sys.executable, "-P", str(Path(bootstrap.__file__)), "worker"]
            self.process = subprocess.Popen(
                [*command, "--blobs", str(blobs), "--models", str(models)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )

    def say(self, message: ToWorker) -> None:
        assert self.process.stdin is not None
        write_frame(self.process.stdin, message)

    def hear(self) -> tuple[FromWorker, bytes]:
        """The next message that is no beat."""
        assert self.process.stdout is not None
        while True:
            frame = read_frame(self.process.stdout)
            assert frame is not None, self.log.read_text()
            if not isinstance(frame[0], Beat):
                return frame  # type: ignore[return-value]

    def until_ended(self, on_message: Callable[[FromWorker], None] = lambda message: None) -> Succeeded | Failed:
        while True:
            message, _ = self.hear()
            on_message(message)
            if isinstance(message, Succeeded | Failed):
                return message

    def stop(self) -> None:
        """End it whatever it does, and close our ends of the pipe."""
        with self.process:  # waits, and closes them
            self.process.kill()


@pytest.fixture
def start(tmp_path: Path, models: Path, blobs: BlobStore) -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(blobs.folder, models, tmp_path / f"worker-{len(workers)}.log"))
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()


def test_a_worker_s_whole_life(start: Callable[[], Worker], blobs: BlobStore, asked: Asked) -> None:
    worker = start()

    # A job may be sent and cancelled before the worker is up.
    worker.say(Run(job_id="0" * 32, request=asked()))
    worker.say(Cancel(job_id="0" * 32))
    worker.say(Run(job_id="1" * 32, request=asked()))
    heard: list[FromWorker] = []
    assert worker.until_ended(heard.append) == Failed(job_id="0" * 32, error=JobCancelled().info())
    ended = worker.until_ended(heard.append)
    assert isinstance(ended, Succeeded), ended
    assert ended.job_id == "1" * 32
    ready = next(message for message in heard if isinstance(message, Ready))
    assert ready.device == "cpu"
    assert "torch" in ready.versions
    assert ended.result.image is not None
    assert blobs.read_array(ended.result.image).shape == (64, 64, 3)
    steps = [m.progress.step for m in heard if isinstance(m, Reported) and m.progress.phase is Phase.STEP]
    assert steps == [1, 2, 3]

    # The same job again is the same picture, and nothing is loaded for it.
    worker.say(Run(job_id="2" * 32, request=asked()))
    previews: list[bytes] = []
    message, payload = worker.hear()
    while not isinstance(message, Succeeded):
        assert not isinstance(message, Failed)
        previews += [payload] if isinstance(message, Previewed) else []
        message, payload = worker.hear()
    assert message.result.image == ended.result.image
    assert [arrays.decode(preview).shape for preview in previews] == [(8, 8, 3)] * 3

    # A job that can't be done says why, and the next one is served.
    worker.say(Run(job_id="3" * 32, request=asked(checkpoint="nobody/nothing")))
    failed = worker.until_ended()
    assert isinstance(failed, Failed)
    assert failed.error.code == ModelMissing.code
    assert "ModelMissing" in worker.log.read_text()

    # Cancel in the middle of the steps.
    worker.say(Run(job_id="4" * 32, request=asked(steps=900)))
    steps.clear()

    def cancel_at_first_step(message: FromWorker) -> None:
        if isinstance(message, Reported) and message.progress.phase is Phase.STEP:
            steps.append(message.progress.step)
            if message.progress.step == 1:
                worker.say(Cancel(job_id="4" * 32))

    cancelled = worker.until_ended(cancel_at_first_step)
    assert cancelled == Failed(job_id="4" * 32, error=JobCancelled().info())
    assert steps[-1] < 900
    worker.say(Cancel(job_id="4" * 32))  # late: means nothing

    worker.say(Run(job_id="5" * 32, request=asked()))
    last = worker.until_ended()
    assert isinstance(last, Succeeded)
    assert last.result.image == ended.result.image

    # The service dies in the middle of a job.
    worker.say(Run(job_id="6" * 32, request=asked(steps=900)))
    message, _ = worker.hear()
    while not (isinstance(message, Reported) and message.progress.phase is Phase.STEP):
        message, _ = worker.hear()
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(30) == 0


def test_control_images_are_made_beside_a_picture(start: Callable[[], Worker], blobs: BlobStore, asked: Asked) -> None:
    worker = start()
    worker.say(Run(job_id="1" * 32, request=asked(steps=900)))
    message, _ = worker.hear()
    while not (isinstance(message, Reported) and message.progress.phase is Phase.STEP):
        message, _ = worker.hear()
    request = asked()
    maps = ControlMapsRequest(size=request.size, controls=request.controls)
    worker.say(Run(job_id="2" * 32, request=maps))
    ended = worker.until_ended()
    assert isinstance(ended, Succeeded), ended
    assert ended.job_id == "2" * 32
    worker.say(Cancel(job_id="1" * 32))
    assert worker.until_ended() == Failed(job_id="1" * 32, error=JobCancelled().info())


def test_shutdown_is_obeyed_at_once(start: Callable[[], Worker]) -> None:
    worker = start()
    worker.say(Shutdown())
    assert worker.process.wait(30) == 0


def test_a_stranger_on_the_pipe_ends_the_worker(start: Callable[[], Worker]) -> None:
    worker = start()
    assert worker.process.stdin is not None
    worker.process.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
    worker.process.stdin.flush()
    assert worker.process.wait(30) == 1
    assert "pipe broke" in worker.log.read_text()


def test_it_beats_from_the_first_second(start: Callable[[], Worker]) -> None:
    worker = start()
    assert worker.process.stdout is not None
    frames = [read_frame(worker.process.stdout) for _ in range(2)]
    assert Beat in {type(frame[0]) for frame in frames if frame is not None}


def test_control_images_come_before_torch_does(start: Callable[[], Worker], blobs: BlobStore, asked: Asked) -> None:
    worker = start()
    assert isinstance(worker.hear()[0], MapsReady)
    request = asked()
    maps = ControlMapsRequest(size=request.size, controls=request.controls)
    worker.say(Run(job_id="1" * 32, request=maps))
    heard: list[FromWorker] = []
    ended = worker.until_ended(heard.append)
    assert isinstance(ended, Succeeded), ended
    assert not any(isinstance(message, Ready) for message in heard)
    assert [blobs.read_array(ref).shape for ref in ended.result.control_maps] == [(64, 64, 3)] * 3
    worker.say(Run(job_id="2" * 32, request=request))  # and pictures are made all the same
    picture = worker.until_ended(heard.append)
    assert isinstance(picture, Succeeded), picture
    assert any(isinstance(message, Ready) for message in heard)
    assert picture.result.control_maps == ended.result.control_maps


def test_another_process_makes_the_same_bytes(
    start: Callable[[], Worker], runner: JobRunner, blobs: BlobStore, asked: Asked
) -> None:
    """Noise at every step, a start picture, two pictures: whatever draws or rounds does it alike."""
    picture = blobs.write_array(np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8))
    request = asked(
        scheduler=Scheduler.EULER_ANCESTRAL,
        start=Start(image=picture, strength=0.7),
        variants=(Variant(prompt="a barn", seed=8),),
    )
    expected = Job(runner, request).run()
    worker = start()
    worker.say(Run(job_id="1" * 32, request=request))
    ended = worker.until_ended()
    assert isinstance(ended, Succeeded), ended
    assert len(ended.result.images) == 2
    assert ended.result.images == expected.images
    assert ended.result.control_maps == expected.control_maps

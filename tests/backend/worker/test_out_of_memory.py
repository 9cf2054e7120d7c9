"""Memory that really runs out, under a limit of the operating system: the job goes on with less, and says so."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

# A picture of 768 x 768 by the embedded checkpoint, whose VAE takes 226 MB for it at once and 120 MB in tiles, in a
# process that may take less than that more than it has.
SCRIPT = """
import dataclasses, json, re, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from underpaint.backend.blobstore import BlobStore
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest
from worker_runner import Job, make_runner

folder, spare_mb = Path(sys.argv[2]), int(sys.argv[3])
blobs = BlobStore(folder / "blobs")
runner = make_runner(blobs, Path(sys.argv[4]))
request = GenerateRequest(prompt="a room", size=Extent(width=64, height=64), steps=1, guidance_scale=1.0)
Job(runner, request).run()  # whatever is imported and started by a first job is there
status = Path("/proc/self/status").read_text()
data = 1024 * int(re.search(r"VmData:\\s+(\\d+)", status)[1])
resource.setrlimit(resource.RLIMIT_DATA, (data + (spare_mb << 20),) * 2)
large = dataclasses.replace(request, size=Extent(width=768, height=768))
job = Job(runner, large)
try:
    results = [job.run(), Job(runner, large).run()]
    error = None
except Exception as raised:
    results, error = [], f"{type(raised).__name__}: {raised}"
print(json.dumps({
    "error": error,
    "plans": [result.plan for result in results],
    "notes": [result.notes for result in results],
    "pictures": [result.image.sha256 for result in results],
    "told": [entry.note for entry in job.progress],
    "spread": float(blobs.read_array(results[0].image).std()) if results else 0,
}))
"""


# What was freed is free again at once, and threads that wait don't spin.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "262144", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def paint(tmp_path: Path, models: Path, *, spare_mb: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(HERE), str(tmp_path), str(spare_mb), str(models)],
        capture_output=True, text=True, timeout=400, check=False, env={**os.environ, **ENVIRONMENT},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="no other system limits what a process may take")
def test_a_job_that_runs_out_of_memory_goes_on_with_less(tmp_path: Path, models: Path) -> None:
    found = paint(tmp_path, models, spare_mb=185)
    assert found["error"] is None
    (note,) = found["notes"][0]
    assert note.startswith("Memory ran out with all in memory on cpu; went on with: SD 1.5 in ")
    assert "decoded in tiles of 512" in note
    assert note in found["told"]
    assert "decoded in tiles of 512" in found["plans"][0]
    assert found["spread"] > 5
    # What was learnt is not learnt again with the next job, and its picture is the same.
    assert found["notes"][1] == []
    assert "tiles of 512" in found["plans"][1]
    assert found["pictures"][0] == found["pictures"][1]


@pytest.mark.skipif(sys.platform != "linux", reason="no other system limits what a process may take")
def test_a_job_that_even_the_last_rung_is_too_much_for_says_so(tmp_path: Path, models: Path) -> None:
    found = paint(tmp_path, models, spare_mb=20)
    assert found["error"] is not None
    assert found["error"].startswith("OutOfMemory: Not enough memory on cpu")

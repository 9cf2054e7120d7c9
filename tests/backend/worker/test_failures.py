"""Whatever is raised becomes an error that says what to do."""

import errno
from pathlib import Path

import pytest
import torch
from underpaint.backend.worker.failures import error_info
from underpaint.protocol.errors import BlobMissing, DiskFull, ErrorInfo, OutOfMemory, WorkerFailed


def told(error: BaseException) -> ErrorInfo:
    return error_info(error, device="cpu", blobs=Path("/blobs"))


def test_the_allocator_s_own_words_mean_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 46)  # 256 TiB: more than any address space here
    assert told(caught.value) == OutOfMemory(device="cpu").info()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_out_of_memory(error: BaseException) -> None:
    assert told(error).code == OutOfMemory.code


def test_a_full_disk_names_the_file_or_the_blob_store() -> None:
    assert told(OSError(errno.ENOSPC, "No space left", "/models/x")) == DiskFull(path="/models/x").info()
    assert told(OSError(errno.ENOSPC, "No space left")) == DiskFull(path="/blobs").info()


def test_ours_stay_what_they_are_and_the_rest_is_the_worker_s_failure() -> None:
    assert told(BlobMissing(sha256="ab")) == BlobMissing(sha256="ab").info()
    failed = told(ZeroDivisionError("division by zero"))
    assert failed.code == WorkerFailed.code
    assert failed.details["reason"] == "ZeroDivisionError: division by zero"
    assert told(RuntimeError("shapes do not match")).code == WorkerFailed.code

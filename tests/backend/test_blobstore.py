"""Blobs: complete or absent, checked when read."""

import errno
import os

import numpy as np
import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.protocol import arrays
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.errors import BlobMissing, DiskFull, InvalidArray


@pytest.fixture
def store(tmp_path):
    return BlobStore(tmp_path / "blobs")


def files(store):
    return [path for path in store.folder.rglob("*") if path.is_file()]


def test_an_array_comes_back(store):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(store.read_array(store.write_array(array)), array)


def test_writing_twice_is_one_file(store):
    assert store.write(b"x") == store.write(b"x")
    assert len(files(store)) == 1


@pytest.mark.parametrize("address", ["../token", "/etc/passwd", "", "A" * 64, "0" * 64])
def test_what_is_not_there_is_missing_and_no_address_is_a_path(store, address):
    with pytest.raises(BlobMissing):
        store.read(address)


def test_a_link_is_no_blob(store, tmp_path):
    address = arrays.digest(b"secret")
    (tmp_path / "secret").write_bytes(b"secret")
    store.path(address).parent.mkdir()
    store.path(address).symlink_to(tmp_path / "secret")
    assert not store.has(address)


def test_damaged_bytes_are_noticed_and_can_be_stored_again(store):
    address = store.write(b"good")
    store.path(address).write_bytes(b"evil")
    with pytest.raises(InvalidArray, match="damaged"):
        store.read(address)
    assert store.write(b"good") == address
    assert store.read(address) == b"good"


def test_a_reference_that_lies_is_refused(store):
    ref = store.write_array(np.zeros((2, 2), np.uint8))
    with pytest.raises(InvalidArray, match="promised"):
        store.read_array(ArrayRef(sha256=ref.sha256, shape=(4,), dtype=DType.UINT8))


def test_pieces_make_a_blob_only_under_their_own_hash(store):
    with store.incoming() as incoming:
        incoming.write(b"one")
        incoming.write(b"two")
        with pytest.raises(InvalidArray):
            incoming.keep("0" * 64)
        incoming.write(b"")
    assert files(store) == []
    with store.incoming() as incoming:
        incoming.write(b"one")
        incoming.write(b"two")
        incoming.keep(arrays.digest(b"onetwo"))
    assert store.read(arrays.digest(b"onetwo")) == b"onetwo"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_nothing_is_left(store, monkeypatch, number):
    def full(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="blobs"):
        store.write(b"x")
    assert files(store) == []


def test_what_a_killed_process_left_is_swept_away(store):
    (store.folder / ".incoming-abc").write_bytes(b"half")
    kept = store.write(b"whole")
    store.sweep()
    assert files(store) == [store.path(kept)]

"""Headers of safetensors files: whatever is in a file, it is read or refused in a sentence, as the loader would."""

import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from full_size_headers import header_of, write
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from underpaint.backend.library.headers import MAX_HEADER_BYTES, metadata, read_header
from underpaint.backend.library.recognition import recognise
from underpaint.protocol.errors import ModelBroken, ModelPickled

RELAXED = settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


def framed(text: bytes, data: bytes = b"") -> bytes:
    """A file with this header."""
    return struct.pack("<Q", len(text)) + text + data


def refused(file: Path, content: bytes) -> str:
    """What is said of a file with this content."""
    file.write_bytes(content)
    with pytest.raises(ModelBroken) as caught:
        read_header(file, "x")
    assert file.name in str(caught.value)
    return str(caught.value)


def test_a_sound_file_is_read_with_its_metadata(tmp_path: Path) -> None:
    file = write(tmp_path / "a.safetensors", {"a": (2, 3), "b": (), "c": (0, 4)}, metadata={"who": "me"})
    header = read_header(file, "a")
    assert header["a"] == {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}
    assert metadata(header) == {"who": "me"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x00" * 7, "cut off"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4000\n", "git lfs pull"),
        (b"GGUF\x03\x00\x00\x00" + bytes(100), "GGUF"),
        (framed(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0\0"), "bytes, so it is cut off"),
        (framed(b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}', bytes(4)), "unknown type 'F99'"),
        (framed(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', bytes(4)), "don't fit its shape"),
        (framed(b'{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', bytes(4)), "no shape"),
        (framed(b'{"__metadata__":{"a":1}}'), "metadata"),
        (framed(b'{"a":"\xff"}'), "no readable header"),
        (framed(b" " * 20), "no JSON object"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1) + bytes(100), "cut off"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refused(tmp_path / "a.safetensors", content)


def test_tensors_that_overlap_leave_gaps_or_come_twice_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    one = '{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}'
    assert "overlap" in refused(file, framed(f'{{"a":{one % (0, 4)},"b":{one % (2, 6)}}}'.encode(), bytes(6)))
    assert "gaps" in refused(file, framed(f'{{"a":{one % (0, 4)},"b":{one % (8, 12)}}}'.encode(), bytes(12)))
    assert "twice" in refused(file, framed(f'{{"a":{one % (0, 4)},"a":{one % (0, 4)}}}'.encode(), bytes(4)))


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    for opening in (b'{"a":', b'{"a":[', b'{"__metadata__":{"a":['):
        assert "nested too deep" in refused(tmp_path / "a.safetensors", framed(opening + b"[" * (20 << 20)))


def test_a_header_longer_than_any_is_never_read(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", 1 << 36))
        stream.truncate(1 << 37)  # sparse: 128 GiB that aren't there
    with pytest.raises(ModelBroken, match="cut off"):
        read_header(file, "x")


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
def test_a_pickle_is_told_with_the_way_to_convert_it(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    with pytest.raises(ModelPickled, match="underpaint convert"):
        read_header(tmp_path / name, "x")


def test_what_is_no_file_is_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "loop.safetensors").symlink_to(tmp_path / "loop.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("pipe", "loop", "folder", "nothing"):
        with pytest.raises(ModelBroken, match="missing"):
            read_header(tmp_path / f"{name}.safetensors", "x")


@RELAXED
@given(content=st.binary(max_size=400) | st.binary(max_size=200).map(framed))
@example(content=framed(b"{}"))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("bytes") / "a.safetensors"
    file.write_bytes(content)
    _as_the_loader(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F16", "BF16", "F8_E4M3", "BOOL", "F4", "X", 1]) | JSON,
        "shape": st.lists(st.integers(-1, 9), max_size=3) | JSON,
        "data_offsets": st.tuples(st.integers(-1, 60), st.integers(-1, 60)) | JSON,
        "more": JSON,
    },
)


@RELAXED
@given(
    header=st.dictionaries(st.sampled_from(["a", "b", "__metadata__", "model.x"]), ENTRY | JSON),
    size=st.integers(0, 80),
)
def test_any_structure_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any], size: int
) -> None:
    file = tmp_path_factory.mktemp("json") / "a.safetensors"
    file.write_bytes(framed(json.dumps(header).encode("utf-8", "surrogatepass"), bytes(size)))
    _as_the_loader(file)


@RELAXED
@example(found={" \U00010000": (0,)}, place=11, byte=32)  # half a pair of escapes
@given(
    found=st.dictionaries(
        st.text(min_size=1, max_size=12), st.lists(st.integers(0, 4), max_size=3).map(tuple), max_size=4
    ),
    place=st.integers(0, 400),
    byte=st.integers(0, 255),
)
def test_a_sound_file_with_one_wrong_byte_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, Any], place: int, byte: int
) -> None:
    found.pop("__metadata__", None)
    file = write(tmp_path_factory.mktemp("bent") / "a.safetensors", found)
    assert read_header(file, "a") == header_of(found)
    content = bytearray(file.read_bytes())
    content[place % len(content)] = byte
    file.write_bytes(content)
    _as_the_loader(file)


def _as_the_loader(file: Path) -> None:
    """Read a header or refuse it, and never let through what the loader would refuse; what is read is recognised."""
    try:
        header = read_header(file, "x")
    except ModelBroken as error:
        told = str(error)
    else:
        recognise(header)
        with safe_open(file, "np") as tensors:
            assert set(tensors.keys()) == set(header) - {"__metadata__"}
        return
    assert file.name in told

"""Text in PNG files, read and written beside Pillow's."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from underpaint.protocol import png_text

PIXELS = bytes(range(3 * 4 * 5))


def png(**texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    stream = io.BytesIO()
    Image.frombytes("RGB", (4, 5), PIXELS).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@given(
    st.dictionaries(
        st.sampled_from(["a", "parameters", "Zeichen ä"]),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    )
)
def test_what_is_put_in_comes_out_and_pillow_reads_it_too(texts):
    written = png_text.with_texts(png(Title="kept"), texts)

    assert png_text.texts(written) == {"Title": "kept", **texts}
    with Image.open(io.BytesIO(written)) as image:
        assert {key: str(value) for key, value in image.info.items()} == {"Title": "kept", **texts}
        assert image.tobytes() == PIXELS


def test_a_text_replaces_that_of_the_same_name():
    once = png_text.with_texts(png(parameters="old", other="stays"), {"parameters": "new"})
    assert png_text.texts(once) == {"parameters": "new", "other": "stays"}
    assert once.count(b"parameters") == 1


@pytest.mark.parametrize("packed", [False, True])
def test_reads_what_pillow_wrote_in_every_kind_of_text(packed):
    info = PngImagePlugin.PngInfo()
    info.add_text("latin", "ümlaut", zip=packed)
    info.add_itxt("unicode", "陽の光", lang="ja", tkey="題", zip=packed)
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG", pnginfo=info)
    assert png_text.texts(stream.getvalue()) == {"latin": "ümlaut", "unicode": "陽の光"}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: b"", "begins otherwise"),
        (lambda data: b"\xff\xd8\xff" + data, "begins otherwise"),
        (lambda data: data[:-1], "cut off"),
        (lambda data: data[:60], "cut off"),
        (lambda data: data[:8], "cut off"),
        (lambda data: data.replace(b"words", b"swords"[1:][::-1]), "'tEXt' part is damaged"),
        (lambda data: data[:8] + chunk(b"tEXt", b"a\0b") + data[8:], "begins otherwise"),
        (lambda data: data[:33] + chunk(b"tEXt", b"no keyword") + data[33:], "no keyword"),
        (lambda data: data[:33] + chunk(b"iTXt", b"a\0\0") + data[33:], "damaged"),
        (lambda data: data[:33] + chunk(b"iTXt", b"a\0\0\0\0\0\xff\xfe") + data[33:], "not UTF-8"),
        (lambda data: data[:33] + chunk(b"zTXt", b"a\0\0nonsense") + data[33:], "damaged"),
        (lambda data: data[:33] + b"\xff\xff\xff\xfftEXt" + data[33:], "cut off"),
    ],
)
def test_what_is_no_whole_png_is_refused_in_a_sentence(spoil, reason):
    with pytest.raises(png_text.InvalidPng, match=reason):
        png_text.texts(spoil(png(a="words")))


def test_a_text_that_unpacks_to_gigabytes_is_refused_before_it_is_unpacked():
    packer = zlib.compressobj()
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    for kind, head in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")):
        data = png()
        with pytest.raises(png_text.InvalidPng, match="larger than any picture needs"):
            png_text.texts(data[:33] + chunk(kind, head + bomb) + data[33:])


def test_many_texts_that_are_large_together_are_refused():
    large = chunk(b"tEXt", b"a\0" + b" " * (png_text.MAX_TEXT_BYTES - 1)) * 5
    data = png()
    with pytest.raises(png_text.InvalidPng, match="larger than any picture needs"):
        png_text.texts(data[:33] + large + data[33:])


@pytest.mark.parametrize(("keyword", "text"), [("", "a"), (" a", "a"), ("a" * 80, "a"), ("a", "b\0c")])
def test_what_a_png_cannot_hold_is_refused(keyword, text):
    with pytest.raises(ValueError, match="PNG"):
        png_text.with_texts(png(), {keyword: text})

"""Arrays on the wire: exact, and nothing but plain arrays."""

import io

import numpy as np
import pytest
from underpaint.protocol import arrays
from underpaint.protocol.errors import InvalidArray


def npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def header(shape, descr="'<f4'"):
    """The head of a .npy file, with any Python in it."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.0, -0.0, np.inf], [-np.inf, np.nan, 1e-45]], np.float32),
        np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
        np.zeros((0, 3), np.uint8),
        np.float32(7).reshape(()),
        np.arange(12, dtype=np.float32).reshape(3, 4)[::-1, ::2],
        np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
        np.arange(3, dtype=">f4"),
    ],
    ids=["specials", "image", "empty", "scalar", "view", "fortran", "big-endian"],
)
def test_every_bit_comes_back(array):
    back = arrays.decode(arrays.encode(array))
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("<")
    assert back.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()
    back.fill(0)  # it is ours to write to


def test_a_reference_names_the_bytes_not_the_object():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = arrays.encode(array)
    assert arrays.encode(np.asfortranarray(array)) == data
    ref = arrays.reference(array, data)
    assert (ref.sha256, ref.shape, ref.dtype) == (arrays.digest(data), (2, 3), "float32")
    assert arrays.is_address(ref.sha256)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, bool, object, "U3", [("a", "f4")]])
def test_only_three_element_types_cross(dtype):
    with pytest.raises(InvalidArray, match="expected float32, int32 or uint8"):
        arrays.encode(np.zeros(2, dtype))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (npy(np.array([{}], object), allow_pickle=True), "element type object"),
        (npy(np.zeros(3, np.float64)), "float64"),
        (npy(np.zeros(3, ">f4")), "big-endian"),
        (npy(np.asfortranarray(np.zeros((2, 2), np.float32))), "Fortran"),
        (npy(np.zeros(3, np.float32), version=(2, 0)), "2.0"),
        (npy(np.zeros(3, np.float32))[:-1], "promises"),
        (npy(np.zeros(3, np.float32)) + b"\0", "promises"),
        (npy(np.zeros(3, np.float32)).replace(b"(3,), }   ", b"(-3,), }  "), "negative"),
        (npy(np.zeros(3, np.float32)).replace(b"(3,), }          ", b"(9999999999,), } "), "limit"),
        (b"PK\x03\x04", "can't be read"),
        (b"", "can't be read"),
        (b"\x93NUMPY\x01\x00\xff\xff", "can't be read"),
        (header("-" * 3000 + "1"), "recursion"),
        (header("[" * 3000), "can't be read"),
        (header("(" * 300 + ")" * 300), "Cannot parse"),
        (header("(0, 1" + "0" * 30 + ")"), "beyond every limit"),
        (header(str((1,) * 70)) + bytes(4), "beyond every limit"),
        (header("(4294967296, 4294967296, 4294967296)"), "limit"),
        (header("(3.0,)"), "not valid"),
        (header("(3,)", "('<f4', (1000000000,))"), "dtype size"),
    ],
)
def test_anything_else_is_refused(data, said):
    with pytest.raises(InvalidArray, match=said):
        arrays.decode(data)


def test_a_header_is_known_from_its_start_alone():
    data = arrays.encode(np.zeros((5, 7, 3), np.uint8))
    header = arrays.read_header(data[: arrays.HEADER_BYTES])
    assert (header.shape, header.dtype, header.file_bytes) == ((5, 7, 3), "uint8", len(data))


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61, "0" * 63 + "\n", "\u0660" * 64])
def test_nothing_but_an_address_is_one(text):
    assert not arrays.is_address(text)

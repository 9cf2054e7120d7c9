"""Who and what is refused at the door."""

import hashlib
import http.client
import io
import json
import socket
import stat
import sys
from dataclasses import replace

import numpy as np
import pytest
from underpaint.protocol import arrays
from underpaint.protocol.client import Connection
from underpaint.protocol.client import endpoint as endpoints
from underpaint.protocol.errors import BlobMissing, InvalidArray, InvalidRequest, InvalidSize, TokenRefused
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Control, ControlKind, GenerateRequest
from underpaint.protocol.sources import ReadyMap


def call(shared, method, path, *, body=None, **headers):
    """A raw call with the right token, unless the headers say otherwise; status and error code."""
    endpoint, token = endpoints.read(shared.home)
    http_connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=10)
    sent = {"Authorization": f"Bearer {token}"} | {name.replace("_", "-"): text for name, text in headers.items()}
    try:
        http_connection.request(method, path, body=body, headers={k: v for k, v in sent.items() if v is not None})
        response = http_connection.getresponse()
        data = response.read()
        return response.status, json.loads(data)["code"] if response.status >= 400 and data else ""
    finally:
        http_connection.close()


def put_blob(shared, data, **headers):
    return call(shared, "PUT", f"/v1/blobs/{hashlib.sha256(data).hexdigest()}", body=data, **headers)


def npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("authorization", [None, "", "Bearer ", "Bearer wrong", "Basic eDp5", "Bearer \xe9"])
def test_a_wrong_token_is_refused(shared, authorization):
    assert call(shared, "GET", "/v1/hello", Authorization=authorization) == (401, "token_refused")


@pytest.mark.parametrize("name", ["Authorization", "Host"])
def test_a_header_that_is_there_twice_is_refused(shared, name):
    endpoint, token = endpoints.read(shared.home)
    right = {"Authorization": f"Bearer {token}", "Host": f"{endpoint.host}:{endpoint.port}"}
    lines = [*right.items(), (name, right[name])]
    head = "".join(f"{key}: {value}\r\n" for key, value in lines)
    with socket.create_connection((endpoint.host, endpoint.port), timeout=10) as raw:
        raw.sendall(f"GET /v1/hello HTTP/1.0\r\n{head}\r\n".encode("ascii"))
        status = raw.makefile("rb").readline().split()[1]
    assert status in (b"400", b"401", b"403")


def test_a_wrong_token_is_told_with_the_files_name(shared):
    endpoint, token = endpoints.read(shared.home)
    with Connection(endpoint, token[::-1], home=shared.home) as wrong, pytest.raises(TokenRefused, match="token"):
        wrong.hello()
    with Connection(endpoint, "0" * 64) as wrong, pytest.raises(TokenRefused):
        next(wrong.events())
    with Connection(endpoint, "0" * 64) as wrong, pytest.raises(TokenRefused):
        wrong.upload(np.zeros(3, np.float32))


@pytest.mark.parametrize("origin", ["null", "http://127.0.0.1", "https://evil.example"])
def test_web_pages_are_refused_even_with_the_token(shared, origin):
    assert call(shared, "GET", "/v1/hello", Origin=origin) == (403, "invalid_request")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "[::1]:80", ""])
def test_a_foreign_host_is_refused(shared, host):
    assert call(shared, "GET", "/v1/hello", Host=host) == (403, "invalid_request")


def test_localhost_with_the_port_is_welcome(shared):
    port = endpoints.read(shared.home)[0].port
    assert call(shared, "GET", "/v1/hello", Host=f"localhost:{port}") == (200, "")


def test_oversized_bodies_are_refused_unread(shared):
    address = "0" * 64
    assert call(shared, "PUT", f"/v1/blobs/{address}", body=b"", Content_Length=str(1 << 40))[0] == 413
    assert call(shared, "PUT", f"/v1/jobs/{'0' * 32}", body=b"", Content_Length=str(5 << 20))[0] == 413


def test_an_oversized_job_is_refused_where_no_length_is_declared(shared):
    pieces = (b" " * (1 << 20) for _ in range(6))
    assert call(shared, "PUT", f"/v1/jobs/{'0' * 32}", body=pieces)[0] == 413


@pytest.mark.parametrize(
    "data",
    [
        npy(np.array([{"a": 1}], dtype=object), allow_pickle=True),
        npy(np.zeros(3, np.float32))[:-1],
        npy(np.zeros(3, np.float32)) + b"x",
        npy(np.zeros(3, np.float64)),
        npy(np.asfortranarray(np.zeros((3, 2), np.float32))),
        npy(np.zeros(3, np.float32), version=(2, 0)),
        npy(np.zeros(3, ">f4")),
        npy(np.zeros(3, np.float32)).replace(b"(3,), ", b"(9**9,)"),
        npy(np.zeros(3, np.float32)).replace(b"(3,), }      ", b"(999999,), } "),
        b"not an array",
        b"",
    ],
    ids=["pickle", "short", "long", "float64", "fortran", "v2", "big-endian", "code", "lie", "text", "empty"],
)
def test_what_is_no_plain_array_is_refused_and_not_kept(shared, data):
    status, code = put_blob(shared, data)
    assert (status, code) == (422, "invalid_array")
    assert call(shared, "HEAD", f"/v1/blobs/{hashlib.sha256(data).hexdigest()}")[0] == 404
    assert not list(shared.home.blobs.glob(".incoming-*"))


def test_bytes_under_another_hash_are_refused(shared):
    data = arrays.encode(np.zeros(3, np.float32))
    assert call(shared, "PUT", f"/v1/blobs/{'ab' * 32}", body=data) == (422, "invalid_array")


@pytest.mark.parametrize("path", ["..%2f..%2ftoken", "../token", "A" * 64, "0" * 63])
def test_only_addresses_are_looked_up(shared, path):
    assert call(shared, "GET", f"/v1/blobs/{path}")[0] in (404, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{" * 100_000,
        b'{"request": {"type": "GenerateRequest", "prompt": "x", "size": {"width": 8, "height": 8}, "steps": NaN}}',
        b'{"request": {"type": "os.system", "prompt": "x"}}',
        b'{"request": {"type": "GenerateRequest", "prompt": "x", "size": {"width": 8, "height": 8}, "turbo": true}}',
    ],
)
def test_jobs_that_are_no_jobs_are_refused(shared, body):
    assert call(shared, "PUT", f"/v1/jobs/{'1' * 32}", body=body) == (422, "invalid_request")


def test_a_size_that_does_not_work_is_told_with_the_nearest(connection):
    with pytest.raises(InvalidSize, match="512 x 264"):
        connection.submit(GenerateRequest(prompt="", size=Extent(width=510, height=260)))


def test_a_job_whose_array_is_missing_is_refused(connection):
    ref = connection.upload(np.zeros((8, 8, 3), np.uint8))
    lost = ReadyMap(image=type(ref)(sha256="ab" * 32, shape=ref.shape, dtype=ref.dtype))
    control = Control(kind=ControlKind.CANNY, source=lost)
    with pytest.raises(BlobMissing, match="ab" * 32):
        connection.submit(GenerateRequest(prompt="", size=Extent(width=8, height=8), controls=(control,)))


def test_a_job_whose_array_is_another_one_than_it_says_is_refused(connection):
    ref = connection.upload(np.zeros((16, 8, 3), np.uint8))
    control = Control(kind=ControlKind.DEPTH, source=ReadyMap(image=replace(ref, shape=(8, 16, 3))))
    with pytest.raises(InvalidArray, match=r"\(16, 8, 3\) where uint8 \(8, 16, 3\) was promised"):
        connection.submit(GenerateRequest(prompt="", size=Extent(width=16, height=8), controls=(control,)))


def test_what_is_no_wire_array_is_refused_before_it_is_sent(connection):
    with pytest.raises(InvalidArray, match="float64"):
        connection.upload(np.zeros(3))


def test_unknown_places_answer_typed_errors(shared):
    assert call(shared, "GET", "/v1/nothing") == (404, "invalid_request")
    assert call(shared, "DELETE", "/v1/hello") == (405, "invalid_request")
    assert call(shared, "GET", "/v1/jobs?limit=many") == (422, "invalid_request")
    assert call(shared, "GET", "/v1/events?since=-1") == (422, "invalid_request")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes; the profile's folder is private")
def test_only_the_owner_can_read_the_token(shared):
    assert stat.S_IMODE(shared.home.token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(shared.home.folder.stat().st_mode) == 0o700


def test_refusals_are_typed_for_clients(connection):
    with pytest.raises(InvalidRequest, match="steps is 0"):
        connection.submit(GenerateRequest(prompt="", size=Extent(width=8, height=8), steps=0))

"""A service for other computers: who gets in over TLS, what is refused at its start, and what clients trust."""

import contextlib
import http.client
import math
import re
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from raw_door import Door, answer, send, until_closed
from service_process import FAKE_WORKER, Service, alive, until
from underpaint.backend.service.__main__ import IDLE_EXIT_S, _idle_exit_s, _parser
from underpaint.backend.service.patience import Patience
from underpaint.backend.service.remote import DEFAULT_PORT, RemoteRefused, _address, prepare
from underpaint.installer import check_service, command
from underpaint.installer.diagnostics import diagnostics
from underpaint.installer.findings import Computer, Verdict
from underpaint.protocol import arrays
from underpaint.protocol.client import Connection, Home, connect, ensure_running, remote, run
from underpaint.protocol.client.remote import Remote
from underpaint.protocol.client.transport import open_http, trusting
from underpaint.protocol.errors import (
    BlobMissing,
    CertificateRefused,
    NotStoppedFromHere,
    RemoteInvalid,
    RemoteTokenRefused,
    RemoteUnreachable,
)
from underpaint.protocol.events import JobChanged, PreviewReady, Progress
from underpaint.protocol.jobs import JobState
from underpaint.protocol.request import GenerateRequest

Told = Callable[..., GenerateRequest]
HELLO = b"GET /v1/hello"
NAMES = "DNS:localhost,IP:127.0.0.1"
IMPATIENT = {"head_s": 1.0, "body_s": 1.0, "stranger_s": 1.0, "strangers": 10}


@dataclass(frozen=True)
class Papers:
    """A certificate and its key."""

    certificate: Path
    key: Path

    @property
    def arguments(self) -> list[str]:
        return ["--certificate", str(self.certificate), "--key", str(self.key)]


def issue(folder: Path, names: str | None = NAMES) -> Papers:
    """What docs/remote.md tells users to make."""
    folder.mkdir()
    papers = Papers(folder / "underpaint.crt", folder / "underpaint.key")
    alternatives = [] if names is None else ["-addext", f"subjectAltName={names}"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "825", "-subj", "/CN=gpu.example", *alternatives),
            *("-keyout", papers.key, "-out", papers.certificate),
        ],
        check=True,
        capture_output=True,
    )
    papers.key.chmod(0o600)
    return papers


@dataclass(frozen=True)
class Far:
    """A service for other computers, as one of them finds it."""

    service: Service
    papers: Papers
    port: int

    @property
    def chosen(self) -> Remote:
        token = self.service.home.remote_token_file.read_text().strip()
        return Remote(
            url=f"https://localhost:{self.port}", token=token, certificate=self.papers.certificate.read_text()
        )

    @property
    def door(self) -> Door:
        return Door(host="localhost", port=self.port, token=self.chosen.token)

    def knock(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.papers.certificate)
        return context.wrap_socket(
            socket.create_connection(("127.0.0.1", self.port), timeout=10), server_hostname="localhost"
        )

    def told(self, data: bytes) -> tuple[int, str]:
        with self.knock() as raw:
            send(raw, data)
            return answer(raw)


def serve(service: Service, papers: Papers, *arguments: str, patience: dict[str, float] | None = None) -> Far:
    service.start(patience=patience, more=["--bind", "127.0.0.1:0", *papers.arguments, *arguments])
    said = service.home.start_log.read_text()
    return Far(service, papers, int(re.findall(r"https://localhost:(\d+)", said)[0]))


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return issue(tmp_path_factory.mktemp("papers") / "own")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, papers: Papers) -> Iterator[Far]:
    """One that tests leave as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
        service = Service(Home(tmp_path_factory.mktemp("far") / "home"))
        yield serve(service, papers)
    service.stop()


@pytest.fixture
def near(tmp_path: Path, far: Far) -> Home:
    """The data folder of a client that uses it."""
    home = Home(tmp_path / "near")
    remote.save(home, far.chosen)
    return home


# ---- at the door


def test_plain_http_gets_no_answer(far: Far) -> None:
    with socket.create_connection(("127.0.0.1", far.port), timeout=10) as raw:
        send(raw, far.door.head(HELLO))
        assert b"HTTP" not in until_closed(raw)


@pytest.mark.parametrize("token", ["", "wrong", "0" * 64])
@pytest.mark.parametrize("path", [HELLO, b"GET /v1/events", b"PUT /v1/jobs/x", b"POST /v1/shutdown"])
def test_without_the_token_nothing_is_told(far: Far, token: str, path: bytes) -> None:
    assert far.told(far.door.head(path, token=token)) == (401, "token_refused")


def test_each_door_has_its_own_token(far: Far) -> None:
    here = Door.of(far.service)
    assert far.told(far.door.head(HELLO)) == (200, "")
    assert far.told(far.door.head(HELLO, token=here.token)) == (401, "token_refused")
    assert here.told(here.head(HELLO, token=far.door.token)) == (401, "token_refused")


def test_no_header_leads_through_the_other_door(far: Far) -> None:
    here = Door.of(far.service)
    claims = [b"X-Forwarded-Proto: https", b"X-Forwarded-For: 127.0.0.1", b"Forwarded: proto=https"]
    host = b"localhost:%d" % far.port
    assert here.told(here.head(HELLO, *claims, host=host, token=far.door.token))[0] == 403
    assert here.told(here.head(HELLO, *claims, token=far.door.token))[0] == 401


@pytest.mark.parametrize(
    "host", [b"evil.example:%d", b"gpu.example:%d", b"0.0.0.0:%d", b"localhost", b"localhost:1", b""]
)
def test_a_name_that_the_certificate_lacks_is_refused(far: Far, host: bytes) -> None:
    named = host % far.port if b"%" in host else host
    assert far.told(far.door.head(HELLO, host=named))[0] in (400, 403)


def test_every_name_in_the_certificate_is_welcome(far: Far) -> None:
    for name in (b"localhost", b"127.0.0.1", b"LocalHost"):
        assert far.told(far.door.head(HELLO, host=name + b":%d" % far.port)) == (200, "")


def test_web_pages_are_refused(far: Far) -> None:
    assert far.told(far.door.head(HELLO, b"Origin: https://localhost")) == (403, "invalid_request")


def test_nobody_stops_it_from_there(far: Far) -> None:
    assert far.told(far.door.head(b"POST /v1/shutdown", b"Content-Length: 0")) == (403, "invalid_request")
    assert alive(far.service.pid)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(far: Far, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=far.papers.certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", far.port), timeout=10) as raw, pytest.raises(OSError, match=r"(?i)ssl"):
        context.wrap_socket(raw, server_hostname="localhost")


def test_who_says_nothing_in_the_handshake_is_cut_and_keeps_nobody_out(service: Service, papers: Papers) -> None:
    far = serve(service, papers, patience=IMPATIENT)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", far.port), timeout=10)) for _ in range(60)]
        assert far.told(far.door.head(HELLO)) == (200, "")
        here = Door.of(service)
        assert here.told(here.head(HELLO)) == (200, "")
        for one in silent:
            assert until_closed(one) == b""
        until(lambda: len(list(Path(f"/proc/{service.pid}/fd").iterdir())) < 60)
    assert "Traceback" not in service.home.service_log.read_text()


def test_the_oldest_at_the_handshake_goes_where_there_are_too_many(service: Service, papers: Papers) -> None:
    far = serve(service, papers, patience={"head_s": 60.0, "strangers": 10})
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", far.port), timeout=10)) for _ in range(60)]
        for one in silent[:50]:
            assert until_closed(one) == b""
        assert far.told(far.door.head(HELLO)) == (200, "")
        silent[-1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent[-1].recv(1)


def test_who_is_refused_and_does_not_hang_up_holds_few_handles(service: Service, papers: Papers) -> None:
    far = serve(service, papers)
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            raw = stack.enter_context(far.knock())
            send(raw, far.door.head(HELLO, b"Connection: close", token="wrong"))
        assert len(list(Path(f"/proc/{service.pid}/fd").iterdir())) < Patience.strangers + 60
        assert far.told(far.door.head(HELLO)) == (200, "")


# ---- a client that uses it


def test_a_name_in_another_script_is_asked_for_as_certificates_have_it(far: Far) -> None:
    assert replace(far.chosen, url="https://Gpü.example").endpoint.authority == "xn--gp-yka.example:443"


def test_a_whole_job_goes_over_tls(far: Far, near: Home, told: Told) -> None:
    seen: list[type] = []
    with ensure_running(near) as connection:
        assert connection.endpoint.remote
        array = np.random.default_rng(1).random((700, 900, 3), dtype=np.float32)  # 7.5 MB, in many records
        assert np.array_equal(connection.download(connection.upload(array)), array)
        previews: list[tuple[int, ...]] = []

        def on_event(event: object) -> None:
            seen.append(type(event))
            if isinstance(event, PreviewReady):
                with connection.another() as other:
                    preview = other.preview(event.job_id)
                    previews.append(() if preview is None else preview.shape)

        job = run(connection, told("steps=4 pause=0.1", seed=5), on_event=on_event)
        picture = connection.download(job.result.image)
        assert [found.id for found in connection.jobs().jobs][:1] == [job.id]
        connection.collected(job.id)
    assert np.array_equal(picture, np.random.default_rng(5).integers(0, 256, (16, 32, 3), dtype=np.uint8))
    assert {JobChanged, Progress, PreviewReady} <= set(seen)
    assert previews
    assert not near.endpoint_file.exists()
    assert not near.database.exists()


def test_events_wait_as_long_as_asked_and_bring_what_was_missed(far: Far, near: Home, told: Told) -> None:
    with connect(near) as connection:
        before = connection.hello().revision
        with contextlib.closing(connection.events(before, poll_s=0.0)) as events:
            assert None in [next(events) for _ in range(200)]
            job = connection.submit(told("steps=1"))
            states: list[JobState] = []
            deadline = time.monotonic() + 20
            while JobState.SUCCEEDED not in states:
                assert time.monotonic() < deadline
                event = next(events)
                if isinstance(event, JobChanged) and event.job.id == job.id:
                    states.append(event.job.state)
        with contextlib.closing(connection.events(before)) as events:
            missed = [next(events) for _ in range(4)]
        assert [event.job.state for event in missed if isinstance(event, JobChanged)] == states


def test_an_upload_may_take_longer_than_an_answer_as_long_as_it_gets_on(papers: Papers) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    array = np.zeros(12 << 20, np.uint8)
    received: list[int] = []

    def head(peer: ssl.SSLSocket) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += peer.recv(1 << 16)
        before, _, after = data.partition(b"\r\n\r\n")
        return before, after

    def take_slowly() -> None:
        raw, _ = server.accept()
        with context.wrap_socket(raw, server_side=True) as peer:
            assert head(peer)[0].startswith(b"HEAD ")
            peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            asked, body = head(peer)
            length, taken = int(re.findall(rb"(?i)content-length: (\d+)", asked)[0]), len(body)
            while taken < length and (piece := peer.recv(1 << 16)):
                taken += len(piece)
                time.sleep(0.005)
            received.append(taken)
            peer.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://localhost:{server.getsockname()[1]}"
        chosen = Remote(url=url, token="0" * 64, certificate=papers.certificate.read_text())
        thread = threading.Thread(target=take_slowly)
        thread.start()
        with Connection(chosen.endpoint, chosen.token, timeout_s=1.0) as connection:
            began = time.monotonic()
            connection.upload(array)
            assert time.monotonic() - began > 2.0
        thread.join(10)
    assert received == [len(arrays.encode(array))]


def test_typed_errors_come_over_tls(near: Home) -> None:
    with connect(near) as connection, pytest.raises(BlobMissing):
        connection.download(replace(connection.upload(np.zeros(3, np.uint8)), sha256="ab" * 32))


def test_another_certificate_is_refused_and_told_nothing(far: Far, near: Home, tmp_path: Path) -> None:
    other = issue(tmp_path / "other").certificate.read_text()
    remote.save(near, replace(far.chosen, certificate=other))
    log = far.service.home.service_log.read_text()
    with pytest.raises(CertificateRefused, match="told nothing"):
        ensure_running(near)
    endpoint, token = remote.load(near).endpoint, far.chosen.token
    with Connection(endpoint, token) as connection, pytest.raises(CertificateRefused):
        next(connection.events())
    with Connection(endpoint, token) as connection, pytest.raises(CertificateRefused):
        connection.upload(np.zeros(3, np.uint8))
    assert far.service.home.service_log.read_text() == log


def test_a_host_that_the_certificate_does_not_name_is_refused(far: Far) -> None:
    endpoint = replace(far.chosen.endpoint, host="127.1")
    with Connection(endpoint, far.chosen.token) as connection, pytest.raises(CertificateRefused, match=r"127\.1"):
        connection.hello()


def test_authorities_of_the_system_are_not_asked(far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(far.papers.certificate))
    other = issue(tmp_path / "other").certificate.read_text()
    endpoint = replace(far.chosen, certificate=other).endpoint
    with Connection(endpoint, far.chosen.token) as connection, pytest.raises(CertificateRefused):
        connection.hello()


def test_one_that_somebody_signed_can_be_brought_and_so_can_who_signed_it(service: Service, tmp_path: Path) -> None:
    authority, papers = issue(tmp_path / "authority"), issue(tmp_path / "signed")
    request, names = tmp_path / "request", tmp_path / "names"
    names.write_text(f"subjectAltName={NAMES}\n")
    # Another name than the authority's, or it would pass for its own issuer.
    asked = ["-new", "-key", papers.key, "-subj", "/CN=signed.example", "-out", request]
    subprocess.run(["openssl", "req", *asked], check=True, capture_output=True)
    subprocess.run(
        [
            *("openssl", "x509", "-req", "-in", request, "-days", "5", "-extfile", names, "-set_serial", "7"),
            *("-CA", authority.certificate, "-CAkey", authority.key, "-out", papers.certificate),
        ],
        check=True,
        capture_output=True,
    )
    far = serve(service, papers)
    for certificate in (papers.certificate, authority.certificate):
        with Connection(replace(far.chosen, certificate=certificate.read_text()).endpoint, far.chosen.token) as one:
            assert one.hello()


def test_old_tls_is_not_spoken(far: Far) -> None:
    assert trusting(far.chosen.certificate).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_connection_that_broke_is_not_opened_again_without_tls(far: Far) -> None:
    connection = open_http(far.chosen.endpoint, 10.0)
    connection.close()
    with pytest.raises(http.client.NotConnected):
        connection.request("GET", "/v1/hello", headers={"Authorization": f"Bearer {far.chosen.token}"})


def test_one_without_tls_at_that_address_is_sent_no_token(far: Far) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        endpoint = replace(far.chosen.endpoint, port=port)
        heard: list[bytes] = []

        def listen() -> None:
            peer, _ = server.accept()
            with peer:
                heard.append(peer.recv(1 << 16))
                peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=listen)
        thread.start()
        with Connection(endpoint, far.chosen.token) as connection, pytest.raises(RemoteUnreachable):
            next(connection.events())
        thread.join(10)
    assert heard
    assert far.chosen.token.encode() not in heard[0]
    assert b"GET" not in heard[0]


def test_a_wrong_token_is_told_with_what_to_do(far: Far, near: Home) -> None:
    remote.save(near, replace(far.chosen, token="0" * 64))
    with pytest.raises(RemoteTokenRefused, match="remote use"):
        ensure_running(near)


def test_it_is_not_stopped_from_there(far: Far, near: Home) -> None:
    with connect(near) as connection, pytest.raises(NotStoppedFromHere):
        connection.shutdown()
    assert alive(far.service.pid)


def test_one_that_does_not_answer_is_not_replaced_by_one_here(
    far: Far, near: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    remote.save(near, replace(far.chosen, url=f"https://localhost:{port}"))
    with pytest.raises(RemoteUnreachable, match="not started from here"):
        ensure_running(near)
    assert not near.endpoint_file.exists()
    assert not near.lock_file.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "https://localhost:1"}', '{"url": 1, "token": 1}'])
def test_a_spoiled_choice_is_not_taken_for_none(near: Home, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    near.remote_file.write_text(text)
    with pytest.raises(RemoteInvalid, match="remote forget"):
        ensure_running(near)
    assert not near.lock_file.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://localhost:7443"},
        {"url": "localhost:7443"},
        {"url": "https://"},
        {"url": "https://user:secret@localhost:7443"},
        {"url": "https://localhost:7443/v1"},
        {"url": "https://localhost:99999"},
        {"url": "https://gpu..example:7443"},
        {"token": ""},
        {"token": "short"},
        {"token": "0" * 32 + "\r\nX: y"},
        {"certificate": ""},
        {"certificate": "no certificate"},
        {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
    ],
)
def test_a_choice_that_cannot_be_right_is_not_kept(far: Far, tmp_path: Path, change: dict[str, str]) -> None:
    home = Home(tmp_path / "another")
    with pytest.raises(RemoteInvalid) as refused:
        remote.save(home, replace(far.chosen, **change))
    assert not home.remote_file.exists()
    assert "secret" not in str(refused.value)


def test_programs_of_its_own_computer_come_in_as_always(far: Far, told: Told) -> None:
    with connect(far.service.home) as connection:
        assert not connection.endpoint.remote
        assert run(connection, told()).result is not None


# ---- the commands


def underpaint(home: Home, *words: str) -> int:
    return command.main(["--home", str(home.folder), *words])


def test_the_commands_choose_show_and_forget(far: Far, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, url = Home(tmp_path / "another"), far.chosen.url
    brought = ["--certificate", str(far.papers.certificate), "--token", str(far.service.home.remote_token_file)]
    assert underpaint(home, "remote", "use", url, *brought) == 0
    assert stat.S_IMODE(home.remote_file.stat().st_mode) == 0o600
    assert underpaint(home, "remote", "show") == 0
    with connect(home) as connection:
        assert connection.endpoint.url == url
    assert check_service.check_remote(Computer(home=home)).verdict is Verdict.OK
    assert underpaint(home, "remote", "forget") == 0
    assert not home.remote_file.exists()
    out = capsys.readouterr().out
    assert out.count(url) == 2
    assert far.chosen.token not in out


def test_one_that_does_not_answer_is_not_chosen(far: Far, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, wrong = Home(tmp_path / "another"), tmp_path / "token"
    wrong.write_text("0" * 64)
    brought = ["--certificate", str(far.papers.certificate), "--token", str(wrong)]
    assert underpaint(home, "remote", "use", far.chosen.url, *brought) == 1
    assert not home.remote_file.exists()
    assert "refused the token" in capsys.readouterr().err


def test_diagnostics_do_not_tell_its_token(far: Far, near: Home) -> None:
    (near.logs / "install.log").write_text(f"said {far.chosen.token}\n")
    text = diagnostics(near, checks=[check_service.check_remote, check_service.check_service])
    assert "The backend at https://[other computer]:" in text
    assert "localhost" not in text
    assert far.chosen.token not in text
    assert "BEGIN CERTIFICATE" not in text
    assert far.chosen.token not in repr(remote.load(near))


# ---- what is refused at the start


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def refused(home: Home, papers: Papers, bind: str = "127.0.0.1:0", names: tuple[str, ...] = ()) -> str:
    with pytest.raises(RemoteRefused) as error:
        prepare(home, bind=bind, certificate=papers.certificate, key=papers.key, names=names)
    return str(error.value)


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_without_tls_nobody_is_served(empty: Home, papers: Papers, missing: str) -> None:
    given = {"certificate": papers.certificate, "key": papers.key, missing: None}
    with pytest.raises(RemoteRefused, match=r"over TLS only: give --certificate and --key.*openssl req"):
        prepare(empty, bind="127.0.0.1:0", **given)
    assert not empty.remote_token_file.exists()


def test_a_key_of_another_certificate_is_named(empty: Home, papers: Papers, tmp_path: Path) -> None:
    other = issue(tmp_path / "other")
    assert "don't belong together" in refused(empty, replace(papers, key=other.key))


def test_files_that_are_not_there_or_none_are_named(empty: Home, papers: Papers, tmp_path: Path) -> None:
    assert "nothing.crt can't be read" in refused(empty, replace(papers, certificate=tmp_path / "nothing.crt"))
    assert "nothing.key can't be read" in refused(empty, replace(papers, key=tmp_path / "nothing.key"))
    text = tmp_path / "text"
    text.write_text("no certificate")
    text.chmod(0o600)
    assert "no certificate and key" in refused(empty, replace(papers, certificate=text))
    assert "no certificate and key" in refused(empty, replace(papers, key=text))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(empty: Home, tmp_path: Path, mode: int) -> None:
    papers = issue(tmp_path / "open")
    papers.key.chmod(mode)
    assert f"(mode {mode:03o})" in refused(empty, papers)
    assert "chmod 600" in refused(empty, papers)


def test_an_encrypted_key_is_named_and_nobody_is_asked(empty: Home, papers: Papers, tmp_path: Path) -> None:
    key = tmp_path / "encrypted.key"
    subprocess.run(
        ["openssl", "pkey", "-in", papers.key, "-aes256", "-passout", "pass:secret", "-out", key], check=True
    )
    key.chmod(0o600)
    assert "is encrypted" in refused(empty, replace(papers, key=key))


def test_a_certificate_without_a_name_is_refused(empty: Home, tmp_path: Path) -> None:
    assert "names no computer" in refused(empty, issue(tmp_path / "nameless", None))
    assert "names no computer" in refused(empty, issue(tmp_path / "pattern", "DNS:*.example"))


def test_a_name_that_it_is_not_made_for_is_refused(empty: Home, papers: Papers) -> None:
    assert "gpu.example" in refused(empty, papers, names=("gpu.example",))


def test_one_whose_time_is_over_is_refused(empty: Home, tmp_path: Path) -> None:
    old = issue(tmp_path / "old")
    subprocess.run(
        [
            *("openssl", "x509", "-in", old.certificate, "-signkey", old.key, "-days", "-1"),
            *("-copy_extensions", "copyall", "-out", old.certificate),
        ],
        check=True,
        capture_output=True,
    )
    assert "expired" in refused(empty, old)


def test_names_for_a_pattern_are_taken(empty: Home, tmp_path: Path) -> None:
    papers = issue(tmp_path / "pattern", "DNS:*.gpu.example,IP:::1")
    found = prepare(
        empty, bind="127.0.0.1:0", certificate=papers.certificate, key=papers.key, names=("Two.gpu.example", "0:0::1")
    )
    with found.listener:
        port = found.listener.getsockname()[1]
    assert found.door.hosts == {b"two.gpu.example:%d" % port, b"[::1]:%d" % port}


@pytest.mark.parametrize("name", ["", "gpu..example", ".gpu.example", "x" * 64])
def test_a_name_that_none_can_have_is_refused(empty: Home, papers: Papers, name: str) -> None:
    assert name in refused(empty, papers, names=(name,))


def test_a_certificate_for_a_name_that_none_can_have_is_refused(empty: Home, tmp_path: Path) -> None:
    assert '".gpu.example"' in refused(empty, issue(tmp_path / "dotted", "DNS:.gpu.example"))


@pytest.mark.parametrize(
    "bind", ["", ":7443", "127.0.0.1:many", "127.0.0.1:99999", "[::1", "no such host.invalid", "gpu..example:7443"]
)
def test_an_address_that_is_none_is_named(empty: Home, papers: Papers, bind: str) -> None:
    assert "listen" in refused(empty, papers, bind)


def test_a_port_that_is_taken_is_named(empty: Home, papers: Papers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "another port" in refused(empty, papers, f"127.0.0.1:{other.getsockname()[1]}")


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("0.0.0.0", ("0.0.0.0", DEFAULT_PORT)),
        ("gpu.example:8000", ("gpu.example", 8000)),
        ("[::]", ("::", DEFAULT_PORT)),
        ("[fe80::1]:8000", ("fe80::1", 8000)),
    ],
)
def test_addresses_and_their_ports(bind: str, address: tuple[str, int]) -> None:
    assert _address(bind) == address


def test_a_token_lasts_and_is_its_owners(empty: Home, papers: Papers) -> None:
    tokens: list[str] = []
    for mode in (0o600, 0o644, 0o600):
        found = prepare(empty, bind="127.0.0.1:0", certificate=papers.certificate, key=papers.key)
        found.listener.close()
        tokens.append(found.door.token)
        assert stat.S_IMODE(empty.remote_token_file.stat().st_mode) == 0o600
        empty.remote_token_file.chmod(mode)
    assert len(set(tokens)) == 1
    assert len(tokens[0]) == 64
    empty.remote_token_file.write_text("short")
    assert "holds no token" in refused(empty, papers)


def bootstrap(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = FAKE_WORKER.parents[2] / "backend" / "bootstrap.py"
    words = [sys.executable, "-P", str(program), "service", "--home", str(home.folder), *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_the_program_says_why_it_does_not_start(empty: Home, papers: Papers) -> None:
    done = bootstrap(empty, "--bind", "0.0.0.0")
    assert (done.returncode, "over TLS only" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    done = bootstrap(empty, *papers.arguments)
    assert (done.returncode, "--bind" in done.stderr) == (1, True)
    assert not endpoints_left(empty)


def endpoints_left(home: Home) -> list[Path]:
    return [path for path in (home.endpoint_file, home.token_file) if path.exists()]


def test_one_that_runs_for_this_computer_alone_is_not_taken_for_the_other(far: Far, papers: Papers) -> None:
    done = bootstrap(far.service.home, "--bind", "127.0.0.1:0", *papers.arguments)
    assert (done.returncode, "start this one again" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], IDLE_EXIT_S), (["--bind", "0.0.0.0"], math.inf), (["--bind", "0.0.0.0", "--idle-exit-s", "5"], 5.0)],
)
def test_it_stays_where_nobody_could_start_it_again(words: list[str], expected: float) -> None:
    assert _idle_exit_s(_parser().parse_args(words)) == expected

"""Fetching, with the real client's session, against a hub on this computer that misbehaves."""

import errno
import hashlib
import random
import shutil
import ssl
import subprocess
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
from hub_server import TOKEN, HubServer, hub_server, point_client_at
from underpaint.backend.worker.hub import cache, choosing, fetching
from underpaint.backend.worker.hub.fetching import Fetched, Standing, fetch
from underpaint.backend.worker.hub.parts import Part
from underpaint.protocol.errors import DownloadFailed, JobCancelled, ModelGated, ModelMissing

ID = "owner/net"
WEIGHTS = random.Random(5).randbytes(2_000_000)
NET = {
    "README.md": b"a net",
    "config.json": b'{"_class_name": "ControlNetModel"}',
    "diffusion_pytorch_model.safetensors": WEIGHTS,
    "diffusion_pytorch_model.fp16.safetensors": WEIGHTS[:9],
}
BIG = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with one net, whose pauses are short."""
    monkeypatch.setattr(fetching, "_FIRST_PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(fetching, "_PAUSES_S", (0.01, 0.01, 0.01))
    with hub_server() as hub:
        hub.add(ID, NET)
        point_client_at(hub, tmp_path / "hub", monkeypatch)
        yield hub


class Listener:
    """Hears how far it is, and may have enough."""

    def __init__(self, until: Callable[[Standing], bool] = lambda _: False) -> None:
        self.heard: list[Standing] = []
        self._until = until

    def __call__(self, standing: Standing) -> None:
        self.heard.append(standing)
        if self._until(standing):
            raise JobCancelled


def run(hub_id: str = ID, **options: str) -> Fetched:
    return fetch(hub_id, tell=Listener(), **options)


def cancelled_at(done_bytes: int) -> Listener:
    listener = Listener(lambda standing: standing.done_bytes >= done_bytes)
    with pytest.raises(JobCancelled):
        fetch(ID, tell=listener)
    return listener


def test_what_is_fetched_lies_as_the_hubs_own_client_lays_it(hub: HubServer) -> None:
    fetched = run()
    assert set(fetched.files) == {"config.json", BIG}
    assert {path: (fetched.folder / path).read_bytes() for path in fetched.files} == {p: NET[p] for p in fetched.files}
    asked = len(hub.asked)
    assert huggingface_hub.snapshot_download(ID, local_files_only=True) == str(fetched.folder)
    assert huggingface_hub.hf_hub_download(ID, BIG, local_files_only=True) == str(fetched.folder / BIG)
    info = huggingface_hub.scan_cache_dir(cache.root())
    assert [(repo.repo_id, repo.nb_files) for repo in info.repos] == [(ID, 2)]
    assert not info.warnings
    assert not info.incomplete_files
    assert len(hub.asked) == asked


def test_what_the_hubs_own_client_fetched_is_not_fetched_again(hub: HubServer) -> None:
    huggingface_hub.snapshot_download(ID, allow_patterns=[BIG])
    fetched = run()
    assert hub.sent[BIG] == len(WEIGHTS)
    assert fetched.standing.files == 1


def test_a_second_time_only_the_list_is_asked_for(hub: HubServer) -> None:
    run()
    asked = len(hub.asked)
    assert run().standing == Standing()
    assert [one.path for one in hub.asked[asked:]] == [f"/api/models/{ID}/revision/main?blobs=true"]


def test_how_far_it_is_rises_to_the_whole(hub: HubServer) -> None:
    hub.faults.bytes_per_s = 4_000_000
    listener = Listener()
    fetch(ID, tell=listener)
    done = [standing.done_bytes for standing in listener.heard]
    assert done == sorted(done)
    assert len(set(done)) > 2
    assert {standing.total_bytes for standing in listener.heard} <= {0, len(WEIGHTS) + len(NET["config.json"])}
    assert listener.heard[0].words == "asking the hub"
    assert listener.heard[-1].words.endswith("of 2.0 MB")


# ---------------------------------------------------------------------------------------------- going on


def test_after_a_cancel_it_goes_on_where_it_was(hub: HubServer) -> None:
    hub.faults.bytes_per_s = 1_000_000
    cancelled_at(300_000)
    hub.faults.bytes_per_s = 0
    part = cache.part(ID, hashlib.sha256(WEIGHTS).hexdigest())
    there = part.stat().st_size
    assert there >= 300_000 - len(NET["config.json"])
    fetched = run()
    assert (fetched.folder / BIG).read_bytes() == WEIGHTS
    assert fetched.standing.resumed_bytes == there
    assert not part.exists()
    assert [one.range for one in hub.asked if one.server == "cdn"] == ["", f"bytes={there}-"]


def test_where_the_connection_breaks_it_goes_on_by_itself(hub: HubServer) -> None:
    hub.faults.cut_after, hub.faults.cuts = 150_000, 7  # more often than it would try without any progress
    fetched = run()
    assert (fetched.folder / BIG).read_bytes() == WEIGHTS
    assert hub.sent[BIG] == len(WEIGHTS)  # not a byte twice


def test_a_silent_hub_is_tried_again_and_then_given_up(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.4)
    hub.faults.silent_after = 500_000
    listener = Listener()
    with pytest.raises(DownloadFailed, match="fell silent, again and again"):
        fetch(ID, tell=listener)
    assert any("it fell silent" in standing.note for standing in listener.heard)
    hub.faults.silent_after = None
    run()
    assert hub.sent[BIG] == len(WEIGHTS)


def test_a_cancel_is_heard_while_the_hub_is_silent(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 300)
    hub.faults.silent_after = 500_000
    cancelled_at(490_000)  # it would sit here for five minutes


def test_a_hub_that_does_not_resume_sends_all_of_it(hub: HubServer) -> None:
    hub.faults.cut_after, hub.faults.cuts, hub.faults.resumes = 500_000, 1, False
    assert (run().folder / BIG).read_bytes() == WEIGHTS
    assert hub.sent[BIG] == len(WEIGHTS) + 500_000


@pytest.mark.parametrize("left", [b"not its beginning", WEIGHTS + b"more than all of it", WEIGHTS[:-1] + b"?"])
def test_what_an_earlier_try_left_damaged_is_fetched_anew(hub: HubServer, left: bytes) -> None:
    part = cache.part(ID, hashlib.sha256(WEIGHTS).hexdigest())
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    assert (run().folder / BIG).read_bytes() == WEIGHTS


# ---------------------------------------------------------------------------------------------- what arrives


def test_a_damaged_file_is_fetched_once_more(hub: HubServer) -> None:
    hub.faults.corrupt = 1
    assert (run().folder / BIG).read_bytes() == WEIGHTS
    assert hub.sent[BIG] == 2 * len(WEIGHTS)


def test_one_that_is_damaged_twice_is_removed_and_said(hub: HubServer) -> None:
    hub.faults.corrupt = 2
    with pytest.raises(DownloadFailed, match=f"{BIG} arrived damaged twice"):
        run()
    assert not [path for path in cache.repository(ID).rglob("*") if path.is_file() and path.stat().st_size > 1000]
    assert cache.snapshot(ID) is None
    assert (run().folder / BIG).read_bytes() == WEIGHTS


def test_small_files_have_gits_hash_and_are_checked_too(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_server.git_hash", lambda _: "0" * 40)
    with pytest.raises(DownloadFailed, match=r"config\.json arrived damaged twice"):
        run()


def test_more_than_was_promised_is_no_file(hub: HubServer) -> None:
    hub.faults.too_much = 1
    assert (run().folder / BIG).read_bytes() == WEIGHTS


def test_other_programs_names_for_files_stay_inside_the_cache(hub: HubServer) -> None:
    hub.add(ID, {**NET, "../../outside.safetensors": b"x"})
    with pytest.raises(DownloadFailed, match="no hub"):
        run()


# ---------------------------------------------------------------------------------------------- the disk

Usage = namedtuple("Usage", "total used free")


def test_room_is_looked_for_before_it_begins(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 2_000_000, 2_000_000))
    with pytest.raises(DownloadFailed, match=r"2\.1 MB are needed in .*hub, and 2\.0 MB are free there"):
        run()
    assert not hub.sent[BIG]


def test_what_is_there_already_needs_no_room(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.faults.bytes_per_s = 1_000_000
    cancelled_at(300_000)
    hub.faults.bytes_per_s = 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 1_900_000, 1_900_000))
    run()


def test_a_disk_that_fills_up_meanwhile_is_named(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    add = Part.add

    def full(part: Part, piece: bytes) -> None:
        if part.size > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(part, piece)

    monkeypatch.setattr(Part, "add", full)
    with pytest.raises(DownloadFailed, match="the disk is full"):
        run()


def test_without_links_files_are_moved_and_not_doubled(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    folder = run().folder
    assert not (folder / BIG).is_symlink()
    assert not list((cache.repository(ID) / "blobs").iterdir())
    asked = len(hub.asked)
    run()
    assert len(hub.asked) == asked + 1


# ---------------------------------------------------------------------------------------------- who may


@pytest.mark.parametrize("token", ["", TOKEN[:-1] + "x"])
def test_a_gated_model_says_where_its_terms_are(hub: HubServer, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    hub.add(ID, NET, gated=True)
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises((ModelGated, ModelMissing)) as caught:
        run()
    sentence = str(caught.value)
    assert "hf auth login" in sentence
    assert token == "" or token not in sentence
    if not token:
        assert f"Open {hub.address}/{ID}" in sentence
    else:
        assert "does not accept your token" in sentence


@pytest.mark.parametrize("from_file", [False, True])
def test_a_token_opens_what_is_gated_and_goes_to_the_hub_alone(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_file: bool
) -> None:
    hub.add(ID, NET, gated=True, private=True)
    if from_file:
        (tmp_path / "token").write_text(TOKEN)
    else:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert (run().folder / BIG).read_bytes() == WEIGHTS
    assert {(one.server, one.token) for one in hub.asked} == {("hub", TOKEN), ("cdn", "")}


@pytest.mark.parametrize("private", [False, True])
def test_what_is_not_there_or_not_shown_is_said(hub: HubServer, private: bool) -> None:
    if private:
        hub.add("owner/nothing", NET, private=True)
    with pytest.raises(ModelMissing, match="no such repository, or a private one"):
        run("owner/nothing")


def test_a_renamed_repository_is_followed(hub: HubServer) -> None:
    hub.renamed["old/name"] = ID
    assert (run("old/name").folder / BIG).read_bytes() == WEIGHTS
    assert cache.snapshot("old/name") is not None


def test_a_revision_that_is_not_there_is_named(hub: HubServer) -> None:
    with pytest.raises(ModelMissing, match='no branch, tag or commit "v9"'):
        run(revision="v9")


def test_a_branch_is_kept_under_its_name(hub: HubServer) -> None:
    hub.repositories[ID].revisions.add("experimental")
    folder = run(revision="experimental").folder
    assert cache.snapshot(ID, "experimental") == folder
    assert cache.snapshot(ID) is None
    assert cache.snapshot(ID, hub.repositories[ID].commit) == folder


def test_a_file_that_did_not_change_is_in_the_new_snapshot_too(hub: HubServer) -> None:
    fetch(ID, choosing.one_file(BIG), tell=Listener())
    hub.add(ID, {**NET, "second.safetensors": b"2"})
    folder = fetch(ID, choosing.one_file("second.safetensors"), tell=Listener()).folder
    assert (folder / BIG).read_bytes() == WEIGHTS
    assert hub.sent[BIG] == len(WEIGHTS)


# ---------------------------------------------------------------------------------------------- the hub's troubles


def test_a_busy_hub_is_given_the_time_that_it_asks_for(hub: HubServer) -> None:
    hub.faults.statuses = [(429, {"Retry-After": "1"}), (503, {}), (500, {})]
    with pytest.raises(DownloadFailed, match="trouble of its own"):
        run()
    hub.faults.statuses = [(429, {"Retry-After": "1"})]
    listener = Listener()
    began = time.monotonic()
    fetch(ID, tell=listener)
    assert time.monotonic() - began >= 1.0
    assert any("tried again in 1 s, for it answered 429" in standing.note for standing in listener.heard)


def test_a_hub_that_asks_for_long_is_left_alone(hub: HubServer) -> None:
    hub.faults.statuses = [(429, {"Retry-After": "600"})]
    with pytest.raises(DownloadFailed, match="asks to wait 10 minutes"):
        run()
    assert len(hub.asked) == 1


def test_a_refusal_on_the_way_is_told_from_a_gate(hub: HubServer) -> None:
    hub.faults.statuses = [(403, {})]
    with pytest.raises(DownloadFailed, match="refuses it"):
        run()


def test_a_login_page_of_the_network_is_no_hub(hub: HubServer) -> None:
    hub.faults.login_page = True
    with pytest.raises(DownloadFailed, match="wants a login in the browser"):
        run()


def test_an_unknown_host_is_said(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://hub.invalid")
    with pytest.raises(DownloadFailed, match=r"hub\.invalid can't be found"):
        run()


def test_a_closed_door_is_said(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match=r"connection to 127\.0\.0\.1:9 broke"):
        run()


def test_a_certificate_that_is_not_trusted_is_said_and_not_tried_again(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "crt", tmp_path / "key"
    names = ("-subj", "/CN=hub", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    files = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run(["openssl", "req", "-x509", *kind, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    hub.encrypt(context)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    with pytest.raises(DownloadFailed, match=r"certificate of 127.* is not trusted.* SSL_CERT_FILE"):
        run()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert (run().folder / BIG).read_bytes() == WEIGHTS


def test_two_at_once_fetch_a_file_once(hub: HubServer) -> None:
    hub.faults.bytes_per_s = 4_000_000
    waits = Listener()
    threads = [threading.Thread(target=fetch, args=(ID,), kwargs={"tell": waits}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.sent[BIG] == len(WEIGHTS)
    assert any("another download has" in standing.note for standing in waits.heard)

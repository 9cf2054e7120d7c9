"""The Hugging Face cache, by the layout that its client documents. Nothing here touches the network.

    models--OWNER--NAME/
        blobs/ETAG                   a file's contents; the ETag is its SHA-256, of small files Git's own hash
        snapshots/COMMIT/PATH        a link to them; the file itself where there are no links
        refs/REVISION                the commit that a branch or tag was when it was last fetched

https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

import contextlib
import importlib
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

MAIN = "main"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def root() -> Path:
    """The cache of whoever runs this: HF_HUB_CACHE, or `hub` in HF_HOME, or in the user's cache folder."""
    constants: Any = importlib.import_module("huggingface_hub.constants")
    return Path(constants.HF_HUB_CACHE).expanduser()


def repository(hub_id: str) -> Path:
    """A repository's folder, there or not."""
    return root() / f"models--{hub_id.replace('/', '--')}"


def snapshot(hub_id: str, revision: str = "") -> Path | None:
    """The folder of a repository's files as they were when they were last fetched; None where none were."""
    folder = repository(hub_id)
    commit = revision
    if not _COMMIT.fullmatch(revision):
        try:
            commit = (folder / "refs" / (revision or MAIN)).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None
    found = folder / "snapshots" / commit
    return found if commit and found.is_dir() else None


def blob(hub_id: str, etag: str) -> Path:
    """Where a file's contents lie, or will."""
    return repository(hub_id) / "blobs" / etag


def part(hub_id: str, etag: str) -> Path:
    """Where they lie while there is only a part of them."""
    # With a name of our own: what other programs leave under theirs need not be the file's beginning.
    return repository(hub_id) / "blobs" / f"{etag}.underpaint.incomplete"


def lock(hub_id: str, etag: str) -> Path:
    """What the hub's own client locks while it fetches the same file."""
    return root() / ".locks" / repository(hub_id).name / f"{etag}.lock"


def holds(hub_id: str, commit: str, path: str) -> bool:
    """Whether a file is complete in a snapshot. A link whose blob is gone is not."""
    return (repository(hub_id) / "snapshots" / commit / path).is_file()


def place(hub_id: str, commit: str, path: str, etag: str) -> None:
    """Have a snapshot show a file that was fetched: by a link, or by moving it there where links don't work."""
    supported = importlib.import_module("huggingface_hub.file_download").are_symlinks_supported(root())
    pointer, contents = repository(hub_id) / "snapshots" / commit / path, blob(hub_id, etag)
    if pointer.is_file():
        return
    pointer.parent.mkdir(parents=True, exist_ok=True)
    if supported:
        pointer.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):  # another program was quicker, with the same link
            pointer.symlink_to(os.path.relpath(contents, pointer.parent))
    else:
        shutil.move(contents, pointer)


def point(hub_id: str, revision: str, commit: str) -> None:
    """Remember which commit a branch or tag is."""
    if _COMMIT.fullmatch(revision):
        return
    ref = repository(hub_id) / "refs" / (revision or MAIN)
    ref.parent.mkdir(parents=True, exist_ok=True)
    fresh = ref.with_name(f"{ref.name}.{uuid.uuid4().hex[:8]}")
    fresh.write_text(commit)
    fresh.replace(ref)

"""Where everything of the backend lies on this computer."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The user's data folder. One service runs for each; clients find it through the files in here."""

    folder: Path

    @property
    def endpoint_file(self) -> Path:
        """Where the running service listens; absent when none runs, stale when one was killed."""
        return self.folder / "service.json"

    @property
    def token_file(self) -> Path:
        """The running service's token; only its owner may read it."""
        return self.folder / "token"

    @property
    def remote_file(self) -> Path:
        """Which other computer's service is used instead of this one's; absent where it is this one's."""
        return self.folder / "remote.json"

    @property
    def remote_token_file(self) -> Path:
        """The token for other computers, where this one's service serves them; only its owner may read it."""
        return self.folder / "remote-token"

    @property
    def lock_file(self) -> Path:
        """Locked by the service as long as it lives."""
        return self.folder / "service.lock"

    @property
    def launch_lock_file(self) -> Path:
        """Locked by a client while it starts a service, so that two clients don't start two."""
        return self.folder / "launch.lock"

    @property
    def database(self) -> Path:
        """The queue."""
        return self.folder / "queue.sqlite3"

    @property
    def database_copy(self) -> Path:
        """The queue as it was a while ago."""
        return self.folder / "queue.copy.sqlite3"

    @property
    def journal(self) -> Path:
        """What has happened to the queue since that copy."""
        return self.folder / "journal"

    @property
    def unclean_mark(self) -> Path:
        """There while the queue is open, and after its service was killed."""
        return self.folder / "queue.open"

    @property
    def blobs(self) -> Path:
        """Arrays, by their hash."""
        return self.folder / "blobs"

    @property
    def logs(self) -> Path:
        """What service and worker wrote."""
        return self.folder / "logs"

    @property
    def models(self) -> Path:
        """Checkpoints, ControlNets and detectors' weights."""
        return self.folder / "models"

    @property
    def model_list(self) -> Path:
        """What was found in the folders of models, so that the list is there at once."""
        return self.folder / "models.json"

    @property
    def environment(self) -> Path:
        """The backend's virtual environment."""
        return self.folder / "environment"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        inside = Path("Scripts/python.exe") if sys.platform == "win32" else Path("bin/python")
        return self.environment / inside

    @property
    def service_log(self) -> Path:
        """The service's own log."""
        return self.logs / "service.log"

    @property
    def start_log(self) -> Path:
        """What the last start printed; the place to look when it failed."""
        return self.logs / "start.log"

    @property
    def worker_log(self) -> Path:
        """What the workers printed."""
        return self.logs / "worker.log"

    def create(self) -> None:
        """Make the folders, readable for their owner alone."""
        for folder in (self.folder, self.blobs, self.logs, self.models):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def default_home() -> Home:
    """`UNDERPAINT_HOME` where it is set, else the platform's place for a user's data."""
    chosen = os.environ.get("UNDERPAINT_HOME")
    if chosen:
        return Home(Path(chosen).expanduser().absolute())
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
        return Home(base / "Underpaint")
    if sys.platform == "darwin":
        return Home(Path.home() / "Library" / "Application Support" / "Underpaint")
    xdg = os.environ.get("XDG_DATA_HOME")
    base = Path(xdg) if xdg else Path.home() / ".local" / "share"
    return Home(base / "underpaint")

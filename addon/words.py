"""What a job is doing, in words for the status bar and the panels."""

from collections.abc import Collection

from ..protocol.events import Progress
from ..protocol.jobs import Phase

PHASES = {
    Phase.CAPTURE: "Reading the scene's passes",
    Phase.CONVERT: "Reading the scene's passes",
    Phase.UPLOAD: "Sending the passes",
    Phase.QUEUE: "Waiting for the backend",
    Phase.LOAD: "Loading the models",
    Phase.FETCH: "Downloading",
    Phase.CONDITIONING: "Making the control maps",
    Phase.ENCODE: "Reading the prompt",
    Phase.STEP: "Painting",
    Phase.DECODE: "Decoding the picture",
    Phase.STORE: "Storing the picture",
    Phase.DOWNLOAD: "Fetching the picture",
    Phase.WRITE_BACK: "Showing the picture",
}


_LISTED = 4  # names in a message, of many


def many(names: Collection[str]) -> str:
    """Names for a message, the first few of many."""
    listed = list(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + more


def left_out(armatures: Collection[str]) -> str:
    """That a pose is without some armatures, which there must be."""
    named = many([f'"{name}"' for name in armatures])
    if len(armatures) == 1:
        return f"{named} is left out of the pose, as its bones are not known"
    return f"{named} are left out of the pose, as their bones are not known"


def of(progress: Progress) -> str:
    """One line for a progress event."""
    words = PHASES[progress.phase]
    if progress.phase is Phase.STEP and progress.pictures > 1:
        words = f"{words} picture {progress.picture} of {progress.pictures}"
    if progress.phase is Phase.STEP and progress.steps:
        return f"{words}, step {progress.step} of {progress.steps}"
    return words

"""What a job is doing, in words for the status bar and the panels."""

from ..protocol.events import Progress
from ..protocol.jobs import Phase

PHASES = {
    Phase.CAPTURE: "Reading the scene's passes",
    Phase.CONVERT: "Reading the scene's passes",
    Phase.UPLOAD: "Sending the passes",
    Phase.QUEUE: "Waiting for the backend",
    Phase.LOAD: "Loading the models",
    Phase.CONDITIONING: "Making the control maps",
    Phase.ENCODE: "Reading the prompt",
    Phase.STEP: "Painting",
    Phase.DECODE: "Decoding the picture",
    Phase.STORE: "Storing the picture",
    Phase.DOWNLOAD: "Fetching the picture",
    Phase.WRITE_BACK: "Showing the picture",
}


def of(progress: Progress) -> str:
    """One line for a progress event."""
    words = PHASES[progress.phase]
    if progress.phase is Phase.STEP and progress.steps:
        return f"{words}, step {progress.step} of {progress.steps}"
    return words

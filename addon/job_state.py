"""What the panels show of the job that the Generate operator runs; plain Python, as no file shall keep it."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class JobState:
    """Written by the operator, read by panels; main thread only."""

    running: bool = False
    cancelling: bool = False  # asked for, and not yet done
    progress: float = 0.0  # 0 to 1
    status: str = ""  # what is being done
    error: str = ""  # how the last job ended, until it is dismissed or another begins
    left_out: tuple[str, ...] = ()  # armatures that the newest picture's pose is without, as nobody knows their bones
    notes: tuple[str, ...] = ()  # what the backend had to say of the newest picture: that memory ran out
    plan: str = ""  # where the newest picture was painted and how, or would be
    plan_key: tuple[object, ...] = ()  # what it depends on, see `plans.key`
    plan_error: str = ""  # why there is no plan
    checking: bool = False  # a plan has been asked for
    armature: str = ""  # the object whose bones are not known, where that is the error

    def begin(self, status: str) -> None:
        self.running, self.cancelling, self.progress, self.status, self.error = True, False, 0.0, status, ""
        self.notes, self.plan_error = (), ""

    def end(self) -> None:
        self.running, self.cancelling, self.progress, self.status = False, False, 0.0, ""


state = JobState()

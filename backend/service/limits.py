"""How patient the service is with its worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ...protocol.jobs import Phase

# A worker whose main thread hangs, in a driver say, still beats. These are for what no slow machine needs: a
# download tells nothing while it lasts, and a step on an old processor may take the better part of an hour.
_STUCK_S: Mapping[Phase, float] = MappingProxyType(
    {
        Phase.LOAD: 6 * 3600.0,
        Phase.FETCH: 900.0,  # it tells of each byte and each wait; a silent hub it gives up much sooner by itself
        Phase.CONDITIONING: 3600.0,
        Phase.ENCODE: 1800.0,
        Phase.STEP: 2 * 3600.0,
        Phase.DECODE: 2 * 3600.0,
        Phase.STORE: 600.0,
    }
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """In seconds."""

    silence_s: float = 15.0  # without a beat from a worker that was ready
    start_silence_s: float = 180.0  # until Ready: importing torch from a cold disk holds Python's lock for long
    start_s: float = 900.0  # until Ready, however lively it is
    cancel_s: float = 5.0  # between a cancel and the worker's obedience
    look_cancel_s: float = 60.0  # the same for a look, which may be at work on a large detector or its download
    download_cancel_s: float = 30.0  # the same for a download
    death_s: float = 5.0  # between a kill and the end of the pipe
    stuck_s: Mapping[Phase, float] = field(default_factory=lambda: _STUCK_S)  # without progress, by the phase told last
    rest_s: float = 0.5  # before a worker follows one that died; twice as long after each further death
    longest_rest_s: float = 30.0
    tick_s: float = 0.25

"""The version of what is said on the wire, and what a service says of itself."""

from dataclasses import dataclass

from .errors import VersionMismatch

PROTOCOL_MAJOR = 3  # raised when an older peer would misunderstand
PROTOCOL_MINOR = 2  # raised when something is added that an older peer may ignore
CAPABILITIES = (
    "collected",
    "downloads",
    "looks",
    "models",
    "moves",
    "plans",
    "queue",
    "starts",
    "variants",
)
"""What this version can do, by name: for peers of the same major version that want to know before they ask."""


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The service's answer to `GET /v1/hello`."""

    protocol_major: int
    protocol_minor: int
    software_version: str
    pid: int
    revision: int  # the newest persisted change; where a new client starts to follow events
    capabilities: tuple[str, ...] = ()  # see CAPABILITIES


def check_compatible(hello: Hello) -> None:
    """Raise VersionMismatch, naming both versions, when the peer speaks another major version."""
    if hello.protocol_major != PROTOCOL_MAJOR:
        raise VersionMismatch(
            ours=f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}",
            theirs=f"{hello.protocol_major}.{hello.protocol_minor}",
            software=hello.software_version,
        )

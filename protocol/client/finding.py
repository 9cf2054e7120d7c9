"""Which service a data folder's programs talk to."""

from . import endpoint as endpoints
from . import remote
from .endpoint import Endpoint
from .home import Home


def find(home: Home) -> tuple[Endpoint, str]:
    """The endpoint and the token: another computer's where one was chosen, else those of the service that runs here.

    Raises RemoteInvalid, and BackendUnreachable where none runs here.
    """
    chosen = remote.load(home)
    return endpoints.read(home) if chosen is None else (chosen.endpoint, chosen.token)

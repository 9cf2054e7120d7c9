"""The models that are recommended to those who have none: data, in `catalogue.json`, each fact with its source."""

import functools
from pathlib import Path

from ...protocol import wire
from ...protocol.models import Catalogue

FILE = Path(__file__).with_name("catalogue.json")


@functools.cache
def catalogue() -> Catalogue:
    """The catalogue that is shipped."""
    return wire.loads(Catalogue, FILE.read_bytes())

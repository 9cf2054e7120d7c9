"""A script that paints small pictures with the embedded model, one after the other, each with another prompt."""

import itertools
import time

import fault_notes
from underpaint.protocol.client import ensure_running, run
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest

options = fault_notes.options()
fault_notes.note_submissions(options.ledger)
with ensure_running() as connection:
    for number in itertools.count():
        if fault_notes.enough(options.ledger):
            break
        size = Extent(width=64 + 8 * (number % 3), height=64)
        request = GenerateRequest(prompt=f"picture {number}", size=size, steps=4, seed=number)
        connection.download(run(connection, request).result.image)
        time.sleep(1.0)

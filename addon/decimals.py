"""Numbers as they were typed, out of Blender's single precision."""

import numpy as np


def typed(value: float) -> float:
    """The shortest decimal number that Blender keeps as `value`: 0.7, and not 0.699999988079071.

    Shares of the steps are cut off to whole ones (0.7 of 10 are 7, 0.699999988 of 10 are 6), so the request has to say
    what the user said, as the panel's and a script's do.
    """
    return float(str(np.float32(value)))

"""What every net of a job is given besides the latents."""

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """With classifier-free guidance the rows are the negative prompts of all pictures, then their prompts."""

    timesteps: Any  # (evaluations,) float32
    text: Any  # (rows, tokens, width)
    pooled: Any | None  # (rows, width)
    sizes: Any | None  # (rows, 6): SDXL's size of the picture, crop and size again, as (height, width)
    guidance: Any | None = None  # (1, width): the guidance scale's embedding, of UNets distilled for LCM
    shared: bool  # whether what rows have in common is computed once for all of them

    @property
    def rows(self) -> int:
        """Of the model's batch."""
        return self.text.shape[0]

    @property
    def dtype(self) -> Any:
        """What the models compute in."""
        return self.text.dtype

    def positive(self, pictures: int) -> "Given":
        """The rows of the prompts alone."""

        def half(tensor: Any | None) -> Any | None:
            return None if tensor is None else tensor[-pictures:]

        return dataclasses.replace(self, text=half(self.text), pooled=half(self.pooled), sizes=half(self.sizes))

    @property
    def time_rows(self) -> int:
        """Rows of the time embedding: one where it is the same for all and need not be repeated for each."""
        return 1 if self.shared and self.pooled is None else self.rows

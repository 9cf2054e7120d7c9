"""A job's models where the plan wants them, group by group."""

import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal

from ..third_party import torch
from . import devices
from .keepers import Keeper
from .plan import Group, Plan, Rung


class Placement:
    """Brings the group that works to the device, and has the others make room."""

    def __init__(self, plan: Plan, keepers: Mapping[Group, Sequence[Keeper]]) -> None:
        self.plan = plan
        """What is followed here."""
        self._keepers = keepers
        self._in_use: list[Group] = []

    @property
    def device(self) -> Any:
        """torch's device, on which inputs have to be, wherever the weights are."""
        return torch().device(self.plan.device)

    @property
    def dtype(self) -> Any:
        """torch's type of the text encoders and the denoiser."""
        return getattr(torch(), self.plan.dtype_name)

    @property
    def vae_dtype(self) -> Any:
        """torch's type of the VAE."""
        return getattr(torch(), self.plan.vae_dtype_name)

    @contextlib.contextmanager
    def using(self, group: Group | Literal["text", "denoiser", "vae"]) -> Generator[None]:
        """Have a group's modules ready to be called within the block. Blocks may be nested.

        What was fetched stays until another group needs the room, so that it need not come twice in a row.
        """
        group = Group(group)
        if self.plan.rung is not Rung.RESIDENT and group not in self._in_use:
            for other, keepers in self._keepers.items():
                if other is not group and other not in self._in_use:
                    for keeper in keepers:
                        keeper.drop()
            if self.plan.machine.shared:
                devices.release()
        self._in_use.append(group)
        try:
            for keeper in self._keepers[group]:
                keeper.fetch()
            yield
        finally:
            self._in_use.remove(group)

    def rest(self) -> None:
        """Let go of what was fetched to the device."""
        for keepers in self._keepers.values():
            for keeper in keepers:
                keeper.drop()

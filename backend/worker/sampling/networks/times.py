"""Time embeddings and what each resnet makes of them, for all evaluations at once."""

from collections.abc import Generator, Sequence
from typing import Any

from ...third_party import torch
from .given import Given
from .parts import ResnetTimes


class Times:
    """Every resnet's share of the time embedding at every evaluation."""

    def __init__(self, module: Any, given: Given, *, keep: bool, kinds: Sequence[Any] | None = None) -> None:
        """`kinds` are a union net's embeddings of the controls that count, (1 or rows, width) for each evaluation.

        Without `keep` everything is computed at each evaluation, in diffusers' order and with its rows.
        """
        self._module = module
        self._given = given
        self._kinds = kinds
        self._added = _added(module, given)
        self._tables: dict[Any, Any] | None = None
        if keep:
            embeddings = self._embeddings()
            self._tables = {resnet: _projected(resnet, embeddings)[..., None, None] for resnet in _resnets(module)}

    def at(self, index: int) -> ResnetTimes:
        """What each resnet adds at an evaluation."""
        tables = self._tables
        if tables is not None:
            return lambda resnet: tables[resnet][index]
        embedding = self._embedding(index)
        return lambda resnet: _projected(resnet, embedding)[:, :, None, None]

    def _embeddings(self) -> Any:
        """(evaluations, 1 or rows, width)."""
        result = self._embedded(self._given.timesteps)[:, None]
        if self._kinds is not None:
            result = result + torch().stack(list(self._kinds))
        return result if self._added is None else result + self._added

    def _embedding(self, index: int) -> Any:
        """(time rows, width)."""
        result = self._embedded(self._given.timesteps[index : index + 1].expand(self._given.time_rows))
        if self._kinds is not None:
            result = result + self._kinds[index]
        return result if self._added is None else result + self._added

    def _embedded(self, timesteps: Any) -> Any:
        waves = self._module.time_proj(timesteps).to(self._given.dtype)
        guidance = self._given.guidance
        return self._module.time_embedding(waves, None if guidance is None else guidance.expand(waves.shape[0], -1))


def control_kinds(net: Any, given: Given, modes: Sequence[int]) -> Any:
    """A union net's embedding of which kinds of control it is shown, (time rows, width)."""
    rows = given.time_rows
    shown = [float(mode in modes) for mode in range(net.config.num_control_type)]
    types = torch().tensor(shown, dtype=given.dtype, device=given.text.device).expand(rows, -1)
    waves = net.control_type_proj(types.flatten()).reshape(rows, -1).to(given.dtype)
    return net.control_add_embedding(waves)


def _added(module: Any, given: Given) -> Any | None:
    """SDXL's embedding of the pooled text and the picture's size, (rows, width)."""
    if given.pooled is None or given.sizes is None:
        return None
    waves = module.add_time_proj(given.sizes.flatten()).reshape(given.rows, -1)
    return module.add_embedding(torch().cat([given.pooled, waves], dim=-1).to(given.dtype))


def _projected(resnet: Any, embedding: Any) -> Any:
    return resnet.time_emb_proj(resnet.nonlinearity(embedding))


def _resnets(module: Any) -> Generator[Any]:
    for block in (*module.down_blocks, module.mid_block, *getattr(module, "up_blocks", ())):
        yield from block.resnets

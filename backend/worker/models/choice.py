"""Which ControlNet a control means, and what of it decides the control image. No torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ....protocol.errors import ModelMismatch, ModelMissing
from ....protocol.request import Control, ControlKind
from ..conditioning import unions
from ..conditioning.table import convention
from ..families import FAMILIES, FamilyId
from . import references
from .inspection import (
    CheckpointInfo,
    ControlNetInfo,
    NetTraits,
    check_family,
    check_match,
    inspect_controlnet,
    inspect_traits,
)


@dataclass(frozen=True, kw_only=True)
class NetChoice:
    """A control's ControlNet, checked and not loaded."""

    info: ControlNetInfo
    mode: int | None  # of a union net

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for the same bytes on disk, used in the same way."""
        return (self.info.key, self.mode)


def choose(
    control: Control,
    checkpoint: CheckpointInfo,
    *,
    models: Path,
    allow_download: bool,
    announce: Callable[[str], None],
) -> NetChoice:
    """A control's ControlNet for a picture; see `choose_net`."""
    return choose_net(
        control.kind,
        control.controlnet,
        checkpoint,
        models=models,
        allow_download=allow_download,
        announce=announce,
    )


def choose_net(
    kind: ControlKind,
    reference: str,
    checkpoint: CheckpointInfo,
    *,
    models: Path,
    allow_download: bool,
    announce: Callable[[str], None],
) -> NetChoice:
    """The ControlNet of a kind for a picture. Nothing is loaded, and no weights are downloaded in vain.

    Raises InvalidRequest for a kind of control that the net or its family doesn't know, and whatever
    `references` and `inspection` raise.
    """
    family, name = checkpoint.family.id, reference or str(kind)

    def vet(folder: Path) -> None:
        check_family(checkpoint, folder, name)
        _check(family, kind, inspect_traits(folder, name))

    named = unions.known(reference)
    if named is not None:
        if named.family is not family:
            raise ModelMismatch(
                controlnet=name,
                controlnet_family=FAMILIES[named.family].title,
                checkpoint=checkpoint.name or "the embedded checkpoint",
                family=checkpoint.family.title,
            )
        _check(family, kind, NetTraits(modes=named.mode_count))
    folder = references.controlnet_folder(
        reference,
        kind=kind,
        checkpoint=checkpoint.name,
        models=models,
        allow_download=allow_download,
        vet=vet,
        announce=announce,
    )
    if folder.is_file():
        check_family(checkpoint, folder, name)
    info = inspect_controlnet(folder, name)
    check_match(checkpoint, info)
    _check(family, kind, info.traits)
    modes = info.traits.modes
    return NetChoice(info=info, mode=unions.mode(family, kind, modes) if modes else None)


def traits(control: Control, family: FamilyId, *, models: Path, allow_download: bool) -> NetTraits:
    """What a control image is made for, to look at it before there is a picture.

    The ControlNet's folder says it. One that isn't on this computer, and may not be asked for, is taken for
    what its name says: a union net that is known, or else a plain one. Raises InvalidRequest for a kind of
    control that the net or its family doesn't know.
    """
    named, name = unions.known(control.controlnet), control.controlnet
    found = NetTraits(modes=0 if named is None else named.mode_count)
    if name:
        try:
            found = inspect_traits(
                references.controlnet_config_folder(name, models=models, allow_download=allow_download), name
            )
        except ModelMissing:
            if allow_download:
                raise
    _check(family, control.kind, found)
    return found


def _check(family: FamilyId, kind: ControlKind, net: NetTraits) -> None:
    """Raise InvalidRequest for a control that the net wasn't trained on."""
    convention(family, kind, net.kind)
    if net.modes:
        unions.mode(family, kind, net.modes)

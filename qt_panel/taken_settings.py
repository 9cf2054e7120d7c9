"""Settings out of a picture's record, put into the form as far as they can be, and what to say of the rest. No Qt."""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..protocol import record
from ..protocol.arrays import ArrayRef
from ..protocol.models import ModelEntry
from ..protocol.record import Record
from ..protocol.request import GenerateRequest
from .form import Form, restored


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A form that was filled from a picture."""

    form: Form
    found: Record  # with the names that its models have here
    request: GenerateRequest  # that makes the picture again
    told: tuple[str, ...]  # sentences
    missing: bool  # whether a model isn't here

    @property
    def images(self) -> tuple[ArrayRef, ...]:
        """Everything that the service must still have for it."""
        return tuple(ref for _, ref in record.images(self.request))


def taken(
    form: Form, found: Record, known: Iterable[ModelEntry] | None, *, origin: str, is_file: Callable[[str], bool]
) -> Taken:
    """The form with a picture's settings. Whether models may be downloaded stays as it is: that is the user's word.

    `known` are the models here, None while nobody knows; `is_file` says of an absolute path whether something is there.
    """
    known = None if known is None else tuple(known)
    absent = () if known is None else record.missing(found, known)
    absent = tuple(gone for gone in absent if not is_file(gone.model.reference))
    here = record.counted(record.adopted(found, absent), known or ())
    request = record.replay(here).request
    filled = dataclasses.replace(restored(form, request, origin=origin), allow_download=form.allow_download)
    told = (*found.notes, *(gone.sentence for gone in absent))
    if not record.is_ours(found):
        told = (f"Made by {found.program}: it will look alike here, and not be the same to the bit.", *told)
    return Taken(
        form=filled,
        found=here,
        request=request,
        told=told,
        missing=any(gone.called or not gone.instead for gone in absent),
    )

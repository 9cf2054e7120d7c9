"""The record of a picture: all that it was made by, written into its file and read back from there.

A PNG carries it twice: whole, as our JSON, and as the text that A1111 writes, for viewers that know that. Pictures of
other programs are read by that text, as far as it goes.
"""

import re
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from .. import __version__
from . import infotext, png_text, wire
from .arrays import ArrayRef
from .errors import InvalidRequest
from .geometry import Extent
from .infotext_reader import understood
from .jobs import JobResult
from .models import FamilyId, ModelEntry, ModelKind, UsedModel
from .request import Control, GenerateRequest, ImagePrompt, Request, Start
from .sources import PosePass

RECORD_KEY = "underpaint"
"""The PNG text with our JSON."""

PARAMETERS_KEY = "parameters"
"""The PNG text that A1111 and those who read its pictures know."""

_LORA_TAG = re.compile(r"<(?:lora|lyco):([^<>:]+)", re.IGNORECASE)
_OLD_KEY = "underpaint_request"  # what versions before the record wrote: the request alone
_PROGRAM = f"Underpaint {__version__}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a picture says of itself."""

    request: GenerateRequest  # of the whole job
    picture: int = 0  # which of `request.pictures` it is
    job_id: str = ""
    models: tuple[UsedModel, ...] = ()  # of another program's hashes, the digits that it tells
    checkpoint: str = ""  # what was really loaded
    plan: str = ""  # where it was made and how, in words
    versions: dict[str, str] = field(default_factory=dict[str, str])
    program: str = _PROGRAM
    notes: tuple[str, ...] = ()  # sentences: what of the file couldn't be taken over


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What makes a picture again, to the bit on the same machine."""

    request: GenerateRequest
    picture: int  # which of the request's it is: pictures that were painted at once are made at once again


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A model of a record that isn't here by the name that the record has for it."""

    model: UsedModel
    instead: str = ""  # the reference of the same model under another name; empty where there is none
    called: bool = False  # by the prompt, which is left as it is written

    @property
    def sentence(self) -> str:
        """What to tell."""
        what = _KIND_WORDS[self.model.kind]
        name = self.model.title or infotext.stem(self.model.reference)
        if self.instead and self.called:
            return f"The {what} {name}, which the prompt names, is here as {infotext.stem(self.instead)}: name it so."
        if self.instead:
            return f"The {what} {name} is here as {infotext.stem(self.instead)}, which is taken."
        digits = f" (SHA-256 {self.model.sha256[:10]}…)" if self.model.sha256 else ""
        return f"The {what} {name}{digits} is not on this computer."


_KIND_WORDS = {
    ModelKind.CHECKPOINT: "checkpoint",
    ModelKind.CONTROLNET: "ControlNet",
    ModelKind.VAE: "VAE",
    ModelKind.LORA: "LoRA",
    ModelKind.EMBEDDING: "embedding",
    ModelKind.IP_ADAPTER: "IP-Adapter",
    ModelKind.IMAGE_ENCODER: "image encoder",
    ModelKind.TINY_DECODER: "preview decoder",
    ModelKind.SAFETY_CHECKER: "safety checker",
    ModelKind.UNKNOWN: "model",
}

# ---------------------------------------------------------------------------------------------- writing


def record(request: GenerateRequest, result: JobResult | None, *, job_id: str = "", picture: int = 0) -> str:
    """The JSON of one of a job's pictures; without a result it tells the request alone."""
    kept = Record(request=request, picture=picture, job_id=job_id)
    if result is not None:
        kept = replace(
            kept, models=result.models, checkpoint=result.checkpoint, plan=result.plan, versions=result.versions
        )
    return wire.dumps(kept)


def parameters(request: GenerateRequest, result: JobResult | None, picture: int = 0) -> str:
    """A1111's text for one of a job's pictures."""
    models = () if result is None else result.models
    return infotext.written(request, request.pictures[picture], models, program=_PROGRAM)


def texts(request: GenerateRequest, result: JobResult | None, *, job_id: str = "", picture: int = 0) -> dict[str, str]:
    """Every text that a picture's PNG carries, by its keyword; for `png_text.with_texts`."""
    found = {
        PARAMETERS_KEY: parameters(request, result, picture),
        RECORD_KEY: record(request, result, job_id=job_id, picture=picture),
        "Software": _PROGRAM,
    }
    return {keyword: text.replace("\0", "") for keyword, text in found.items()}


# ---------------------------------------------------------------------------------------------- reading


def read(png: bytes) -> Record | None:
    """The record in a PNG's bytes: ours, or what can be understood of another program's; None where there is none.

    Raises png_text.InvalidPng for what is no whole PNG, and InvalidRequest for a record of ours that is damaged.
    """
    found = png_text.texts(png)
    if RECORD_KEY in found:
        return read_json(found[RECORD_KEY])
    if _OLD_KEY in found:
        request: Request = wire.loads(Request, found[_OLD_KEY], ignore_unknown=True)
        return Record(request=request) if isinstance(request, GenerateRequest) else None
    if PARAMETERS_KEY not in found:
        return None
    return read_parameters(found[PARAMETERS_KEY], _size(png))


def read_json(text: str) -> Record:
    """Our own record; of a later version's, as much as this one knows, and a note on it. Raises InvalidRequest."""
    try:
        found = wire.loads(Record, text)
    except InvalidRequest as error:
        found = wire.loads(Record, text, ignore_unknown=True)
        reason = error.details["reason"]
        found = replace(found, notes=(*found.notes, f"It was made by {found.program}, and this version passes over a "
                                      f"part: {reason}."))  # fmt: skip
    if not 0 <= found.picture < len(found.request.pictures):
        raise InvalidRequest(reason=f"it is picture {found.picture + 1} of {len(found.request.pictures)}")
    return found


def read_parameters(text: str, size: Extent) -> Record | None:
    """What can be understood of A1111's text; None where it is no such text. `size` is the picture's."""
    settings = understood(text, size)
    if settings is None:
        return None
    return Record(request=settings.request, models=settings.models, program=settings.program, notes=settings.notes)


def is_ours(found: Record) -> bool:
    """Whether the picture was made here, and so can be made again to the bit."""
    return found.program.startswith("Underpaint")


# ---------------------------------------------------------------------------------------------- making it again


def alone(request: GenerateRequest, picture: int) -> GenerateRequest:
    """The request for one of a job's pictures."""
    variant = request.pictures[picture]
    return replace(
        request, prompt=variant.prompt, negative_prompt=variant.negative_prompt, seed=variant.seed, variants=()
    )


def replay(found: Record) -> Replay:
    """What to submit to get the picture again.

    Pictures that were painted one by one come out alone as they were; one of a batch, with its batch.
    """
    size = found.request.batch_size
    if size == 1:
        return Replay(request=alone(found.request, found.picture), picture=0)
    first = found.picture // size * size
    batch = found.request.pictures[first : first + size]
    request = replace(alone(found.request, first), variants=batch[1:])
    return Replay(request=request, picture=found.picture - first)


def missing(found: Record, known: Iterable[ModelEntry]) -> tuple[Missing, ...]:
    """The models that a record names and this computer doesn't have by that name, those that its prompts call among
    them.

    Another file is the same model where its hash is, or, of one whose hash isn't known, where kind and name are.
    """
    here = tuple(entry for entry in known if not entry.problem)
    told = {(model.kind, model.reference): model for model in found.models}
    absent: list[Missing] = []
    for kind, reference in dict.fromkeys(named_models(found.request)):
        if any(_is(entry, kind, reference) for entry in here):
            continue
        name = infotext.stem(reference)
        model = told.get((kind, reference), UsedModel(kind=kind, reference=reference, title=name, sha256=""))
        absent.append(Missing(model=model, instead=_same(model, here)))
    for model in _called(found):
        name = infotext.stem(model.reference).casefold()
        of_kind = tuple(entry for entry in here if entry.kind is model.kind)
        if not any(name in (infotext.stem(entry.reference).casefold(), entry.title.casefold()) for entry in of_kind):
            absent.append(Missing(model=model, instead=_same(model, of_kind), called=True))
    return tuple(absent)


def adopted(found: Record, absent: Iterable[Missing]) -> Record:
    """The record with the names that its models have here, where they are here at all."""
    names = {
        (gone.model.kind, gone.model.reference): gone.instead for gone in absent if gone.instead and not gone.called
    }
    if not names:
        return found
    models = tuple(
        replace(model, reference=names.get((model.kind, model.reference), model.reference)) for model in found.models
    )
    return replace(found, request=_renamed(found.request, names), models=models)


def counted(found: Record, known: Iterable[ModelEntry]) -> Record:
    """Another program's record with SDXL's clip skip as it is counted here.

    Of SDXL the others count the layer, too, that it leaves out by itself: their 2 is its 0. Its text doesn't say the
    family; the checkpoint that `adopted` found does.
    """
    request = found.request
    if is_ours(found) or not request.clip_skip:
        return found
    chosen = (entry for entry in known if _is(entry, ModelKind.CHECKPOINT, request.checkpoint))
    if not any(entry.family is FamilyId.SDXL for entry in chosen):
        return found
    return replace(found, request=replace(request, clip_skip=request.clip_skip - 1))


def changed(found: Record, now: Iterable[UsedModel]) -> tuple[str, ...]:
    """Sentences on the models whose files are not what they were when the picture was made.

    `now` is what a plan, or a result, of the same request tells of them.
    """
    digests = {_key(model): model.sha256 for model in now}
    sentences: list[str] = []
    for model in found.models:
        digest = digests.get(_key(model), "")
        if digest and model.sha256 and not _same_hash(digest, model.sha256):
            sentences.append(
                f"The {_KIND_WORDS[model.kind]} {model.title} has changed since this picture was made (SHA-256 "
                f"{digest[:10]}…, then {model.sha256[:10]}…): it will come out differently."
            )
    return tuple(sentences)


def images(request: GenerateRequest) -> Iterator[tuple[str, ArrayRef]]:
    """Everything that a request was shown: whose it is, in words, and the array's address."""
    for number, control in enumerate(request.controls, start=1):
        for ref in _refs(control):
            yield f"control {number} ({control.kind})", ref
    if request.start is not None:
        yield "the start picture", request.start.image
        if request.start.mask is not None:
            yield "the start picture's mask", request.start.mask
    for number, prompt in enumerate(request.image_prompts, start=1):
        yield f"image prompt {number}", prompt.image


def without(request: GenerateRequest, gone: Collection[str]) -> tuple[GenerateRequest, tuple[str, ...]]:
    """A request without what was shown arrays that nobody has any more (`gone`, by address), and sentences on that."""
    lost = tuple(dict.fromkeys(whose for whose, ref in images(request) if ref.sha256 in gone))
    if not lost:
        return request, ()

    def whole(holder: Control | Start | ImagePrompt | None) -> bool:
        return holder is None or not any(ref.sha256 in gone for ref in _refs(holder))

    kept = replace(
        request,
        controls=tuple(control for control in request.controls if whole(control)),
        start=request.start if whole(request.start) else None,
        image_prompts=tuple(prompt for prompt in request.image_prompts if whole(prompt)),
    )
    names = "; ".join(lost)
    return kept, (f"The images of these are no longer kept, so give them again: {names}.",)


def named_models(request: GenerateRequest) -> Iterator[tuple[ModelKind, str]]:
    """Every model that a request names, with its kind; those it leaves to a default are left out."""
    second = request.second_pass
    named = (
        (ModelKind.CHECKPOINT, request.checkpoint),
        (ModelKind.VAE, request.vae),
        *((ModelKind.CONTROLNET, control.controlnet) for control in request.controls),
        (ModelKind.CONTROLNET, "" if second is None else second.tile_controlnet),
        *((ModelKind.LORA, lora.lora) for lora in request.loras),
        *((ModelKind.EMBEDDING, embedding.embedding) for embedding in request.embeddings),
        *((ModelKind.IP_ADAPTER, prompt.adapter) for prompt in request.image_prompts),
        *((ModelKind.IMAGE_ENCODER, prompt.image_encoder) for prompt in request.image_prompts),
        (ModelKind.SAFETY_CHECKER, request.safety_checker),
    )
    return ((kind, reference) for kind, reference in named if reference)


def _renamed(request: GenerateRequest, names: dict[tuple[ModelKind, str], str]) -> GenerateRequest:
    def name(kind: ModelKind, reference: str) -> str:
        return names.get((kind, reference), reference)

    second = request.second_pass
    return replace(
        request,
        checkpoint=name(ModelKind.CHECKPOINT, request.checkpoint),
        vae=name(ModelKind.VAE, request.vae),
        controls=tuple(
            replace(control, controlnet=name(ModelKind.CONTROLNET, control.controlnet)) for control in request.controls
        ),
        second_pass=second and replace(second, tile_controlnet=name(ModelKind.CONTROLNET, second.tile_controlnet)),
        loras=tuple(replace(lora, lora=name(ModelKind.LORA, lora.lora)) for lora in request.loras),
        embeddings=tuple(
            replace(embedding, embedding=name(ModelKind.EMBEDDING, embedding.embedding))
            for embedding in request.embeddings
        ),
        image_prompts=tuple(
            replace(
                prompt,
                adapter=name(ModelKind.IP_ADAPTER, prompt.adapter),
                image_encoder=name(ModelKind.IMAGE_ENCODER, prompt.image_encoder),
            )
            for prompt in request.image_prompts
        ),
        safety_checker=name(ModelKind.SAFETY_CHECKER, request.safety_checker),
    )


def _called(found: Record) -> Iterator[UsedModel]:
    """LoRAs and textual inversions that the prompts call up: those that the record tells, and those in tags."""
    named = set(named_models(found.request))
    told = [model for model in found.models if model.kind in (ModelKind.LORA, ModelKind.EMBEDDING)]
    yield from (model for model in told if model.reference and (model.kind, model.reference) not in named)
    known = {model.reference for model in told if model.kind is ModelKind.LORA}
    prompts = () if found.request.plain_prompt else (each.prompt for each in found.request.pictures)
    tags = _LORA_TAG.findall("\n".join(prompts))
    for name in dict.fromkeys(tag.strip() for tag in tags):
        if name and name not in known:
            yield UsedModel(kind=ModelKind.LORA, reference=name, title=infotext.stem(name), sha256="")


def _is(entry: ModelEntry, kind: ModelKind, reference: str) -> bool:
    """Whether a request means this model; it may call it by its bare name."""
    return entry.kind is kind and reference in (entry.reference, infotext.stem(entry.reference))


def _same(model: UsedModel, here: Iterable[ModelEntry]) -> str:
    of_kind = tuple(entry for entry in here if entry.kind is model.kind)
    for entry in of_kind:
        if model.sha256 and entry.sha256 and _same_hash(entry.sha256, model.sha256):
            return entry.reference
    names = {infotext.stem(model.reference).casefold(), model.title.casefold()} - {""}
    for entry in of_kind:
        known_other = model.sha256 and entry.sha256  # and they differ
        if not known_other and names & {infotext.stem(entry.reference).casefold(), entry.title.casefold()}:
            return entry.reference
    return ""


def _key(model: UsedModel) -> tuple[ModelKind, str]:
    """What tells a model from a record's others; the embedded ones have no references."""
    return model.kind, model.reference or model.title


def _same_hash(one: str, other: str) -> bool:
    """Whether two hashes agree as far as both are told."""
    digits = min(len(one), len(other))
    return digits > 0 and one[:digits] == other[:digits]


def _refs(holder: Control | Start | ImagePrompt | None) -> Iterator[ArrayRef]:
    if isinstance(holder, Control):
        if isinstance(holder.source, PosePass):
            return
        holder_fields = vars(holder.source)
    else:
        holder_fields = {} if holder is None else vars(holder)
    for value in holder_fields.values():
        if isinstance(value, ArrayRef):
            yield value


def _size(png: bytes) -> Extent:
    """A PNG's own size, which stands in its first chunk."""
    width, height = struct.unpack_from(">2I", png, len(png_text.SIGNATURE) + 8)
    return Extent(width=width, height=height)

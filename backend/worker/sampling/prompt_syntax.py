"""What brackets and tags in a prompt mean, as users of AUTOMATIC1111's web UI write them. Pure: text in, parts out.

The syntax is that of its wiki, https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features ("Attention/
emphasis", "Infinite prompt length", "Prompt editing", "Extra networks"); docs/prompts.md tells it to users.
"""

import itertools
import re
from dataclasses import dataclass

from ....protocol.errors import InvalidRequest
from ....protocol.extra_checks import MAX_LORA_WEIGHT

EMPHASIS = 1.1  # what a pair of round brackets multiplies by, and square ones divide by
LARGEST_WEIGHT = 100.0  # of a word, either way; a tenth of it already burns every picture

_PIECE = re.compile(
    r"(?P<escaped>\\[\\()\[\]])"
    r"|(?P<open>[(\[])"
    r"|:[ \t]*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))[ \t]*(?P<weighed>\))"
    r"|(?P<close>[)\]])"
    r"|(?P<text>[^\\()\[\]:]+|.)",
    re.DOTALL,
)
_BREAK = re.compile(r"\bBREAK\b")
_TAG = re.compile(r"<(?P<kind>lora|lyco|hypernet)(?::(?P<body>[^<>]*))?>", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_SCHEDULED = re.compile(r"\[[^\[\]:|]*(?::[^\[\]:|]*)?:\s*[\d.]+\s*\]")
_ALTERNATING = re.compile(r"\[[^\[\]|]*\|[^\[\]]*\]")
_AND = re.compile(r"\bAND\b")
_SHOWN = 40  # letters of a prompt that a note repeats


@dataclass(frozen=True, kw_only=True)
class Span:
    """Text that counts with one weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class LoraTag:
    """A LoRA that the prompt names."""

    name: str
    weight: float = 1.0
    text_weight: float | None = None  # None: as `weight`


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt, read."""

    parts: tuple[tuple[Span, ...], ...]  # what stands between one BREAK and the next; at least one, perhaps empty
    loras: tuple[LoraTag, ...] = ()
    notes: tuple[str, ...] = ()  # what was written and isn't done


def plain(text: str) -> Prompt:
    """The text as it is written, whatever brackets it has."""
    return Prompt(parts=((Span(text=text),),))


def parse(text: str) -> Prompt:
    """Take weights, BREAK and LoRAs out of a prompt. Linear in its length, however deep its brackets.

    Raises InvalidRequest for a tag without a name or with weights that are no numbers, and for weights of words
    beyond `LARGEST_WEIGHT`.
    """
    text, loras, notes = _without_tags(text)
    return Prompt(parts=_split(_weighted(text)), loras=loras, notes=(*notes, *_undone(text)))


def without_tags(text: str) -> str:
    """The prompt without its LoRA tags, for encoders that take no weights. Raises as `parse` does."""
    return _without_tags(text)[0]


def _without_tags(text: str) -> tuple[str, tuple[LoraTag, ...], tuple[str, ...]]:
    loras: list[LoraTag] = []
    notes: list[str] = []

    def take(found: re.Match[str]) -> str:
        if found["kind"].lower() == "hypernet":
            notes.append(f'Hypernetworks are not supported: "{found[0][:_SHOWN]}" was left out.')
        else:
            loras.append(_lora(found))
        return ""

    rest = _TAG.sub(take, text)
    return rest, tuple(loras), tuple(notes)


def _lora(found: re.Match[str]) -> LoraTag:
    name, *weights = (field.strip() for field in (found["body"] or "").split(":"))
    shown = found[0][:_SHOWN]
    if not name:
        raise InvalidRequest(reason=f'the tag "{shown}" in the prompt names no LoRA. Write <lora:name:0.8>')
    plain: list[float] = []
    named: dict[str, float] = {}
    for weight in weights:
        key, _, number = (part.strip() for part in weight.rpartition("="))
        if not _NUMBER.fullmatch(number) or key not in ("", "unet", "te") or len(plain) + len(named) > 1:
            raise InvalidRequest(
                reason=f'the weights of "{shown}" in the prompt can\'t be read. Write <lora:name:0.8>, or '
                "<lora:name:0.5:0.8> with a weight for the text encoders before it"
            )
        value = float(number)
        if not abs(value) <= MAX_LORA_WEIGHT:
            raise InvalidRequest(
                reason=f'a weight of "{shown}" in the prompt is {value:g}, expected {-MAX_LORA_WEIGHT:g} to '
                f"{MAX_LORA_WEIGHT:g}"
            )
        if key:
            named[key] = value
        else:
            plain.append(value)
    if len(weights) > 1 and plain and "te" not in named:  # A1111's order: the text encoders' first
        named["te"] = plain.pop(0)
    unet = named.get("unet", plain[0] if plain else None)
    return LoraTag(name=name, weight=1.0 if unet is None else unet, text_weight=named.get("te"))


def _weighted(text: str) -> list[Span]:
    """The text without its brackets. What is never closed counts to the end; what was never opened is text."""
    pieces = list(_PIECE.finditer(text))
    # Round and square brackets know nothing of each other, so each sort has a stack of its own.
    stacks: dict[str, list[int]] = {"(": [], "[": []}
    factors: dict[int, float] = {}  # of the bracket that a piece opens
    closes: dict[int, int] = {}  # by the piece that closes it
    for place, piece in enumerate(pieces):
        if piece["open"]:
            stacks[piece["open"]].append(place)
            factors[place] = EMPHASIS if piece["open"] == "(" else 1 / EMPHASIS
        elif piece["weighed"] and stacks["("]:
            closes[place] = stacks["("].pop()
            factors[closes[place]] = float(piece["weight"])
        elif piece["close"] and stacks["(" if piece["close"] == ")" else "["]:
            closes[place] = stacks["(" if piece["close"] == ")" else "["].pop()
    # Each stack holds the products of what is open, so that a bracket costs one multiplication.
    products: dict[str, list[float]] = {"(": [1.0], "[": [1.0]}
    spans: list[tuple[float, str]] = []
    for place, piece in enumerate(pieces):
        if piece["open"]:
            products[piece["open"]].append(products[piece["open"]][-1] * factors[place])
        elif place in closes:
            products[pieces[closes[place]]["open"]].pop()
        else:
            written = piece[0][1:] if piece["escaped"] else piece[0]
            # rounded, for ([word]) is the word itself
            spans.append((round(products["("][-1] * products["["][-1], 9), written))
    found = [
        Span(text="".join(written for _, written in run), weight=weight)
        for weight, run in itertools.groupby(spans, key=lambda span: span[0])
    ]
    for span in found:
        if not abs(span.weight) <= LARGEST_WEIGHT:
            raise InvalidRequest(
                reason=f'the brackets in the prompt give "{span.text.strip()[:_SHOWN]}" a weight of {span.weight:.3g}; '
                f"{LARGEST_WEIGHT:g} either way is the most. Use fewer brackets, or plain_prompt"
            )
    return found


def _split(spans: list[Span]) -> tuple[tuple[Span, ...], ...]:
    """At each BREAK; nothing after the last one is no part."""
    parts: list[list[Span]] = [[]]
    for span in spans:
        for number, written in enumerate(_BREAK.split(span.text)):
            if number:
                parts.append([])
            if written.strip():
                parts[-1].append(Span(text=written, weight=span.weight))
    if len(parts) > 1 and not any(span.text.strip() for span in parts[-1]):
        del parts[-1]
    return tuple(tuple(part) for part in parts)


def _undone(text: str) -> list[str]:
    notes: list[str] = []
    for pattern, what in ((_SCHEDULED, "Prompt editing is"), (_ALTERNATING, "Alternating words are")):
        found = pattern.search(text)
        if found:
            notes.append(f'{what} not supported: "{found[0][:_SHOWN]}" was read as text in square brackets.')
    if _AND.search(text):
        notes.append("Combining prompts with AND is not supported: it was read as a word.")
    return notes

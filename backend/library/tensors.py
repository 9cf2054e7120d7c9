"""What a header says of a file's tensors, in the form in which models are told apart by it."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .headers import METADATA, Header, metadata

_PRECISIONS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I8": "int8",
    "U8": "uint8",
    "F4": "float4",
}  # by torch's names
_MIXED_SHARE = 0.1  # of the bytes in another precision, above which a file is said to be mixed


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """The tensors of one model: of a file, or of a component's shards together."""

    shapes: dict[str, tuple[int, ...]]
    heads: frozenset[str]  # the first parts of the names
    names: str  # one a line
    metadata: dict[str, str]
    precision: str  # that of most of the bytes, by torch's name
    mixed: bool  # whether a good part of the bytes are in another

    def has(self, *keys: str) -> bool:
        """Whether all are there."""
        return all(key in self.shapes for key in keys)

    def any(self, pattern: str) -> bool:
        """Whether a name matches a regular expression anywhere; "^" and "$" are a name's ends."""
        return re.search(pattern, self.names, re.MULTILINE) is not None

    def side(self, key: str, axis: int) -> int:
        """One side of a tensor; 0 where there is none."""
        shape = self.shapes.get(key, ())
        return shape[axis] if -len(shape) <= axis < len(shape) else 0

    def width(self, end: str) -> int:
        """How wide the input is of the first matrix whose name ends so; 0 where there is none."""
        return next((shape[1] for key, shape in self.shapes.items() if key.endswith(end) and len(shape) == 2), 0)

    def count(self, pattern: str) -> int:
        """How many blocks there are: one more than the largest number in the pattern's group; 0 for none."""
        return max((int(number) for number in re.findall(pattern, self.names, re.MULTILINE)), default=-1) + 1

    def below(self, prefix: str) -> "Tensors":
        """Those whose names begin with `prefix`, without it."""
        shapes = {key.removeprefix(prefix): shape for key, shape in self.shapes.items() if key.startswith(prefix)}
        return Tensors(
            shapes=shapes,
            heads=frozenset(key.partition(".")[0] for key in shapes),
            names="\n".join(shapes),
            metadata=self.metadata,
            precision=self.precision,
            mixed=self.mixed,
        )


def tensors(headers: Iterable[Header]) -> Tensors:
    """What the headers of a model's files say together."""
    shapes: dict[str, tuple[int, ...]] = {}
    told: dict[str, str] = {}
    count: Counter[str] = Counter()  # bytes by dtype
    for header in headers:
        told |= metadata(header)
        for key, entry in header.items():
            if key != METADATA:
                shapes[key] = tuple(entry["shape"])
                start, end = entry["data_offsets"]
                count[entry["dtype"]] += end - start
    most = count.most_common(2)
    return Tensors(
        shapes=shapes,
        heads=frozenset(key.partition(".")[0] for key in shapes),
        names="\n".join(shapes),
        metadata=told,
        precision=_PRECISIONS.get(most[0][0], most[0][0].lower()) if most else "",
        mixed=len(most) > 1 and most[1][1] > _MIXED_SHARE * count.total(),
    )

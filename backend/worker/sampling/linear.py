"""What a diffusers scheduler does at each step, read off as numbers.

Without clipping, every scheduler is linear in what it is given: the latents, the model's prediction, fresh noise
and the tensors that it keeps from earlier steps. So the stock scheduler is run once on tiny tensors that are the
unit vectors of these, and what comes out are the coefficients, down to its own float32 arithmetic on sigmas.
Nothing here knows how any scheduler works.
"""

import math
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from ..third_party import torch

LATENTS, PREDICTION, NOISE, KEPT = range(4)
"""Places of the values of an evaluation: what it is given, then the tensors kept from the one before."""

_DRAWING = threading.Lock()  # jobs and plans have threads of their own, and schedulers' modules one draw each
_PLACES = 16  # room for twelve kept tensors; no scheduler keeps more than six
_ROUNDING = 1e-8  # of a difference of coefficients, by their size: nothing is left

Row = tuple[float, ...]  # a coefficient for each place
Terms = tuple[tuple[int, float], ...]  # (place, coefficient)
Mix = tuple[float, float]  # shares of two tensors


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What happens around one call of the model.

    `sums` are made in order, each taking the next place after those of the values at hand. What is kept for the
    next evaluation, and the new latents, are places among all of these.
    """

    input_scale: float  # of the latents, for the model
    estimate: Mix  # the finished picture, of latents and prediction
    draws: bool  # whether the scheduler draws noise here, used or not
    sums: tuple[Terms, ...]
    latents: int
    kept: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A whole run, in numbers."""

    evaluations: tuple[Evaluation, ...]
    levels: tuple[Mix, ...]  # (picture, noise) that `add_noise` makes before the first and after each but the last


def combined(values: Sequence[Any], terms: Terms) -> Any:
    """The sum of `terms` over tensors of one shape, as a new tensor; at most one kernel a term."""
    (place, scale), *rest = terms
    if scale == 1 and rest:
        (second, share), *rest = rest
        total = values[place].add(values[second], alpha=share)
    else:
        total = values[place] * scale
    for place, share in rest:
        total.add_(values[place], alpha=share)
    return total


@contextmanager
def drawing(scheduler: Any, draw: Callable[..., Any]) -> Generator[None]:
    """Within it, the scheduler's `step` takes its noise from `draw`.

    It replaces a name in the scheduler's module; another thread that wants to waits. Not to be nested.
    """
    module: Any = sys.modules[type(scheduler).__module__]
    if not hasattr(module, "randn_tensor"):  # a scheduler that adds no noise
        yield
        return
    with _DRAWING:
        before = module.randn_tensor
        module.randn_tensor = draw
        try:
            yield
        finally:
            module.randn_tensor = before


def read(scheduler: Any, timesteps: Sequence[Any], options: dict[str, Any]) -> Reading:
    """Run a scheduler whose timesteps are set, as a pipeline does, and read off what it does.

    `timesteps` are the scheduler's own, from where the run begins; `options` go to each `step`. The scheduler is
    spent afterwards. Whether it is linear at all is for the caller to check.

    Raises ValueError where what it does comes to no number, and whatever the scheduler itself raises.
    """
    units = torch().eye(_PLACES, dtype=torch().float64).view(_PLACES, 1, 1, 1, _PLACES)
    drawn: list[bool] = []

    def draw(*_args: Any, **_options: Any) -> Any:
        drawn.append(True)
        return units[NOISE].clone()

    def level(timestep: Any) -> Mix:
        row = _row(scheduler.add_noise(units[0].clone(), units[1].clone(), timestep[None]))
        return row[0], row[1]

    levels = [level(timesteps[0])]
    raw: list[_Raw] = []
    slots: dict[tuple[str, int | None], int] = {}  # which of the kept tensors is where in the scheduler
    with drawing(scheduler, draw):
        for index, timestep in enumerate(timesteps):
            for (name, position), place in slots.items():
                _put(scheduler, name, position, units[KEPT + place].clone())  # some schedulers work in place
            scale = _row(scheduler.scale_model_input(units[LATENTS].clone(), timestep))[LATENTS]
            drawn.clear()
            result = scheduler.step(units[PREDICTION].clone(), timestep, units[LATENTS].clone(), **options)
            slots, kept = _found(scheduler, units[0].shape)
            raw.append(
                _Raw(
                    input_scale=scale,
                    estimate=_estimate(scheduler, timestep, result),
                    draws=bool(drawn),
                    latents=_row(result.prev_sample),
                    kept=kept,
                )
            )
            if index + 1 < len(timesteps):
                levels.append(level(timesteps[index + 1]))
    return Reading(evaluations=_compiled(raw), levels=tuple(levels))


# ---------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, kw_only=True)
class _Raw:
    """An evaluation as rows over the values at hand."""

    input_scale: float
    estimate: Mix
    draws: bool
    latents: Row
    kept: tuple[Row, ...]


def _row(tensor: Any) -> Row:
    return tuple(cast("list[float]", tensor.flatten().tolist()))


def _tensors(scheduler: Any, shape: Any) -> Iterator[tuple[str, int | None, Any]]:
    """Every tensor of the shape that the scheduler holds, by attribute and place in its list."""
    is_tensor = torch().is_tensor
    for name, held in cast("dict[str, Any]", vars(scheduler)).items():
        if is_tensor(held) and held.shape == shape:
            yield name, None, held
        elif isinstance(held, list):
            for position, entry in enumerate(cast("list[Any]", held)):
                if is_tensor(entry) and entry.shape == shape:
                    yield name, position, entry


def _put(scheduler: Any, name: str, position: int | None, tensor: Any) -> None:
    if position is None:
        setattr(scheduler, name, tensor)
    else:
        getattr(scheduler, name)[position] = tensor


def _found(scheduler: Any, shape: Any) -> tuple[dict[tuple[str, int | None], int], tuple[Row, ...]]:
    """What the scheduler keeps, and where; one row for what it keeps twice."""
    slots: dict[tuple[str, int | None], int] = {}
    rows: list[Row] = []
    for name, position, tensor in _tensors(scheduler, shape):
        row = _row(tensor)
        if row not in rows:
            rows.append(row)
        slots[name, position] = rows.index(row)
    return slots, tuple(rows)


def _estimate(scheduler: Any, timestep: Any, result: Any) -> Mix:
    """The finished picture as shares of latents and prediction; call it after the step.

    Schedulers that tell it are believed. Of the others the latents are alpha times the picture plus sigma times
    noise, and the picture follows by what the model predicts.
    """
    told = getattr(result, "pred_original_sample", None)
    if told is not None:
        row = _row(told)
        return row[LATENTS], row[PREDICTION]
    if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
        shares = scheduler._sigma_to_alpha_sigma_t(scheduler.sigmas[scheduler.step_index - 1])
        alpha, sigma = (float(share) for share in shares)
    else:
        kept_part = float(scheduler.alphas_cumprod[timestep])
        alpha, sigma = math.sqrt(kept_part), math.sqrt(1 - kept_part)
    match scheduler.config.prediction_type:
        case "sample":
            return 0.0, 1.0
        case "v_prediction":
            return alpha, -sigma
        case _:
            return (1 / alpha, -sigma / alpha) if alpha else (math.inf, -math.inf)


# ---------------------------------------------------------------------------------------------- compiling


def _compiled(raw: Sequence[_Raw]) -> tuple[Evaluation, ...]:
    """The fewest sums that do the same: nothing is kept that isn't used, and sums are made of earlier sums."""
    evaluations: list[Evaluation] = []
    wanted: list[int] = []  # the kept tensors that the next evaluation uses
    for entry in reversed(raw):
        targets = [entry.kept[place] for place in wanted]
        used = {place for row in (entry.latents, *targets) for place, share in enumerate(row) if share}
        wanted = sorted(place - KEPT for place in used if place >= KEPT)
        places = [LATENTS, PREDICTION, NOISE, *(KEPT + place for place in wanted)]
        rows = [tuple(row[place] for place in places) for row in (*targets, entry.latents)]
        sums, (*kept, latents) = _sums(rows, len(places))
        evaluations.append(
            Evaluation(
                input_scale=entry.input_scale,
                estimate=entry.estimate,
                draws=entry.draws,
                sums=sums,
                latents=latents,
                kept=tuple(kept),
            )
        )
    return tuple(reversed(evaluations))


def _sums(rows: Sequence[Row], given: int) -> tuple[tuple[Terms, ...], list[int]]:
    """Sums that make the rows, and the place of each row. Short rows come first, for longer ones to be made of."""
    sums: list[Terms] = []
    made: list[tuple[int, Row]] = []  # the places of sums, over the given values alone
    where = [0] * len(rows)
    for index in sorted(range(len(rows)), key=lambda index: _weight(rows[index])):
        row = rows[index]
        terms = _terms(row, made)
        if len(terms) == 1 and terms[0][1] == 1:
            where[index] = terms[0][0]  # it is there already
            continue
        where[index] = given + len(sums)
        made.append((where[index], row))
        sums.append(terms)
    return tuple(sums), where


def _terms(row: Row, made: Sequence[tuple[int, Row]]) -> Terms:
    """The row as a sum of given values and of sums made before, in few terms and with small coefficients.

    Large ones that cancel each other would cost digits: up to twice the size is taken for fewer terms.
    """
    if not all(map(math.isfinite, row)):
        raise ValueError("a coefficient is not a number")
    ways = [terms for terms in _ways(row, made) if terms] or [[(LATENTS, 0.0)]]
    sizes = [sum(abs(share) for _, share in terms) for terms in ways]
    _, _, terms = min(
        (len(terms), size, terms) for size, terms in zip(sizes, ways, strict=True) if size <= 2 * min(sizes)
    )
    return tuple(sorted(terms, key=lambda term: term[1] != 1))


def _ways(row: Row, made: Sequence[tuple[int, Row]]) -> Iterator[list[tuple[int, float]]]:
    """The row as it is, and with each of the sums made before taken out wherever that leaves no more terms."""
    if not made:
        yield [(place, share) for place, share in enumerate(row) if share]
        return
    *others, (place, known) = made
    yield from _ways(row, others)
    tried: list[float] = []
    for part, of in zip(row, known, strict=True):
        if not part or not of or any(math.isclose(part / of, share, rel_tol=_ROUNDING) for share in tried):
            continue
        tried.append(part / of)
        rest = _less(row, known, part / of)
        if _weight(rest) < _weight(row):
            yield from ([(place, part / of), *terms] for terms in _ways(rest, others))


def _less(row: Row, known: Row, share: float) -> Row:
    left = (a - share * b for a, b in zip(row, known, strict=True))
    return tuple(
        0.0 if abs(value) <= _ROUNDING * (abs(a) + abs(share * b)) else value
        for value, a, b in zip(left, row, known, strict=True)
    )


def _weight(row: Row) -> int:
    return sum(1 for share in row if share)

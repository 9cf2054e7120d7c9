"""The combinations that are compared: every pair of options that go together occurs in one of them."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from parity_jobs import NEGATIVE, Job, Net
from underpaint.protocol.request import ControlKind, Scheduler, Sigmas

Choice = Mapping[str, Any]

SCHEDULERS = tuple(Scheduler)
_CANDIDATES = 30  # combinations among which the one with the most new pairs is taken


def _plain(family: str, *letters: str) -> tuple[Net, ...]:
    return tuple(Net(folder=f"{family}-{letter}") for letter in letters)


_KINDS = (ControlKind.TILE, ControlKind.DEPTH, ControlKind.NORMAL)
_PROMAX = tuple(Net(folder="sdxl-promax", kind=kind) for kind in _KINDS)
_UNION = Net(folder="sdxl-union", kind=ControlKind.CANNY)
_POOL = Net(folder="sd15-pool", kind=ControlKind.SHUFFLE)

_MODELS: tuple[tuple[str, tuple[Net, ...]], ...] = (
    ("sd15", ()),
    ("sd15", _plain("sd15", "a")),
    ("sd15", _plain("sd15", "a", "b", "c")),
    ("sd15", (_POOL,)),
    ("sd15", (*_plain("sd15", "a"), _POOL)),
    ("sd21", ()),
    ("sd21", _plain("sd21", "a")),
    ("sd21", _plain("sd21", "a", "b", "c")),
    ("sdxl", ()),
    ("sdxl", _plain("sdxl", "a")),
    ("sdxl", _plain("sdxl", "a", "b", "c")),
    ("sdxl", (_UNION,)),
    ("sdxl", _PROMAX[:2]),
    ("sdxl", (_UNION, _PROMAX[0])),
    ("sdxl", (_PROMAX[0], *_plain("sdxl", "a"), _PROMAX[1])),
    ("sd15-inpaint", ()),
    ("sd15-inpaint", _plain("sd15", "a")),
    ("sd15-inpaint", _plain("sd15", "a", "b", "c")),
    ("sdxl-inpaint", ()),
    ("sdxl-inpaint", _plain("sdxl", "a")),
    ("sdxl-inpaint", _PROMAX[:2]),
    ("sd15-lcm", ()),
    ("sd15-lcm", _plain("sd15", "a")),
)
_WINDOWS: Mapping[str, tuple[tuple[float, float], ...]] = {
    "always": ((0.0, 1.0),) * 3,
    "shrinking": ((0.0, 1.0), (0.0, 0.5), (0.0, 0.25)),
    "late": ((0.25, 1.0), (0.0, 0.75), (0.5, 1.0)),
}
_SCALES: Mapping[str, tuple[float, ...]] = {"one": (1.0, 1.0, 1.0), "varied": (0.8, 0.5, 1.3)}
_CURVE = ((0.0, 1.0), (0.5, 0.25), (1.0, 0.75))

_OPTIONS: Mapping[str, Sequence[Any]] = {
    "models": tuple(range(len(_MODELS))),
    "task": (("text", 1.0), ("image", 0.8), ("inpaint", 1.0), ("inpaint", 0.8)),
    "windows": tuple(_WINDOWS),
    "scales": tuple(_SCALES),
    "curve": (False, True),
    "guess": ("none", "all", "first"),
    "guidance": (5.0, 1.0, 0.0),
    "negative": (NEGATIVE, ""),
    "scheduler": (Scheduler.UNIPC, Scheduler.EULER_ANCESTRAL, Scheduler.LCM, Scheduler.TCD),
    "size": ((64, 64), (72, 88)),
    "pictures": ((1, 1), (2, 1), (2, 2)),
}


def combinations() -> list[Job]:
    """Jobs that between them have every pair of options."""
    chance = random.Random(0)
    wanted = _all_pairs(chance)
    found: list[Choice] = []
    while wanted:
        # Each candidate has a pair that is still wanted, so that the end is reached.
        fixed = next(iter(wanted.values()))
        candidates = [choice for _ in range(_CANDIDATES) if (choice := _completed(fixed, chance)) is not None]
        best = max(candidates, key=lambda choice: len(wanted.keys() & set(_pairs(choice))))
        found.append(best)
        for pair in _pairs(best):
            wanted.pop(pair, None)
    jobs = [_job(choice) for choice in found]
    return sorted(set(jobs), key=lambda job: job.words)


def schedulers() -> list[Job]:
    """Every scheduler: from noise, from a picture, with a hole; and every spread of sigmas."""
    one = _plain("sd15", "a")
    jobs = [Job(nets=one, scheduler=scheduler, steps=6) for scheduler in SCHEDULERS]
    for number, scheduler in enumerate(SCHEDULERS):
        task = ("image", "inpaint")[number % 2]
        jobs.append(Job(nets=one, scheduler=scheduler, task=task, strength=0.7, steps=7))
    for scheduler, sigmas in itertools.product(
        (Scheduler.UNIPC, Scheduler.DPMPP_2M, Scheduler.EULER), (Sigmas.KARRAS, Sigmas.EXPONENTIAL, Sigmas.BETA)
    ):
        jobs.append(Job(nets=one, scheduler=scheduler, sigmas=sigmas, steps=6))
    velocity = (Scheduler.DPMPP_2M, Scheduler.EULER, Scheduler.HEUN, Scheduler.DDIM, Scheduler.SA_SOLVER)
    leading = (Scheduler.DPMPP_2M_SDE, Scheduler.EULER, Scheduler.DPM2_ANCESTRAL, Scheduler.PNDM)
    for family, chosen in (("sd21", velocity), ("sdxl", leading)):
        nets = _plain(family, "a")
        jobs.extend(Job(checkpoint=family, nets=nets, scheduler=scheduler, steps=6) for scheduler in chosen)
    return jobs


def _job(choice: Choice) -> Job:
    checkpoint, nets = _MODELS[choice["models"]]
    task, strength = choice["task"]
    nets = tuple(
        replace(
            net,
            scale=_SCALES[choice["scales"]][index],
            start=_window(choice["windows"], index, len(nets))[0],
            end=_window(choice["windows"], index, len(nets))[1],
            curve=_CURVE if choice["curve"] and index == 0 else (),
            guess=choice["guess"] == "all" or (choice["guess"] == "first" and index == 0),
        )
        for index, net in enumerate(nets)
    )
    pictures, batch = choice["pictures"]
    return Job(
        checkpoint=checkpoint, nets=nets, task=task, strength=strength, guidance=choice["guidance"],
        negative=choice["negative"], scheduler=choice["scheduler"], size=choice["size"], pictures=pictures, batch=batch,
    )  # fmt: skip


def _window(name: str, index: int, count: int) -> tuple[float, float]:
    if name == "shrinking" and count == 1:
        return _WINDOWS[name][1]  # the first is the whole
    return _WINDOWS[name][index]


def _possible(choice: Choice) -> bool:
    """Whether the options go together, and stock has a pipeline for them."""
    checkpoint, nets = _MODELS[choice["models"]]
    task = choice["task"][0]
    if not nets and (choice["windows"], choice["scales"], choice["curve"], choice["guess"]) != (
        "always", "one", False, "none",
    ):  # fmt: skip
        return False
    if choice["guess"] == "first" and len(nets) == 1:
        return False
    if checkpoint.endswith("inpaint") != (task == "inpaint") and checkpoint not in ("sd15", "sd21", "sdxl"):
        return False
    if checkpoint == "sd15-lcm" and task != "text":
        return False  # diffusers' other ControlNet pipelines forget the guidance scale's embedding
    # without guidance there is nothing to avoid
    return choice["negative"] == NEGATIVE or (choice["guidance"] > 1 and checkpoint != "sd15-lcm")


def _completed(fixed: Choice, chance: random.Random) -> Choice | None:
    """A possible combination with what is fixed; None where a hundred tries find none."""
    for _ in range(100):
        choice = {name: fixed.get(name, chance.choice(list(values))) for name, values in _OPTIONS.items()}
        if _possible(choice):
            return choice
    return None


def _pairs(choice: Choice) -> Iterator[frozenset[tuple[str, Any]]]:
    """The pairs of options in a combination; of a scheduler with the checkpoint, whatever its nets."""
    for pair in itertools.combinations(tuple(choice.items()), 2):
        found = dict(pair)
        if set(found) == {"models", "scheduler"}:
            found["models"] = _MODELS[found["models"]][0]
        yield frozenset(found.items())


def _all_pairs(chance: random.Random) -> dict[frozenset[tuple[str, Any]], Choice]:
    """Every pair that some combination has, with one that has it."""
    found: dict[frozenset[tuple[str, Any]], Choice] = {}
    for one, other in itertools.combinations(_OPTIONS, 2):
        for values in itertools.product(_OPTIONS[one], _OPTIONS[other]):
            fixed = {one: values[0], other: values[1]}
            (pair,) = _pairs(fixed)
            if pair not in found and _completed(fixed, chance) is not None:
                found[pair] = fixed
    return found

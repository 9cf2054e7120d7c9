"""Stable Diffusion 1.5 with ControlNets: diffusers' pipelines and Underpaint's sampling side by side, in one run.

    make bench
    .venvs/main/bin/python bench/sampling.py --cases 3 windows --dtypes float32 --rounds 2
    .venvs/main/bin/python bench/sampling.py --small --size 64    # what it prints, in half a minute

Full-size modules with random weights, the same ones for every contestant, who take turns in each round; a ratio is
one of times of the same round. Only ratios can be compared between runs: each says what the machine could do meanwhile.
"x" is how often the job fits into the other's time; behind "x blog" stands the same for the evaluations alone, without
text encoder and VAE, and for the CPU time of all threads, which other programs disturb less. Needs 12 GB of memory.
Everybody is asked for the same number of evaluations of the UNet.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it; torch reads it when it is imported

import argparse
import platform
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import diffusers
import numpy as np
import sampling_ceilings
import sampling_models
import torch
import transformers
from sampling_contestants import Contestant, Job, blog, compiled, job, stock, tuned
from sampling_models import Models
from sampling_ours import Worker
from sampling_record import Recorder, Times, Work, counted
from underpaint.protocol.arrays import UInt8Array

CASES: dict[str, tuple[str, tuple[float, ...]]] = {
    "1": ("1 ControlNet", (1.0,)),
    "3": ("3 ControlNets", (1.0, 1.0, 1.0)),
    "windows": ("3 ControlNets that end at 1, 1/2 and 1/4 of the steps", (1.0, 0.5, 0.25)),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one contestant did in a case."""

    contestant: Contestant
    times: list[Times] = field(default_factory=list)
    work: Work | None = None
    picture: UInt8Array | None = None
    failure: str = ""
    peak_gb: float = 0.0


def main(arguments: Sequence[str] | None = None) -> dict[tuple[str, str], list[Row]]:
    """Measure and print; the rows by number format and case."""
    options = _parsed(arguments)
    device = options.device
    diffusers.utils.logging.set_verbosity_error()  # it warns of every change of number format
    _print_machine(device)
    print(f"\nWho is measured (guidance 7.5, {options.evaluations} evaluations of the UNet, "
          f"{options.size} x {options.size}):")  # fmt: skip
    for contestant in _contestants(options, device):
        print(f"  {contestant.name:<22}{contestant.words}")
    found: dict[tuple[str, str], list[Row]] = {}
    models = sampling_models.build(device, small=options.small)
    print(
        f"\nUNet {sampling_models.parameters(models.unet):.1f} M parameters, each of {len(models.nets)} ControlNets "
        f"{sampling_models.parameters(models.nets[0]):.1f} M, VAE {sampling_models.parameters(models.vae):.1f} M"
    )
    for name in options.dtypes:
        models.to(getattr(torch, name))
        for line in sampling_ceilings.lines(device, [getattr(torch, name)]) if not options.small else []:
            print(line)
        for case in options.cases:
            words, ends = CASES[case]
            print(f"\n{words}, {name}; load average {os.getloadavg()[0]:.1f}", flush=True)
            asked = job(options.size, options.evaluations, ends)
            rows = _measure(_contestants(options, device), models, asked, device, options.rounds)
            found[name, case] = rows
            _print_rows(rows)
    return found


def _contestants(options: argparse.Namespace, device: str) -> list[Contestant]:
    left_out = " A CPU has no half precision worth using and nothing to offload to: of the recipe, UniPC is left."
    worker = Worker()
    found = [
        Contestant(name="stock", entered=stock, words="StableDiffusionControlNetPipeline as it comes: eager, the "
                   "checkpoint's PNDM (asked for a step less, for it evaluates once more)"),
        Contestant(name="blog", entered=blog, words="the ControlNet blog's recipe: UniPC, half precision, model "
                   "offload." + (left_out if device == "cpu" else "")),
        Contestant(name="tuned", entered=tuned, words="diffusers' speed guides: UniPC, channels_last, the UNet's q, "
                   "k and v fused"),
        *([Contestant(name="compiled", entered=compiled, words="likewise, UNet and ControlNets through "
                      "torch.compile; warmed up each time")] if options.compile else []),
        Contestant(name="ours", entered=worker.cold, words="Underpaint's worker: UniPC, prompts and hints new to it"),
        Contestant(name="ours again", entered=worker.again, words="the same picture a second time, caches warm"),
    ]  # fmt: skip
    return [contestant for contestant in found if not options.only or contestant.name in options.only]


def _measure(contestants: list[Contestant], models: Models, asked: Job, device: str, rounds: int) -> list[Row]:
    rows = [Row(contestant=contestant) for contestant in contestants]
    recorder = Recorder(models, device)
    # A GPU's libraries choose their kernels in the first job of a size; a CPU only has modules to import.
    warm_up = job(64, asked.evaluations, asked.ends) if device == "cpu" else asked
    for turn in range(-1, rounds):
        for number, row in enumerate(rows):
            if row.failure:
                continue
            try:
                done = _turn(row, models, warm_up if turn < 0 else asked, device, recorder)
            except Exception as error:
                # One contestant's trouble, such as a compiler that isn't there, is printed as its result.
                rows[number] = replace(row, failure=f"{type(error).__name__}: {error}"[:300])
            else:
                if turn >= 0:
                    rows[number] = done
                elif warm_up is asked:
                    rows[number] = replace(row, work=done.work)
    return rows


def _turn(row: Row, models: Models, asked: Job, device: str, recorder: Recorder) -> Row:
    """The row with this job's results."""
    with row.contestant.entered(models, asked, device) as run:
        compiles = row.contestant.entered is compiled
        if compiles:
            run(asked, recorder)
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        # Counted once, on a GPU in the turn that isn't timed; on a CPU it is lost in the milliseconds of a job.
        counts = row.work is None and not compiles
        with recorder.job() as times, counted(models) if counts else nullcontext([row.work]) as works:
            picture = run(asked, recorder)
        peak_gb = torch.cuda.max_memory_allocated() / 2**30 if device.startswith("cuda") else 0.0
    return replace(row, times=[*row.times, *times], work=works[0], picture=picture, peak_gb=max(peak_gb, row.peak_gb))


# ---------------------------------------------------------------------------------------------- printing


def _print_rows(rows: list[Row]) -> None:
    bases = {row.contestant.name: row for row in rows if row.contestant.name in ("stock", "blog") and row.times}
    print(
        f"  {'':<12}{'job s':>8} {'least-most':>15}{'CPU s':>8}{'step s':>9} {'least-most':>15}{'decode':>8}"
        f"{'x stock':>9} {'least-most':>12}{'x blog':>8} {'least-most':>12}{'(steps':>8}{'CPU s)':>8}"
        f"{'UNet':>6}{'nets':>5}{'hints':>6}{'text':>5}{'TFLOP':>8}{'calls':>7}"
    )
    for row in rows:
        if row.failure:
            print(f"  {row.contestant.name:<12}failed: {row.failure}")
        elif row.times:
            print(f"  {row.contestant.name:<12}{_times(row)}{_ratios(row, bases)}{_work(row)}")
    _print_difference(rows)


def _times(row: Row) -> str:
    jobs = [times.job for times in row.times]
    steps = [step for times in row.times for step in times.steps]
    cpu, decode = (median(getattr(times, name) for times in row.times) for name in ("cpu", "decode"))
    return f"{median(jobs):8.2f} {_spread(jobs):>15}{cpu:8.1f}{median(steps):9.3f} {_spread(steps):>15}{decode:8.2f}"


def _ratios(row: Row, bases: dict[str, Row]) -> str:
    shown = ""
    for name, width in (("stock", 9), ("blog", 8)):
        pairs = list(zip(bases[name].times, row.times, strict=False)) if name in bases else []
        ratios = [theirs.job / own.job for theirs, own in pairs]
        shown += f"{median(ratios):{width}.3f} {_spread(ratios):>12}" if ratios else f"{'':{width + 13}}"
        if name == "blog":
            steps = [sum(theirs.steps) / sum(own.steps) for theirs, own in pairs]
            cpu = [theirs.cpu / own.cpu for theirs, own in pairs]
            shown += f"{median(steps):8.3f}{median(cpu):8.3f}" if pairs else " " * 16
    return shown


def _work(row: Row) -> str:
    if row.work is None:
        return ""
    calls = "".join(f"{row.work.calls.get(kind, 0):{width}}" for kind, width in zip(
        ("unet", "net", "hint", "text"), (6, 5, 6, 5), strict=True))  # fmt: skip
    peak = f"  {row.peak_gb:.2f} GiB at most" if row.peak_gb else ""
    return f"{calls}{row.work.tflop:8.2f}{row.work.torch_calls:7}{peak}"


def _spread(values: list[float]) -> str:
    return f"{min(values):.2f}-{max(values):.2f}"


def _print_difference(rows: list[Row]) -> None:
    """A contestant that is quick because it paints something else would show here."""
    pictures = {row.contestant.name: row.picture for row in rows if row.picture is not None}
    if "blog" in pictures and "ours" in pictures:
        apart = np.abs(pictures["blog"].astype(np.int16) - pictures["ours"])
        print(
            f"  ours and blog, of the same seed and scheduler: {apart.mean():.3f} of 255 apart on average, at most "
            f"{apart.max()}; the picture itself deviates by {pictures['blog'].std():.1f}"
        )


def _print_machine(device: str) -> None:
    name = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    print(
        f"{name}; {os.cpu_count()} cores, {torch.get_num_threads()} threads; {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}, "
        f"transformers {transformers.__version__}"
    )
    load = os.getloadavg()[0]
    print(
        f"load average {load:.1f} at the start" + ("; the machine is busy, so times mean little" if load > 0.5 else "")
    )
    if not device.startswith("cuda"):
        print("no CUDA GPU here")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    default_device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="pixels each side")
    parser.add_argument("--evaluations", "--steps", type=int, default=4, help="of the UNet; 4 shares windows as 20 do")
    parser.add_argument("--rounds", type=int, default=2, help="in each, everybody has one turn")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--dtypes", "--dtype", nargs="+", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--only", nargs="+", help="contestants by name", default=[])
    parser.add_argument("--compile", action="store_true", help="torch.compile as well, which takes minutes to warm up")
    parser.add_argument("--small", action="store_true", help="small modules: checks the bench, measures nothing")
    parser.add_argument("--device", default=default_device)
    options = parser.parse_args(arguments)
    if options.dtypes is None:
        options.dtypes = ["float32", "bfloat16"] if options.device == "cpu" else ["float16", "bfloat16"]
    if options.evaluations < 3:
        parser.error("PNDM needs 3 evaluations or more")
    return options


if __name__ == "__main__":
    main()

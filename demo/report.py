"""What the demo says of its run: the table on the terminal and report.json; reads what `demo.paint` measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

MODEL = ("load", "encode", "step", "decode")  # the model's own work
BESIDE = ("capture", "convert", "upload", "queue", "conditioning", "store", "download", "write_back")
WORDS = {
    "capture": "passes from Cycles",
    "convert": "passes to physical arrays",
    "upload": "upload",
    "queue": "queue wait, worker start",
    "conditioning": "control maps",
    "load": "load the model",
    "encode": "encode the prompt",
    "step": "denoising steps",
    "decode": "decode the picture",
    "store": "store the results",
    "download": "download",
    "write_back": "write back into Blender",
    "other": "Blender's own render and saving",
}


@dataclass(frozen=True, kw_only=True)
class Click:
    """One F12, summed up; all in milliseconds."""

    click_ms: float  # from the click to the picture on disk
    phases_ms: dict[str, float]  # each phase's sum; `other` is what no phase accounts for
    steps_ms: list[float]

    @property
    def beside_ms(self) -> float:
        """All that is not the model's own work."""
        return self.click_ms - sum(self.phases_ms.get(name, 0.0) for name in MODEL)


def click(measured: dict[str, Any]) -> Click:
    """Sum up what was measured of one F12."""
    timings: Sequence[dict[str, Any]] = measured["timings"]
    phases = {name: sum(t["ms"] for t in timings if t["phase"] == name) for name in (*BESIDE, *MODEL)}
    phases["other"] = measured["click_ms"] - sum(phases.values())
    steps = [t["ms"] for t in timings if t["phase"] == "step"]
    return Click(click_ms=measured["click_ms"], phases_ms=phases, steps_ms=steps)


def as_json(painted: dict[str, Any]) -> dict[str, Any]:
    """report.json: what was made, with what, and the milliseconds of each phase of the first and second click."""
    report = {name: value for name, value in painted.items() if name != "clicks"}
    for name, measured in zip(("first_click", "second_click"), painted["clicks"], strict=True):
        entry = click(measured)
        report[name] = {
            "click_ms": round(entry.click_ms, 1),
            "beside_the_model_ms": round(entry.beside_ms, 1),
            "phases_ms": {phase: round(ms, 2) for phase, ms in entry.phases_ms.items()},
            "steps_ms": [round(ms, 2) for ms in entry.steps_ms],
            "step_median_ms": round(median(entry.steps_ms), 2) if entry.steps_ms else None,
        }
    return report


def table(report: dict[str, Any]) -> str:
    """The phases of both clicks, for a person."""
    first, second = report["first_click"], report["second_click"]
    lines = [f"{'milliseconds':34}{'first click':>14}{'second':>12}"]
    for name, words in WORDS.items():
        lines.append(f"  {words:32}{first['phases_ms'][name]:14.1f}{second['phases_ms'][name]:12.1f}")
    lines.append(f"  {'one step (median)':32}{first['step_median_ms']:14.1f}{second['step_median_ms']:12.1f}")
    lines.append(f"{'from the click to the picture':34}{first['click_ms']:14.1f}{second['click_ms']:12.1f}")
    lines.append(
        f"{'of that, beside the model':34}{first['beside_the_model_ms']:14.1f}{second['beside_the_model_ms']:12.1f}"
    )
    return "\n".join(lines)

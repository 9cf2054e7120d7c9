"""The table of acceptance figures: what is read, and what is found lacking."""

import json
from dataclasses import replace

import accept
import figures
from accept import Line

VERSIONS = ("4.2.23 LTS", "4.5.15 LTS", "5.0.1")


def line(number, blender="", passed=True):
    return Line(
        number=number,
        what="something",
        measured=0.5,
        threshold=1.0,
        better="less",
        unit="px",
        blender=blender,
        passed=passed,
    )


def complete():
    everywhere = [line(number, version) for number in accept.IN_BLENDER for version in VERSIONS]
    return everywhere + [line(number) for number in accept.NUMBERS if number not in accept.IN_BLENDER]


def test_nothing_is_lacking_when_every_number_has_its_figures():
    assert accept._lacking(complete()) == []


def test_a_number_without_a_figure_is_named_and_so_is_a_version_without_one():
    lines = [entry for entry in complete() if entry.number != 18 and (entry.number, entry.blender) != (7, VERSIONS[1])]
    assert accept._lacking(lines) == ["18: no figure", "7: no figure from Blender 4.5.15 LTS"]
    assert len(accept._lacking([])) == len(accept.NUMBERS) + 1


def test_a_report_is_read(tmp_path):
    report = tmp_path / "report.jsonl"
    entry = {"number": 7, "what": "reprojection", "measured": 0.0007, "threshold": 0.01, "better": "less"}
    report.write_text(json.dumps({**entry, "unit": "px", "blender": "5.0.1", "passed": True}) + "\n")
    found = Line(**next(iter(figures.read(report))))
    assert "ok    7  reprojection" in accept.row([found])
    assert "<= 0.01" in accept.row([found])
    assert list(figures.read(tmp_path / "absent.jsonl")) == []


def test_a_row_shows_the_worst_of_the_blenders_and_a_miss_whatever_the_others_gave():
    good, bad = line(7, VERSIONS[0]), replace(line(7, VERSIONS[2]), measured=0.7)
    assert "0.7" in accept.row([good, bad])
    assert accept.row([good, bad]).endswith("4.2.23 5.0.1")
    assert accept.row([good, replace(bad, measured=float("nan"), passed=False)]).startswith("MISS")
    high = [replace(entry, better="more") for entry in (good, bad)]
    assert " 0.5 " in accept.row(high)

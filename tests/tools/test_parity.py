"""The table of comparisons with stock: what a line says, and what is found lacking."""

from dataclasses import replace

import parity
from parity import Figure

EXACT = Figure(
    group="pictures", what="sd15, t2i", compared="predictions", measured=0, threshold=0, better="bits", passed=True
)
ROUNDED = replace(EXACT, compared="latents", measured=4e-7, threshold=6e-7, better="less")


def test_a_line_names_each_figure_and_its_threshold():
    line = parity.row([EXACT, ROUNDED])
    assert line.startswith("ok   pictures   sd15, t2i")
    assert line.endswith("predictions bit-equal: 0 | latents <= 6e-07: 4e-07")


def test_a_figure_that_misses_is_marked_and_so_is_its_line():
    line = parity.row([EXACT, replace(ROUNDED, measured=float("nan"), passed=False)])
    assert line.startswith("MISS")
    assert line.endswith("| MISS latents <= 6e-07: nan")


def test_a_group_with_a_line_too_few_or_too_many_is_named():
    lines = [
        [replace(EXACT, group=group, what=str(number))]
        for group, expected in parity.EXPECTED.items()
        for number in range(expected)
    ]
    assert parity._lacking(lines) == []
    group, expected = next(iter(parity.EXPECTED.items()))
    assert parity._lacking(lines[1:]) == [f"{group}: {expected - 1} lines, expected {expected}"]
    assert parity._lacking([lines[0], *lines]) == [f"{group}: {expected + 1} lines, expected {expected}"]

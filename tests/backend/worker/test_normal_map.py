"""Normals to the colours of NormalBAE: red faces image-left."""

import numpy as np
import pytest
from underpaint.backend.worker.conditioning.normals import normal_map
from underpaint.backend.worker.conditioning.table import NormalConvention, convention
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.request import ControlKind

_SIN, _COS = np.sin(np.radians(60)), np.cos(np.radians(60))


@pytest.mark.parametrize(
    ("normal", "colour"),
    [  # docs/conventions.md, the table of a unit sphere's five points
        ((0, 0, 1), (127, 127, 255)),
        ((-_SIN, 0, _COS), (237, 127, 193)),
        ((_SIN, 0, _COS), (18, 127, 192)),
        ((0, _SIN, _COS), (127, 237, 193)),
        ((0, -_SIN, _COS), (127, 18, 192)),
    ],
)
@pytest.mark.parametrize("family", FamilyId)
def test_colours_of_a_sphere(
    family: FamilyId, normal: tuple[float, float, float], colour: tuple[int, int, int]
) -> None:
    rule = convention(family, ControlKind.NORMAL)
    assert isinstance(rule, NormalConvention)
    image = normal_map(np.array([[normal]], np.float32), rule)
    assert image.dtype == np.uint8
    assert np.abs(image[0, 0].astype(int) - colour).max() <= 3


def test_background_is_exact_and_length_does_not_matter() -> None:
    rule = convention(FamilyId.SD15, ControlKind.NORMAL)
    assert isinstance(rule, NormalConvention)
    short = normal_map(np.array([[(0, 0, 0), (0, 0.5, 0), (0, 1, 0)]], np.float32), rule)
    assert short[0, 0].tolist() == [128, 128, 255]
    assert short[0, 1].tolist() == short[0, 2].tolist() == [128, 255, 128]

"""The menus of schedulers, noise levels and number formats are the protocol's, and mean what they meant."""

from typing import Any

import pytest
from test_generation import seen, upload
from underpaint.addon.generation import Settings, build_request
from underpaint.addon.samplers import PRECISIONS, SCHEDULERS, SIGMAS, scheduler_label, sigmas_label
from underpaint.protocol.request import Precision, Scheduler, Sigmas


def test_every_one_is_in_its_menu_once() -> None:
    for items, kind in ((SCHEDULERS, Scheduler), (SIGMAS, Sigmas), (PRECISIONS, Precision)):
        entries = [item for item in items if item[0]]
        assert sorted(identifier for identifier, *_ in entries) == sorted(kind.__members__)
        assert len({number for *_, number in entries}) == len(entries)
        assert len({label for _, label, *_ in entries}) == len(entries)
    assert len(Scheduler) == 18
    assert [scheduler_label(Scheduler.DPMPP_2M), sigmas_label(Sigmas.KARRAS)] == ["DPM++ 2M", "Karras"]


def test_a_file_of_before_means_what_it_meant(scene: Any) -> None:
    """The numbers that files keep never change."""
    before = ("UNIPC", "DPMPP_2M", "EULER", "EULER_ANCESTRAL", "DDIM", "HEUN", "PNDM", "LMS")
    assert scene.underpaint.scheduler == "UNIPC"
    for number, identifier in enumerate(before):
        scene.underpaint["scheduler"] = number
        assert scene.underpaint.scheduler == identifier
        assert Settings.from_scene(scene).scheduler is Scheduler[identifier]


@pytest.mark.parametrize("scheduler", Scheduler)
def test_each_can_be_chosen(scene: Any, scheduler: Scheduler) -> None:
    scene.underpaint.scheduler = scheduler.name
    assert build_request(Settings.from_scene(scene), seen(), upload).scheduler is scheduler


@pytest.mark.parametrize("sigmas", Sigmas)
def test_noise_levels_can_be_chosen(scene: Any, sigmas: Sigmas) -> None:
    scene.underpaint.sigmas = sigmas.name
    assert build_request(Settings.from_scene(scene), seen(), upload).sigmas is sigmas

"""Schedulers by their protocol names."""

from typing import Any

import diffusers
import pytest
from underpaint.backend.worker.sampling.schedulers import TITLES, make_scheduler, step_options, takes
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.request import Scheduler, Sigmas

SD15: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
FLAGS = {
    "use_karras_sigmas": Sigmas.KARRAS,
    "use_exponential_sigmas": Sigmas.EXPONENTIAL,
    "use_beta_sigmas": Sigmas.BETA,
}


def test_every_scheduler_has_a_title_of_its_own() -> None:
    assert set(TITLES) == set(Scheduler)
    assert len(set(TITLES.values())) == len(Scheduler)


@pytest.mark.parametrize("scheduler", list(Scheduler), ids=lambda value: value.name.lower())
def test_a_scheduler_is_diffusers_own_with_the_checkpoints_schedule(scheduler: Scheduler) -> None:
    made = make_scheduler(scheduler, {**SD15, "prediction_type": "v_prediction"})
    assert type(made) is getattr(diffusers, scheduler.value.partition("/")[0])
    assert made.config.beta_end == 0.012
    assert made.config.prediction_type == "v_prediction"
    assert made.config["_class_name"] == type(made).__name__


@pytest.mark.parametrize("scheduler", list(Scheduler), ids=lambda value: value.name.lower())
@pytest.mark.parametrize("sigmas", [Sigmas.KARRAS, Sigmas.EXPONENTIAL, Sigmas.BETA])
def test_sigmas_are_set_or_refused(scheduler: Scheduler, sigmas: Sigmas) -> None:
    # Whatever the checkpoint has set: diffusers refuses two at a time, and prefers some to others.
    config = {**SD15, "use_karras_sigmas": True, "use_lu_lambdas": True}
    if takes(scheduler, sigmas):
        made = make_scheduler(scheduler, config, sigmas)
        assert {flag: made.config[flag] for flag in FLAGS} == {flag: FLAGS[flag] is sigmas for flag in FLAGS}
        assert not made.config.get("use_lu_lambdas")
    else:
        with pytest.raises(InvalidRequest) as refused:
            make_scheduler(scheduler, config, sigmas)
        assert TITLES[scheduler] in str(refused.value)
        assert TITLES[Scheduler.UNIPC] in str(refused.value)


def test_which_schedulers_have_only_their_own_sigmas() -> None:
    fixed = {scheduler for scheduler in Scheduler if not takes(scheduler, Sigmas.KARRAS)}
    assert fixed == {
        Scheduler.EULER_ANCESTRAL,
        Scheduler.PNDM,
        Scheduler.DDIM,
        Scheduler.DDPM,
        Scheduler.LCM,
        Scheduler.TCD,
    }
    for scheduler in Scheduler:
        assert takes(scheduler, Sigmas.DEFAULT)
        assert len({takes(scheduler, sigmas) for sigmas in FLAGS.values()}) == 1


def test_trailing_steps_begin_at_pure_noise() -> None:
    """As Lightning and its like were distilled; the checkpoint's config says otherwise, and its Karras sigmas go."""
    for config in (SD15, {**SD15, "use_karras_sigmas": True, "timestep_spacing": "leading"}):
        made = make_scheduler(Scheduler.EULER, config, Sigmas.TRAILING)
        stock = diffusers.EulerDiscreteScheduler.from_config(
            {**config, "use_karras_sigmas": False}, timestep_spacing="trailing"
        )
        for scheduler in (made, stock):
            scheduler.set_timesteps(4)
        assert made.timesteps.tolist() == stock.timesteps.tolist() == [999, 749, 499, 249]
        assert made.sigmas.tolist() == stock.sigmas.tolist()


def test_which_schedulers_have_no_spacing() -> None:
    fixed = {scheduler for scheduler in Scheduler if not takes(scheduler, Sigmas.TRAILING)}
    assert fixed == {Scheduler.DPMPP_2S, Scheduler.LCM, Scheduler.TCD}
    with pytest.raises(InvalidRequest, match="trailing"):
        make_scheduler(Scheduler.LCM, SD15, Sigmas.TRAILING)


def test_default_sigmas_are_the_checkpoints() -> None:
    assert make_scheduler(Scheduler.DPMPP_2M, {**SD15, "use_karras_sigmas": True}).config.use_karras_sigmas


def test_a_name_keeps_its_word_whatever_the_checkpoint_says() -> None:
    config = {**SD15, "algorithm_type": "sde-dpmsolver++", "solver_order": 3}
    kinds = {
        scheduler: (made.config.algorithm_type, made.config.solver_order)
        for scheduler in (Scheduler.DPMPP_2M, Scheduler.DPMPP_2M_SDE, Scheduler.DPMPP_3M, Scheduler.DPMPP_2S)
        for made in [make_scheduler(scheduler, config)]
    }
    assert kinds == {
        Scheduler.DPMPP_2M: ("dpmsolver++", 2),
        Scheduler.DPMPP_2M_SDE: ("sde-dpmsolver++", 2),
        Scheduler.DPMPP_3M: ("dpmsolver++", 3),
        Scheduler.DPMPP_2S: ("dpmsolver++", 2),
    }


def test_the_checkpoints_config_is_left_alone() -> None:
    config = dict(SD15)
    make_scheduler(Scheduler.DPMPP_2M_SDE, config, Sigmas.KARRAS)
    assert config == SD15


def test_tcd_keeps_its_noise() -> None:
    assert step_options(Scheduler.TCD) == {"eta": 0.3}
    assert step_options(Scheduler.DDIM) == {}


def test_a_scheduler_is_nobody_elses() -> None:
    first, second = (make_scheduler(Scheduler.PNDM, SD15) for _ in range(2))
    first.set_timesteps(5)
    assert len(first.timesteps) == 6
    assert second.timesteps is None

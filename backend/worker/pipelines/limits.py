"""What diffusers' own pipelines can't do for a family, said before anything is loaded. No torch."""

from collections.abc import Sequence
from typing import Any

from ....protocol.errors import InvalidRequest
from ....protocol.request import ControlKind, GenerateRequest, Scheduler, Seamless, Sigmas
from ..families import Family, Nets, Stock, Way
from ..models import stock_nets
from ..models.choice import NetChoice
from ..models.inspection import CheckpointInfo
from ..sampling import prompt_syntax

# Flow-matching models are trained for straight ways, which Euler follows. UniPC is what a request says that says
# nothing, and so stands for whatever the family is painted with.
SCHEDULERS = (Scheduler.EULER, Scheduler.UNIPC)

SIGMAS = {
    Sigmas.KARRAS: "use_karras_sigmas",
    Sigmas.EXPONENTIAL: "use_exponential_sigmas",
    Sigmas.BETA: "use_beta_sigmas",
}
"""Key of the scheduler's config; the default is the family's own shift."""


def way(request: GenerateRequest, *, controlled: bool) -> Way:
    """What the picture is made from; `controlled` where a control counts at any step."""
    start = request.start
    if start is None:
        return Way.CONTROL if controlled else Way.TEXT
    if start.mask is None:
        return Way.CONTROL_IMAGE if controlled else Way.IMAGE
    return Way.CONTROL_INPAINT if controlled else Way.INPAINT


def evaluations(request: GenerateRequest) -> int:
    """Steps that are done: all, or those that `strength` leaves, by these pipelines' rule (`get_timesteps`)."""
    if request.start is None:
        return request.steps
    return request.steps - int(max(request.steps - min(request.steps * request.start.strength, request.steps), 0))


def check(request: GenerateRequest, checkpoint: CheckpointInfo) -> None:
    """Raise InvalidRequest for what the family can't do, whichever ControlNets are chosen."""
    family = checkpoint.family
    stock = stock_of(family)
    side = stock.multiple_px
    if request.size.width % side or request.size.height % side:
        nearest = " x ".join(
            str(max(side, round(px / side) * side)) for px in (request.size.width, request.size.height)
        )
        raise InvalidRequest(
            reason=f"{family.title} paints sides that are multiples of {side}, and the picture is "
            f"{request.size.width} x {request.size.height}. The nearest is {nearest}"
        )
    if request.steps < 2 and checkpoint.scheduler_config.get("shift_terminal"):
        raise InvalidRequest(  # the scheduler would stretch its steps to an end that a single one doesn't have
            reason=f"{family.title} can't make a picture in one step; take two at least"
        )
    if request.scheduler not in SCHEDULERS:
        raise InvalidRequest(
            reason=f"{family.title} is a flow-matching model, which {request.scheduler.value.partition('/')[0]} isn't "
            "made for. Choose Euler"
        )
    if request.sigmas is not Sigmas.DEFAULT and request.sigmas not in SIGMAS:
        raise InvalidRequest(
            reason=f"{family.title} is a flow-matching model, which {request.sigmas} sigmas aren't made for. Choose "
            f"{Sigmas.DEFAULT}, {', '.join(SIGMAS)}"
        )
    for asked, what, instead in (
        (request.second_pass is not None, "a second pass", "paint at the full size at once"),
        (_names_loras(request), "LoRAs in the prompt", "put them into the list"),
        (bool(request.embeddings), "textual inversions", "remove them"),
        (bool(request.image_prompts), "image prompts", "remove them, or take the picture as the start picture"),
        (bool(request.vae), "a VAE other than the checkpoint's", "leave the VAE empty"),
        (request.clip_skip > 0, "clip skip", "set it to 0"),
        (request.seamless is not Seamless.OFF, "seamless pictures", "switch them off"),
        (bool(request.safety_checker), "a safety checker", "leave it empty"),
        (any(control.guess_mode for control in request.controls), "guess mode", "switch it off in the controls"),
    ):
        if asked:
            raise InvalidRequest(reason=f"{family.title} doesn't do {what} here: {instead}")


def _names_loras(request: GenerateRequest) -> bool:
    """Whether a prompt holds such a tag as other programs read; plain prompts are words alone."""
    texts = (text for each in request.pictures for text in (each.prompt, each.negative_prompt))
    return not request.plain_prompt and any(prompt_syntax.parse(text).loras for text in texts)


def check_nets(request: GenerateRequest, checkpoint: CheckpointInfo, used: Sequence[tuple[int, NetChoice]]) -> None:
    """Raise InvalidRequest for controls that the family's pipelines can't combine.

    `used` holds the places of the controls that count at any step, and their ControlNets.
    """
    family = checkpoint.family
    stock = stock_of(family)
    asked = way(request, controlled=bool(used))
    if asked not in stock.ways:
        able = ", ".join(sorted(stock.ways))
        raise InvalidRequest(reason=f"{family.title} has no pipeline for {asked}. It does {able}")
    most = family.most_controls
    if most is not None and len(used) > most:
        only = "one control" if most == 1 else f"{most} controls"
        raise InvalidRequest(reason=f"{family.title} takes {only}, and {len(used)} are switched on")
    nets = {choice.info.key: choice.info for _, choice in used}
    if stock.nets is Nets.ONE_NET and len(nets) > 1:
        raise InvalidRequest(
            reason=f"{family.title} takes several controls through one union ControlNet only, and {len(nets)} are "
            "chosen. Choose the same union net for all of them"
        )
    if len({_make(info.config) for info in nets.values()}) > 1:
        raise InvalidRequest(
            reason=f"the ControlNets for {family.title} are of two makes, which take their pictures in different ways. "
            "Choose such as are of one make"
        )
    _check_filling(request, family, stock, asked, used)


def _make(config: dict[str, Any]) -> tuple[object, ...]:
    """What of a net's config the pipelines look up in the first of several, and take for all of them."""
    return (
        config.get("conditioning_embedding_channels") is None,
        config.get("joint_attention_dim") is None,
        config.get("force_zeros_for_pooled_projection"),
        config.get("guidance_embeds"),
    )


def _check_filling(
    request: GenerateRequest, family: Family, stock: Stock, asked: Way, used: Sequence[tuple[int, NetChoice]]
) -> None:
    """Nets that take a mask, and pipelines that need such a net."""
    if not stock.fills_key:
        return
    for index, choice in used:
        name, kind = choice.info.name, request.controls[index].kind
        fills = stock_nets.fills_holes(family, choice.info.config)
        if stock.fills_only and fills != (kind is ControlKind.INPAINT):
            made = "made for inpainting" if fills else "not made for inpainting"
            raise InvalidRequest(reason=f'the ControlNet "{name}" is {made}, and the control is {kind}')
        if fills and stock.fills_only and asked is not Way.CONTROL_INPAINT:
            raise InvalidRequest(reason=f'the ControlNet "{name}" fills holes: give a start picture with a mask')
        if not fills and asked is Way.CONTROL_INPAINT:
            raise InvalidRequest(
                reason=f'{family.title} inpaints with a control only by a ControlNet that takes the mask, and "{name}" '
                "doesn't. Choose an inpainting net, or remove the control"
            )
    if asked is Way.CONTROL_INPAINT:
        if len(used) > 1:
            raise InvalidRequest(reason=f"{family.title} inpaints with one control, and {len(used)} are switched on")
        if request.start is not None and request.start.strength < 1:
            raise InvalidRequest(
                reason=f"{family.title} paints a hole anew from noise where a ControlNet fills it. Set the start "
                "picture's strength to 1"
            )


def stock_of(family: Family) -> Stock:
    """How diffusers' pipelines paint the family, which must be one that they paint."""
    assert family.stock is not None, family.id
    return family.stock

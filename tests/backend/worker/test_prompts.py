"""What the prompt cache asks of the text encoders, and what it makes of their answers. The encoders are made up."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from underpaint.backend.worker.sampling.prompts import PromptCache, TextEncoders, stacked
from underpaint.protocol.request import Variant


class Encoders:
    """Gives each text numbers of its own, and another checkpoint others."""

    def __init__(self, *, pooled: bool = False, shift: float = 0.0) -> None:
        self.asked: list[str] = []
        self._pooled, self._shift = pooled, shift

    def encode_prompt(self, prompt: str, **_: object) -> tuple[Any, ...]:
        self.asked.append(prompt)
        text = torch.full((1, 77, 4), number(prompt) + self._shift)
        return (text, None, text[:, 0, :2], None) if self._pooled else (text, None)


def number(text: str) -> float:
    return float(sum(text.encode())) + 1


def through(encoders: Encoders, *key: object, zeros: bool = False) -> TextEncoders:
    return TextEncoders(pipeline=encoders, device=torch.device("cpu"), key=key, zeros_for_empty=zeros)


def encode(cache: PromptCache, encoders: TextEncoders, pictures: Sequence[Variant], *, guided: bool = True) -> Any:
    return stacked(cache.encode(encoders, pictures, guided=guided, before_each=lambda: None), device="cpu")


def test_negative_prompts_of_all_pictures_come_before_their_prompts() -> None:
    pictures = [Variant(prompt="a", negative_prompt="b", seed=0), Variant(prompt="c", negative_prompt="d", seed=0)]
    found = encode(PromptCache(), through(Encoders(pooled=True)), pictures)
    expected = [number(text) for text in "bdac"]
    assert found.text[:, 0, 0].tolist() == found.pooled[:, 0].tolist() == expected
    unguided = encode(PromptCache(), through(Encoders()), pictures, guided=False)
    assert unguided.text[:, 0, 0].tolist() == [number("a"), number("c")]
    assert unguided.pooled is None


def test_another_checkpoint_or_number_format_encodes_the_same_text_anew() -> None:
    cache, pictures = PromptCache(), [Variant(prompt="a", seed=0)]
    for shift, key in enumerate((("one", "float32"), ("other", "float32"), ("one", "float16"))):
        encoders = Encoders(shift=shift)
        assert not cache.knows(through(encoders, *key), pictures, guided=False)
        found = encode(cache, through(encoders, *key), pictures, guided=False)
        assert found.text[0, 0, 0] == number("a") + shift
        assert cache.knows(through(encoders, *key), pictures, guided=False)
    assert cache.encoded == 3


@pytest.mark.parametrize("zeros", [False, True])
def test_encoders_are_known_not_to_be_needed_only_where_they_are_not(zeros: bool) -> None:
    cache, encoders = PromptCache(), Encoders(pooled=True)
    place = through(encoders, zeros=zeros)
    with_negative = [Variant(prompt="a", negative_prompt="b", seed=0)]
    encode(cache, place, with_negative, guided=False)
    assert not cache.knows(place, with_negative, guided=True)
    empty = [Variant(prompt="a", negative_prompt="", seed=0)]
    assert cache.knows(place, empty, guided=True) is zeros
    encoders.asked.clear()
    found = encode(cache, place, empty)
    assert encoders.asked == ([] if zeros else [""])
    assert found.text[0, 0, 0] == found.pooled[0, 0] == (0 if zeros else number(""))
    assert cache.knows(place, empty, guided=True)


def test_what_is_raised_between_prompts_ends_it() -> None:
    cache, encoders = PromptCache(), Encoders()

    def stop() -> None:
        if encoders.asked:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        cache.encode(
            through(encoders), [Variant(prompt=text, seed=0) for text in "abc"], guided=False, before_each=stop
        )
    assert encoders.asked == ["a"]

"""What the prompt cache asks of the text encoders, and what it makes of their answers."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from clip_stages import sd15, sdxl, stages
from underpaint.backend.worker.sampling import clip_text
from underpaint.backend.worker.sampling.prompt_syntax import plain
from underpaint.backend.worker.sampling.prompts import (
    Encoded,
    EncodedPicture,
    PromptCache,
    TextEncoders,
    evenly,
    stacked,
)
from underpaint.protocol.request import Variant


class Encoders:
    """Real ones, which count how often they are called."""

    def __init__(self, *, pooled: bool = False, shift: float = 0.0) -> None:
        self.asked = 0
        self.stages = stages(sdxl() if pooled else sd15())
        self.pooled = pooled
        first = self.stages[0].encoder
        first.get_input_embeddings().weight.data += shift
        first.register_forward_pre_hook(self._count)

    def _count(self, *_: object) -> None:
        self.asked += 1

    def text(self, prompt: str) -> tuple[Any, Any]:
        return clip_text.encode(self.stages, plain(prompt), pooled=self.pooled, clip_skip=0, device="cpu")


def through(encoders: Encoders, *key: object, zeros: bool = False, **options: Any) -> TextEncoders:
    return TextEncoders(
        stages=encoders.stages,
        device=torch.device("cpu"),
        key=key,
        pooled=encoders.pooled,
        zeros_for_empty=zeros,
        **options,
    )


def encode(cache: PromptCache, encoders: TextEncoders, pictures: Sequence[Variant], *, guided: bool = True) -> Any:
    return stacked(cache.encode(encoders, pictures, guided=guided, before_each=lambda: None), device="cpu")


def test_negative_prompts_of_all_pictures_come_before_their_prompts() -> None:
    pictures = [Variant(prompt="a", negative_prompt="b", seed=0), Variant(prompt="c", negative_prompt="d", seed=0)]
    encoders = Encoders(pooled=True)
    found = encode(PromptCache(), through(encoders), pictures)
    expected = [encoders.text(text) for text in "bdac"]
    assert torch.equal(found.text, torch.cat([text for text, _ in expected]))
    assert torch.equal(found.pooled, torch.cat([pooled for _, pooled in expected]))
    plain_encoders = Encoders()
    unguided = encode(PromptCache(), through(plain_encoders), pictures, guided=False)
    assert torch.equal(unguided.text, torch.cat([plain_encoders.text(text)[0] for text in "ac"]))
    assert unguided.pooled is None


def test_whatever_changes_a_text_s_embeddings_encodes_it_anew() -> None:
    cache, pictures, seen = PromptCache(), [Variant(prompt="a (b)", seed=0)], []
    other = Encoders(shift=0.5)
    encoders = Encoders()
    for place in (
        through(encoders, "one", "float32"),
        through(other, "other", "float32"),
        through(other, "other", "float16"),
        through(encoders, "one", "float32", clip_skip=1),
        through(encoders, "one", "float32", clip_skip=2),
        through(encoders, "one", "float32", plain=True),
    ):
        assert not cache.knows(place, pictures, guided=False)
        seen.append(encode(cache, place, pictures, guided=False).text)
        assert cache.knows(place, pictures, guided=False)
    assert cache.encoded == 6
    assert torch.equal(seen[1], seen[2])
    distinct = [seen[0], seen[1], *seen[3:]]
    assert not any(torch.equal(a, b) for place, a in enumerate(distinct) for b in distinct[:place])


@pytest.mark.parametrize("zeros", [False, True])
def test_encoders_are_known_not_to_be_needed_only_where_they_are_not(zeros: bool) -> None:
    cache, encoders = PromptCache(), Encoders(pooled=True)
    place = through(encoders, zeros=zeros)
    with_negative = [Variant(prompt="a", negative_prompt="b", seed=0)]
    encode(cache, place, with_negative, guided=False)
    assert not cache.knows(place, with_negative, guided=True)
    empty = [Variant(prompt="a", negative_prompt="", seed=0)]
    assert cache.knows(place, empty, guided=True) is zeros
    encoders.asked = 0
    found = encode(cache, place, empty)
    assert encoders.asked == (0 if zeros else 1)
    text, pooled = encoders.text("")
    assert torch.equal(found.text[:1], torch.zeros_like(text) if zeros else text)
    assert torch.equal(found.pooled[:1], torch.zeros_like(pooled) if zeros else pooled)
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
    assert encoders.asked == 1


def picture(positive: int, negative: int) -> EncodedPicture:
    """Of so many chunks, each of other numbers."""

    def text(chunks: int) -> Encoded:
        return Encoded(text=torch.randn(1, 77 * chunks, 4), pooled=None)

    return EncodedPicture(positive=text(positive), negative=text(negative))


def test_prompts_of_several_lengths_are_repeated_whole() -> None:
    rows = [picture(3, 1), picture(2, 1)]
    assert evenly(rows)
    found = stacked(rows, device="cpu").text
    assert found.shape == (4, 6 * 77, 4)
    assert torch.equal(found[2], rows[0].positive.text[0].repeat(2, 1))
    assert torch.equal(found[3], rows[1].positive.text[0].repeat(3, 1))
    assert torch.equal(found[0], rows[0].negative.text[0].repeat(6, 1))


def test_attention_sees_a_repeated_text_as_the_text_itself() -> None:
    torch.manual_seed(0)
    query, text = torch.randn(1, 5, 8), torch.randn(1, 77, 8)
    attend = torch.nn.functional.scaled_dot_product_attention
    once, thrice = attend(query, text, text), attend(query, text.repeat(1, 3, 1), text.repeat(1, 3, 1))
    torch.testing.assert_close(once, thrice, rtol=0, atol=1e-6)


def test_lengths_without_a_common_multiple_within_reason_are_repeated_in_part() -> None:
    rows = [picture(5, 7), picture(9, 7)]
    assert not evenly(rows)
    found = stacked(rows, device="cpu").text
    assert found.shape == (4, 9 * 77, 4)
    assert torch.equal(found[2], rows[0].positive.text[0].repeat(2, 1)[: 9 * 77])

"""Our way through CLIP's text encoders beside diffusers' own, and beside transformers' modules called by hand."""

from typing import Any

import pytest
import torch
from clip_stages import LAYERS, encoder, sd15, sdxl, stages, tokenizer
from underpaint.backend.worker.models.embeddings import Lexicon
from underpaint.backend.worker.sampling.chunks import Chunk, chunks
from underpaint.backend.worker.sampling.clip_text import Stage, encode
from underpaint.backend.worker.sampling.prompt_syntax import parse, plain

SHORT = ("", "a cat", "A Cat, on 2 mats;   naïve — 日本", "x" * 60, "a:b, c.d! \t e\n f", "\\", "  leading", "75" * 30)


def stock(pipeline: Any, prompt: str) -> tuple[Any, Any]:
    with torch.inference_mode():
        found = pipeline.encode_prompt(
            prompt=prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
    return found[0], found[2] if len(found) == 4 else None


def ours(pipeline: Any, prompt: str, *, clip_skip: int = 0, as_written: bool = False) -> tuple[Any, Any]:
    return encode(
        stages(pipeline),
        plain(prompt) if as_written else parse(prompt),
        pooled=hasattr(pipeline, "text_encoder_2"),
        clip_skip=clip_skip,
        device="cpu",
    )


@pytest.mark.parametrize("make", [sd15, sdxl])
@pytest.mark.parametrize("prompt", SHORT)
def test_a_short_prompt_is_diffusers_own_to_the_bit(make: Any, prompt: str) -> None:
    pipeline = make()
    expected, pooled = stock(pipeline, prompt)
    for as_written in (False, True):
        found, found_pooled = ours(pipeline, prompt, as_written=as_written)
        if not as_written and "\\" in prompt:
            continue
        assert torch.equal(found, expected)
        assert pooled is None or torch.equal(found_pooled, pooled)


@pytest.mark.parametrize("make", [sd15, sdxl])
def test_a_plain_prompt_is_taken_literally(make: Any) -> None:
    prompt = "((a)) [b] (c:1.3) \\( <lora:x:1> BREAK AND"
    pipeline = make()
    assert torch.equal(ours(pipeline, prompt, as_written=True)[0], stock(pipeline, prompt)[0])
    assert not torch.equal(ours(pipeline, prompt)[0][:, :77], stock(pipeline, prompt)[0])


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_clip_skip_takes_an_earlier_layer_and_the_norm_after_the_last(skip: int) -> None:
    pipeline = sd15()
    model, ids = pipeline.text_encoder, chunks(plain("a cat"), pipeline.tokenizer)[0].ids
    with torch.inference_mode():
        states = model.embeddings(input_ids=torch.tensor([ids]))
        mask = torch.full((len(ids), len(ids)), float("-inf")).triu(1)[None, None]
        for layer in model.encoder.layers[: LAYERS - skip]:
            states = layer(states, mask)
        expected = model.final_layer_norm(states)
    found, _ = ours(pipeline, "a cat", clip_skip=skip)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert not torch.equal(found, ours(pipeline, "a cat")[0])


@pytest.mark.parametrize("skip", [1, 2])
def test_clip_skip_of_sdxl_counts_from_the_layer_that_it_takes_anyway(skip: int) -> None:
    """As diffusers has it, whose `encode_prompt` works for SDXL; the pooled text is that of the last layer."""
    pipeline = sdxl()
    with torch.inference_mode():
        expected, _, pooled, _ = pipeline.encode_prompt(
            prompt="a cat", device="cpu", do_classifier_free_guidance=False, clip_skip=skip
        )
    found, found_pooled = ours(pipeline, "a cat", clip_skip=skip)
    assert torch.equal(found, expected)
    assert torch.equal(found_pooled, pooled)
    assert torch.equal(found_pooled, ours(pipeline, "a cat")[1])


def by_hand(pipeline: Any, chunk: Chunk) -> Any:
    """The last layer's, weighted as A1111's `EmphasisOriginal` does it."""
    with torch.inference_mode():
        found = pipeline.text_encoder(torch.tensor([chunk.ids]))[0]
    before = found.mean()
    found = found * torch.tensor(chunk.weights)[None, :, None]
    return found * (before / found.mean())


def test_weights_multiply_and_the_mean_stays() -> None:
    pipeline = sd15()
    prompt = "a (cat:1.3) on [a mat]"
    (chunk,) = chunks(parse(prompt), pipeline.tokenizer)
    found, _ = ours(pipeline, prompt)
    expected = by_hand(pipeline, chunk)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.mean(), ours(pipeline, "a cat on a mat")[0].mean(), rtol=1e-4, atol=1e-6)
    # with spaces where the brackets were: the same words
    assert chunk.ids == chunks(parse("a cat on a mat"), pipeline.tokenizer)[0].ids


def test_a_mean_that_says_nothing_is_not_kept() -> None:
    """Weights that turn a chunk's mean round would blow all of it up."""
    pipeline = sd15()
    found, _ = ours(pipeline, "(a cat:-90) b")
    (chunk,) = chunks(parse("(a cat:-90) b"), pipeline.tokenizer)
    with torch.inference_mode():
        plain_text = pipeline.text_encoder(torch.tensor([chunk.ids]))[0]
    assert torch.equal(found, plain_text * torch.tensor(chunk.weights)[None, :, None])


def test_long_prompts_are_chunks_side_by_side() -> None:
    for make in (sd15, sdxl):
        pipeline = make()
        prompt = "word " * 40  # of four tokens each
        found, pooled = ours(pipeline, prompt)
        assert found.shape[1] == 3 * 77
        cut = chunks(parse(prompt), pipeline.tokenizer)
        assert [sum(one != pipeline.tokenizer.eos_token_id for one in chunk.ids) for chunk in cut] == [76, 76, 11]
        alone, alone_pooled = ours(pipeline, "word " * 18)
        assert not torch.equal(found[:, :77], alone)
        ahead, ahead_pooled = ours(pipeline, "word " * 40 + "BREAK and more")
        assert torch.equal(ahead[:, : 3 * 77], found)
        assert torch.equal(ahead[:, 3 * 77 :], ours(pipeline, "and more")[0])
        if pooled is not None:
            assert torch.equal(pooled, ahead_pooled)
            assert not torch.equal(pooled, alone_pooled)


def test_vectors_stand_where_their_word_was_and_leave_nothing_behind() -> None:
    model, words = encoder(), tokenizer()
    vectors = torch.randn(3, 16)
    stage = Stage(tokenizer=words, encoder=model, words=Lexicon(vectors={"<cat>": vectors}))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found, _ = encode((stage,), parse("a (<cat>:1.2) here"), pooled=False, clip_skip=0, device="cpu")
    (chunk,) = chunks(parse("a (<cat>:1.2) here"), words, stage.words)
    assert chunk.placed[0].position == 2
    assert chunk.weights[:6] == (1, 1, 1.2, 1.2, 1.2, 1)
    assert len(words) == len(tokenizer())
    assert not model.get_input_embeddings()._forward_hooks
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    without, _ = encode((stage,), parse("a (cat:1.2) here"), pooled=False, clip_skip=0, device="cpu")
    assert not torch.equal(found, without)


@pytest.mark.parametrize("eos", [514, 2])
def test_the_pooled_text_is_found_whatever_the_vectors(eos: int) -> None:
    """CLIP finds the end by its id, or in old configs by the largest id; neither is a vector's place."""
    model = encoder(24, projects=True, eos=eos if eos == 2 else 513)
    stage = Stage(tokenizer=tokenizer(), encoder=model, words=Lexicon(vectors={"w": torch.randn(1, 24)}))
    found, pooled = encode((stage,), parse("a w b"), pooled=True, clip_skip=0, device="cpu")
    with torch.inference_mode():
        ids = torch.tensor([chunks(parse("a w b"), tokenizer(), stage.words)[0].ids])
        end = int((ids[0] == 513).nonzero()[0])
        embedded = model.get_input_embeddings()(ids)
        embedded[0, 2] = stage.words.vectors["w"][0]  # type: ignore[union-attr]
        inner = model.text_model
        states = embedded + inner.embeddings.position_embedding.weight[None, :77]
        mask = torch.full((77, 77), float("-inf")).triu(1)[None, None]
        for layer in inner.encoder.layers:
            states = layer(states, mask)
        expected = model.text_projection(inner.final_layer_norm(states)[:, end])
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-5)
    assert found.shape == (1, 77, 24)

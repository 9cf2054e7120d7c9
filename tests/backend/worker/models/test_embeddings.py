"""Textual inversions beside diffusers' own, and what of them is refused or left out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from clip_stages import sd15 as sd15_pipeline
from clip_stages import sdxl as sdxl_pipeline
from clip_stages import stages
from safetensors.torch import save_file
from underpaint.backend.worker.models import embeddings
from underpaint.backend.worker.models.embeddings import Lexicon
from underpaint.backend.worker.models.inspection import CheckpointInfo, inspect_checkpoint
from underpaint.backend.worker.sampling import clip_text
from underpaint.backend.worker.sampling.clip_text import Stage
from underpaint.backend.worker.sampling.prompt_syntax import parse
from underpaint.protocol.errors import AdapterMismatch, InvalidRequest, ModelBroken, ModelMissing, ModelPickled
from underpaint.protocol.request import Embedding


@pytest.fixture(scope="module")
def sd15(models: Path) -> CheckpointInfo:
    return inspect_checkpoint(next((models / "embedded").iterdir()), "")


@pytest.fixture(scope="module")
def sdxl(models: Path) -> CheckpointInfo:
    return inspect_checkpoint(models / "sdxl", "sdxl")


def save(file: Path, **tensors: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)
    return file


def choose(
    info: CheckpointInfo, models: Path, prompt: str = "", *wanted: Embedding, plain: bool = False
) -> tuple[dict[str, set[str]], tuple[str, ...]]:
    """The names of the files that are called up, with the words that do, and the notes."""
    found, notes = embeddings.choose(wanted, [prompt], info, models=models, plain=plain)
    return {choice.file.stem: set(choice.words) for choice in found}, notes


# ------------------------------------------------------------------------------------------------ the oracle


def encoded(pipeline: Any, vectors: dict[str, Any], prompt: str) -> tuple[Any, Any]:
    """Ours, with vectors for one word by encoder."""
    with_words = [
        Stage(tokenizer=stage.tokenizer, encoder=stage.encoder, words=Lexicon(vectors={"<cat-toy>": vectors[name]}))
        for stage, name in zip(stages(pipeline), ("text_encoder", "text_encoder_2"), strict=False)
    ]
    return clip_text.encode(with_words, parse(prompt), pooled=len(with_words) > 1, clip_skip=0, device="cpu")


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("prompt", ["a <cat-toy> on a mat", "<cat-toy>", "two <cat-toy>, and <cat-toy> more"])
def test_a_word_s_vectors_do_what_they_do_in_diffusers(count: int, prompt: str) -> None:
    vectors = torch.randn(count, 16)
    theirs, ours = sd15_pipeline(), sd15_pipeline()
    theirs.tokenizer = type(theirs.tokenizer).from_pretrained(theirs.tokenizer.name_or_path)  # it is to be changed
    theirs.load_textual_inversion({"<cat-toy>": vectors}, token="<cat-toy>")
    with torch.inference_mode():
        expected = theirs.encode_prompt(prompt, "cpu", 1, False)[0]
    found, _ = encoded(ours, {"text_encoder": vectors}, prompt)
    assert torch.equal(found, expected)


def test_sdxl_has_vectors_for_each_encoder() -> None:
    vectors = {"text_encoder": torch.randn(2, 16), "text_encoder_2": torch.randn(2, 24)}
    theirs, ours = sdxl_pipeline(), sdxl_pipeline()
    for name, tokenizer in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        own = getattr(theirs, tokenizer)
        fresh = type(own).from_pretrained(own.name_or_path, pad_token=own.pad_token)
        setattr(theirs, tokenizer, fresh)
        theirs.load_textual_inversion(
            {"<cat-toy>": vectors[name]}, token="<cat-toy>", text_encoder=getattr(theirs, name), tokenizer=fresh
        )
    with torch.inference_mode():
        expected, _, pooled, _ = theirs.encode_prompt(
            "a <cat-toy> on a mat", device="cpu", do_classifier_free_guidance=False
        )
    found, found_pooled = encoded(ours, vectors, "a <cat-toy> on a mat")
    assert torch.equal(found, expected)
    assert torch.equal(found_pooled, pooled)


# ------------------------------------------------------------------------------------------------ finding


def test_layouts_and_what_calls_them_up(sd15: CheckpointInfo, sdxl: CheckpointInfo, tmp_path: Path) -> None:
    a1111 = save(tmp_path / "a1111.safetensors", emb_params=torch.randn(2, 64))
    diffusers = save(tmp_path / "learned.safetensors", **{"<Cat-Toy>": torch.randn(64)})
    both = save(tmp_path / "both.safetensors", clip_l=torch.randn(2, 32), clip_g=torch.randn(2, 32))
    listed = (Embedding(embedding=str(a1111)), Embedding(embedding=str(diffusers)))
    assert choose(sd15, tmp_path, "", *listed) == (
        {"a1111": {"a1111", "embedding:a1111"}, "learned": {"<cat-toy>", "embedding:learned"}},
        (),
    )
    named = Embedding(embedding=str(a1111), token="My Word")
    assert choose(sd15, tmp_path, "", named)[0] == {"a1111": {"my word", "embedding:a1111"}}
    assert choose(sdxl, tmp_path, "", Embedding(embedding=str(both)))[0] == {"both": {"both", "embedding:both"}}


def test_prompts_call_up_what_lies_in_the_folders(sd15: CheckpointInfo, tmp_path: Path) -> None:
    save(tmp_path / "embeddings" / "EasyNegative.safetensors", emb_params=torch.randn(2, 64))
    save(tmp_path / "embeddings" / "sub" / "style.v1.safetensors", emb_params=torch.randn(1, 64))
    save(tmp_path / "elsewhere" / "other.safetensors", emb_params=torch.randn(1, 64))
    assert choose(sd15, tmp_path, "bad hands, easynegative")[0].keys() == {"EasyNegative"}
    assert choose(sd15, tmp_path, "easynegatives, uneasynegative")[0] == {}
    assert choose(sd15, tmp_path, "a (Style.V1:1.2)")[0].keys() == {"style.v1"}
    found, _ = choose(sd15, tmp_path, "(embedding:other:0.8), embedding:EasyNegative.")
    assert found == {
        "other": {"other", "embedding:other"},
        "EasyNegative": {"easynegative", "embedding:easynegative"},
    }
    assert choose(sd15, tmp_path, "embedding:sub/style.v1, x")[0]["style.v1"] >= {"embedding:sub/style.v1"}
    assert choose(sd15, tmp_path, "other")[0] == {}  # a bare word calls up what lies in a folder for them
    assert choose(sd15, tmp_path, "easynegative embedding:other", plain=True)[0] == {}


def test_a_bare_word_is_a_word_where_the_inversion_doesn_t_fit(sd15: CheckpointInfo, tmp_path: Path) -> None:
    save(tmp_path / "embeddings" / "wide.safetensors", emb_params=torch.randn(2, 1024))
    (tmp_path / "embeddings" / "broken.safetensors").write_bytes(b"nothing")
    found, notes = choose(sd15, tmp_path, "a wide and broken bridge")
    assert found == {}
    assert len(notes) == 2
    assert '"wide" was read as a word' in notes[1]
    assert "Stable Diffusion 2" in notes[1]
    with pytest.raises(AdapterMismatch, match="Stable Diffusion 2"):
        choose(sd15, tmp_path, "embedding:wide")


def test_what_is_asked_for_and_doesn_t_fit_is_refused(
    sd15: CheckpointInfo, sdxl: CheckpointInfo, tmp_path: Path
) -> None:
    def refused(info: CheckpointInfo, file: Path | str, error: type[Exception], word: str) -> None:
        with pytest.raises(error) as caught:
            choose(info, tmp_path, "", Embedding(embedding=str(file)))
        assert word in str(caught.value)

    both = save(tmp_path / "both.safetensors", clip_l=torch.randn(2, 768), clip_g=torch.randn(2, 1280))
    refused(sd15, both, AdapterMismatch, "Stable Diffusion XL")
    refused(sdxl, save(tmp_path / "one.safetensors", emb_params=torch.randn(2, 768)), AdapterMismatch, "Diffusion 1.5")
    refused(sd15, save(tmp_path / "odd.safetensors", emb_params=torch.randn(2, 5)), AdapterMismatch, "5 wide")
    refused(sd15, save(tmp_path / "lora.safetensors", a=torch.randn(2, 5), b=torch.randn(2, 5)), ModelBroken, "no text")
    refused(sd15, save(tmp_path / "deep.safetensors", emb_params=torch.randn(1, 2, 64)), ModelBroken, "no textual")
    refused(sd15, "no such", ModelMissing, "no textual inversion of that name")
    save(tmp_path / "Bad Hands.safetensors", emb_params=torch.randn(2, 64))
    refused(sd15, "badhands", ModelMissing, "did you mean Bad Hands")
    (tmp_path / "old.pt").write_bytes(b"\x80\x02")
    refused(sd15, "old", ModelPickled, "underpaint convert")


def test_two_that_share_a_word_are_refused(sd15: CheckpointInfo, tmp_path: Path) -> None:
    first = save(tmp_path / "a.safetensors", emb_params=torch.randn(2, 64))
    second = save(tmp_path / "b.safetensors", emb_params=torch.randn(2, 64))
    listed = [Embedding(embedding=str(first), token="word"), Embedding(embedding=str(second), token="WORD")]
    with pytest.raises(InvalidRequest, match='share the word "word"'):
        choose(sd15, tmp_path, "", *listed)
    assert choose(sd15, tmp_path, "", listed[0], listed[0])[0].keys() == {"a"}


def test_values_that_are_no_numbers_are_refused_as_they_are_read(sd15: CheckpointInfo, tmp_path: Path) -> None:
    vectors = torch.randn(2, 64)
    vectors[1, 3] = float("nan")
    file = save(tmp_path / "a.safetensors", emb_params=vectors)
    found, _ = embeddings.choose([Embedding(embedding=str(file))], [], sd15, models=tmp_path, plain=False)
    with pytest.raises(ModelBroken, match="no numbers"):
        embeddings.lexicons(found, ["text_encoder"])


def test_a_file_that_goes_away_or_changes_before_it_is_read_is_a_sentence(sd15: CheckpointInfo, tmp_path: Path) -> None:
    file = save(tmp_path / "a.safetensors", emb_params=torch.randn(2, 64))
    found, _ = embeddings.choose([Embedding(embedding=str(file))], [], sd15, models=tmp_path, plain=False)
    save(file, emb_params=torch.randn(3, 64))
    with pytest.raises(ModelBroken, match=r"a\.safetensors was changed while it was loaded; try again"):
        embeddings.lexicons(found, ["text_encoder"])
    file.unlink()
    with pytest.raises(ModelBroken, match=r"a\.safetensors could not be read"):
        embeddings.lexicons(found, ["text_encoder"])


def test_the_longest_name_counts_and_hides_what_is_in_it(sd15: CheckpointInfo, tmp_path: Path) -> None:
    for name in ("cat", "cat toy", "cat toy red"):
        save(tmp_path / "embeddings" / f"{name}.safetensors", emb_params=torch.randn(2, 64))
    assert choose(sd15, tmp_path, "a cat toy on a mat")[0].keys() == {"cat toy"}
    assert choose(sd15, tmp_path, "a cat toy red, a cat")[0].keys() == {"cat toy red", "cat"}


def test_half_precision_files_are_read(sd15: CheckpointInfo, tmp_path: Path) -> None:
    vectors = torch.randn(3, 64).bfloat16()
    file = save(tmp_path / "a.safetensors", emb_params=vectors)
    found, _ = embeddings.choose([Embedding(embedding=str(file))], [], sd15, models=tmp_path, plain=False)
    lexicon = embeddings.lexicons(found, ["text_encoder"])["text_encoder"]
    assert torch.equal(lexicon.vectors["a"], vectors.float())

"""The examples of docs/prompts.md are what happens."""

import re
from pathlib import Path

import pytest
import torch
from clip_stages import tokenizer
from safetensors.torch import save_file
from underpaint.backend.worker.models import embeddings
from underpaint.backend.worker.models.inspection import inspect_checkpoint
from underpaint.backend.worker.sampling.chunks import chunks
from underpaint.backend.worker.sampling.prompt_syntax import parse

_DOCUMENT = Path(__file__).parents[3] / "docs" / "prompts.md"


def rows(heading: str, table: int = 0) -> list[list[str]]:
    """The cells of a table's rows under a heading, without its head."""
    section = _DOCUMENT.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)[table].splitlines()[2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in found]
    return [[cell.strip("`").replace("\\|", "|") for cell in row] for row in cells]


def test_weights() -> None:
    examples = rows("Weights")
    assert len(examples) == 8
    for prompt, weight in examples:
        (span,) = [span for part in parse(prompt).parts for span in part if "red" in span.text]
        assert span.weight == pytest.approx(float(weight), abs=1e-4), prompt


def test_the_worked_example_adds_up() -> None:
    *tokens, means = rows("Weights", 1)
    columns = [[float(cell) for cell in row[1:]] for row in tokens]
    before, weighted, kept = (sum(column) / len(columns) for column in zip(*columns, strict=True))
    assert (before, weighted, kept) == pytest.approx([float(cell) for cell in means[1:]], abs=1e-3)
    for row in columns:
        assert row[2] == pytest.approx(row[1] * before / weighted, abs=1e-3)
    (span,) = [span for part in parse("a (red:1.3) hat").parts for span in part if "red" in span.text]
    assert columns[2][1] == pytest.approx(columns[2][0] * span.weight)


def test_chunks() -> None:
    for prompt, count in rows("Long prompts"):
        assert len(chunks(parse(prompt), tokenizer())) == int(count), prompt


def test_loras() -> None:
    for prompt, weight, text_weight in rows("LoRAs"):
        (tag,) = parse(prompt).loras
        found = tag.weight if tag.text_weight is None else tag.text_weight
        assert (tag.name, tag.weight, found) == ("felt", float(weight), float(text_weight)), prompt


def test_textual_inversion(models: Path, tmp_path: Path) -> None:
    info = inspect_checkpoint(next((models / "embedded").iterdir()), "")
    (tmp_path / "embeddings").mkdir()
    save_file({"emb_params": torch.zeros(1, 64)}, tmp_path / "embeddings" / "easynegative.safetensors")
    for prompt, called in rows("Textual inversion"):
        found, _ = embeddings.choose((), [prompt], info, models=tmp_path, plain=False)
        assert [choice.file.stem for choice in found] == ([] if called == "nothing" else [called]), prompt


def test_what_is_not_done_is_told() -> None:
    examples = rows("What is not done")
    assert len(examples) == 4
    for prompt, _ in examples:
        assert len(parse(prompt).notes) == 1, prompt

"""The table of families: a claim that fails, or that nobody tried, is a miss."""

from typing import Any

import families
import pytest
from families import Claim, Run, cell, main, misses


def run(feature: str, *, done: bool = True, words: str = "yes", attempts: tuple[str, ...] = ()) -> Run:
    return Run(family="sd9", feature=feature, done=done, words=words, attempts=list(attempts))


CLAIM = Claim(family="sd9", title="Stable Diffusion 9", claims=["folder", "controls"])


def test_a_claim_holds_by_a_run() -> None:
    runs = [run("folder"), run("controls", words="any"), run("LoRA")]
    assert misses([CLAIM], runs) == []
    assert [cell(CLAIM, feature, runs) for feature in ("folder", "controls", "LoRA", "replay")] == [
        "yes",
        "any",
        "-",
        "-",
    ]


def test_a_claim_that_fails_or_is_not_tried_is_a_miss() -> None:
    assert misses([CLAIM], [run("folder"), run("folder", done=False)]) == [
        "Stable Diffusion 9: folder is claimed, and it fails",
        "Stable Diffusion 9: controls is claimed, and nobody tried it",
    ]
    assert misses([], []) == ["no family told what it claims"]
    strange = Claim(family="sd9", title="Stable Diffusion 9", claims=["video"])
    assert misses([strange], []) == ["Stable Diffusion 9: 'video' has no column"]


def test_the_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def ended(*lines: dict[str, Any]) -> int:
        monkeypatch.setattr(families.figures, "read", lambda _: iter(lines))
        return main(["--measured"])

    claim, folder, controls = vars(CLAIM), vars(run("folder")), vars(run("controls"))
    assert ended(claim, folder, controls) == 0
    assert "0 network attempts in 2 runs\n2 claims, 0 don't hold" in capsys.readouterr().out
    assert ended(claim, folder) == 1
    assert ended(claim, folder, vars(run("controls", attempts=("resolve huggingface.co",)))) == 1
    assert ended() == 1

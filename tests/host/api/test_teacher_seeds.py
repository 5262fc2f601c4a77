"""Sets that take turns among teachers of several seeds, and what each took to make, by the store's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import equal

import delt_host
from asking import tiny
from delt_host import InputError, Result, Teacher
from running import call, refused

TWO: dict[str, Any] = {
    "teacher": "convnet3", "teacher_seeds": 2, "seeds": 3, "regime": ["hard", "views"], "baseline": "sre2l", "ipc": 1,
    "set": {"teacher.epochs": 4, "scheduler.iterations": 2, "protocol.epochs": 1, "dataset.image_size": 8},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return tiny(tmp_path_factory.mktemp("two"), **TWO)


def _scores(result: Result, teacher: int) -> list[dict[str, Any]]:
    return [score.scores for score in result.results.scores if score.teacher == teacher]


def test_sets_take_turns(made: Result) -> None:
    assert {(score.set, score.teacher) for score in made.results.scores} == {(0, 0), (1, 1), (2, 0)}
    first, second = made.results.teachers
    assert [(each.name, each.seed, each.recipe["seed"]) for each in (first, second)] == [
        ("convnet3", 0, 0), ("convnet3", 1, 1),
    ]  # fmt: skip
    assert first.fingerprint != second.fingerprint and first.mean == second.mean
    assert [each.fingerprint for each in made.teachers] == [first.fingerprint, second.fingerprint]
    said = [made.set("sre2l", seed).about["teacher"]["fingerprint"] for seed in (0, 1, 2)]
    assert said == [first.fingerprint, second.fingerprint, first.fingerprint]
    answers = made.soft_labels("sre2l", 1)
    assert equal(answers, made.soft_labels("sre2l", 1, made.teachers[1]))
    assert not equal(answers, made.soft_labels("sre2l", 1, made.teachers[0]))


def test_a_set_is_what_its_teacher_alone_makes(made: Result, tmp_path: Path) -> None:
    sets = {**TWO["set"], "teacher.seed": 1}
    alone = tiny(tmp_path, **{**TWO, "teacher_seeds": 1, "seeds": [1], "set": sets})
    assert _scores(alone, 0) == _scores(made, 1)
    assert equal(alone.images("sre2l", 1), made.images("sre2l", 1))


def test_what_a_set_and_a_student_took_is_the_stores_word(made: Result) -> None:
    store = made.folder.parent / "store"
    for score in made.results.scores:
        assert score.set_seconds is not None and score.seconds is not None and score.seconds > 0
        assert score.set_seconds > (score.recover_seconds or 0)
    again = delt_host.run(made.folder / "experiment.toml", out=made.folder.parent / "again", store=store, quiet=True)
    assert again.results.scores == made.results.scores
    assert again.results.teachers == made.results.teachers
    scored = delt_host.evaluate(made, student="convnet3", set={"protocol.epochs": 2}, store=store, quiet=True)
    assert {(each.set, each.teacher) for each in scored.results.scores} == {(0, 0), (1, 1), (2, 0)}
    assert {each.set_seconds for each in scored.results.scores} == {None}, "others made the sets"


def test_sets_come_behind_those_that_are_there(made: Result) -> None:
    store = made.folder.parent / "store"
    with pytest.raises(InputError, match="its sets take turns among teachers, and come in another order here"):
        delt_host.run(made, seeds=[1, 0, 2], store=store, quiet=True)
    with pytest.raises(InputError, match="teacher_seeds is 2 there, and 3 here"):
        delt_host.run(made, teacher_seeds=3, store=store, quiet=True)
    grown = delt_host.run(made, seeds=4, store=store, quiet=True)
    assert {(score.set, score.teacher) for score in grown.results.scores} == {(0, 0), (1, 1), (2, 0), (3, 1)}


def test_a_teacher_that_is_given_has_one_seed(made: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store, recipe = made.folder.parent / "store", made.folder / "experiment.toml"
    theirs = [teacher.fingerprint for teacher in delt_host.squeeze(recipe, store=store, quiet=True)]
    assert theirs == [teacher.fingerprint for teacher in made.teachers]
    call("squeeze", recipe, "--store", store, "-q")
    files = ["convnet3.teacher.safetensors", "convnet3-seed-1.teacher.safetensors"]
    assert [Teacher.load(tmp_path / file).fingerprint for file in files] == theirs
    for teacher in (files[1], "none"):
        scored = delt_host.evaluate(made, teacher=teacher, regime="hard", store=store, quiet=True)
        assert {each.teacher for each in scored.results.scores} == {0}
        assert not any(each.failure for each in scored.results.scores)
    for more in ([], ["--teacher", files[1]]):
        out = tmp_path / f"exported-{len(more)}"
        call("export", made.folder, "--row", "sre2l", "--seed", 1, "--labels", "--store", store, "--to", out, *more)
        assert list(out.glob("labels-*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--teacher-seeds", 4], "--teacher-seeds 4 needs 4 sets at least, one for each: --seeds is 3"),
        (["--teacher-seeds", 0], "--teacher-seeds must be at least 1, not 0"),
        (["--teacher-seeds", 2, "--teacher", "none", "--regime", "hard"], "--teacher none is given"),
    ],
)
def test_mistakes_are_one_sentence(words: list[Any], said: str) -> None:
    assert said in refused("run", "-m", "random-real", *words)


def test_teachers_that_are_there_have_no_other_seed(made: Result, tmp_path: Path) -> None:
    made.teachers[0].save(tmp_path / "teacher.safetensors")
    words = ["run", "-m", "random-real", "--teacher-seeds", 2]
    said = refused(*words, "--teacher", tmp_path / "teacher.safetensors")
    assert "squeezes each teacher 2 times, and convnet3 comes from" in said
    twins = tmp_path / "twins.toml"
    twins.write_text('[[teacher]]\nmodel="convnet3"\n[[teacher]]\nname="b"\nmodel="convnet3"\nseed=1\n')
    assert "two teachers would be the same" in refused("run", twins, *words[1:])

"""Regimes: made of names, specs and tables; the same images under each; each scored, labelled and told apart."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from conftest import SQUEEZED, Install
from delt_host.basics.errors import InputError, RunError
from delt_host.cli import cli
from delt_host.compare.lines import lines
from delt_host.contracts.evaluator import Evaluation, Evaluator
from delt_host.contracts.methods import Method
from delt_host.contracts.observer import Observer
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.results import Results, read_results
from delt_host.contracts.sets import Distilled
from delt_host.contracts.taught import Taught
from delt_host.experiment.experiment import Experiment
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import Provided, Registry, load_registry
from delt_host.stages import story
from delt_host.stages.course import Course
from delt_host.stages.host import Host
from delt_host.store.store import Store
from delt_plugins.datasets.digits import Digits
from delt_plugins.evaluators.ranking import WITHOUT_AUGMENTATION
from delt_plugins.kit import check
from delt_plugins.labels.relabelers import Fkd

REGISTRY = load_registry()
SMALL = {"dataset.image_size": 8, "teacher.epochs": 4, "scheduler.iterations": 16, "protocol.epochs": 2}


def resolved(*regimes: str | dict[str, Any], **said: Any) -> Experiment:
    return resolve(Request(method=["delt"], control=[], regime=list(regimes), **said), REGISTRY)


def told(experiment: Experiment) -> list[tuple[str, str, str]]:
    return [(column.name, column.relabeler.name, column.protocol.name) for column in experiment.regimes]


# --- what is asked for


def test_two_regimes_stand_side_by_side_unless_others_are_named() -> None:
    assert [name for name, *_ in told(resolved())] == ["hard", "views"]
    named = resolved("views", "online:delt-repo")
    spec = "online:delt-repo"
    assert told(named) == [("views", "fkd", "fair"), (spec, "online", "delt-repo")]


def test_options_reach_one_regime_or_every_one_that_has_them() -> None:
    options = {"protocol.min_crop": 0.5, "relabeler.keep": 0.3}
    asked = ("top-k:fair,relabeler.k=3,protocol.epochs=7", "pruned:fair", "hard")
    one, other, third = resolved(*asked, set=options).regimes
    assert [column.protocol.component.epochs for column in (one, other)] == [7, 40]
    assert {column.protocol.component.min_crop for column in (one, other, third)} == {0.5}
    assert (one.relabeler.component.k, other.relabeler.component.keep) == (3, 0.3)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="no relabeler in this run has an option 'k'"):
        resolved("hard", set={"relabeler.k": 3})


def test_a_dataset_suggests_for_every_protocol_and_for_one_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    suggested = {"protocol.epochs": 40, "protocol.rded.epochs": 150, "protocol.rded.min_crop": 0.7}
    monkeypatch.setattr(Digits, "suggested", property(lambda _self: suggested))
    spec = "fkd:rded,protocol.min_crop=0.6"
    fair, own = (column.protocol.component for column in resolved("fkd:fair", spec).regimes)
    assert (fair.epochs, own.epochs, own.min_crop) == (40, 150, 0.6), "what is said goes before what is suggested"


def test_the_table_of_a_run_makes_the_same_regimes_again() -> None:
    first = resolved("hard", "top-k:fair,relabeler.k=3", set=SMALL)
    table = tomllib.loads(first.to_toml())
    assert [regime["name"] for regime in table["regime"]] == ["hard", "top-k:fair,relabeler.k=3"]
    again = resolve(Request.from_table(table, "the recipe"), REGISTRY)
    assert again.regimes == first.regimes and again.to_toml() == first.to_toml()
    with pytest.raises(InputError, match="regime 'x' of the recipe has no key 'relabelr'"):
        resolved({"name": "x", "relabelr": "fkd", "protocol": "fair"})
    (made,) = told(resolved({"relabeler": "fkd", "protocol": {"name": "fair", "epochs": 3}}))
    assert made == ("fkd:fair", "fkd", "fair")


def test_published_regimes_exist_and_no_run_takes_them() -> None:
    methods = REGISTRY.things("method")
    published = {
        name: method.published("imagenet", 10).get("regime", method.regime)
        for name, method in methods.items()
        if method.regime
    }
    assert len(published) >= 8
    assert (
        published["gvbsm"].startswith("committee:gvbsm,relabeler.teachers=[") and "rescale=true" in published["gvbsm"]
    )
    for spec in published.values():
        resolved(spec)
    assert told(resolve(Request(method=["rded"]), REGISTRY)) == told(resolved())


def test_what_is_worked_out_of_others_needs_others() -> None:
    with pytest.raises(InputError, match="label-robust works its scores out of those of others; name one beside it"):
        resolved(evaluator=["label-robust"])


# --- what is done


def test_a_methods_name_is_its_published_regime_for_the_dataset_and_ipc() -> None:
    there = {"dataset": "cifar10:somewhere"}
    (column,) = resolved("gvbsm", **there).regimes
    (named,) = resolved(REGISTRY.get("method", "gvbsm").regime, **there).regimes
    assert (column.name, column.relabeler, column.protocol) == ("gvbsm", named.relabeler, named.protocol)
    (small,) = resolved("gvbsm").regimes  # digits suggest a smaller committee
    assert small.relabeler.component.teachers == tuple(Digits().suggested["committee"])

    own = Method(
        summary="", initializer="noise", regime="fkd:fair", datasets={"digits ipc 2": {"regime": "online:rded"}}
    )
    registry = with_method("mine", own)
    said = [
        resolve(Request(method=["delt"], control=[], regime=["mine,protocol.epochs=3"], ipc=ipc), registry).regimes[0]
        for ipc in (1, 2)
    ]
    assert [(each.relabeler.name, each.protocol.name, each.protocol.component.epochs) for each in said] == [
        ("fkd", "fair", 3),
        ("online", "rded", 3),
    ]


def test_a_methods_name_that_is_misspelt_is_guessed_as_a_regime() -> None:
    with pytest.raises(InputError, match="unknown regime 'edcc'; did you mean 'edc'"):
        resolved("edcc")
    with pytest.raises(
        InputError, match=r"unknown regime 'vews'; did you mean 'views'\? \(known: fixed, hard, views\)"
    ):
        resolved("vews")


def test_a_method_that_was_published_with_no_regime_stands_for_none() -> None:
    with pytest.raises(InputError, match="method mine was published with no regime that is known here"):
        resolve(Request(method=["delt"], regime=["mine"]), with_method("mine", Method(summary="", initializer="noise")))


def with_method(name: str, method: Method) -> Registry:
    """The registry with a method more."""
    plugin = REGISTRY.provided["method"]["delt"].plugin
    methods = {**REGISTRY.provided["method"], name: Provided(method, plugin)}
    return replace(REGISTRY, provided={**REGISTRY.provided, "method": methods})


def comparison_of(store: Path, *regimes: str, **said: Any) -> story.Comparison:
    host = Host(REGISTRY, Store(store), Observer())
    return story.outlined(resolved(*regimes, **{"ipc": 2, "seeds": 1, "set": SMALL, **said}), host)


@pytest.mark.usefixtures("with_teacher")
def test_images_do_not_depend_on_what_students_will_be_told(tmp_path: Path) -> None:
    def keys(*regimes: str) -> Mapping[str, list[str]]:
        (course,) = comparison_of(tmp_path / "store", *regimes).courses()
        return {
            stage: [step.key for step in course[stage]] for stage in ("initialize", "recover", "relabel", "evaluate")
        }

    both, one = keys("hard", "views"), keys("views,protocol.epochs=5")
    assert both["initialize"] == one["initialize"] and both["recover"] == one["recover"]
    assert len(both["relabel"]) == len(set(both["relabel"])) == len(set(both["evaluate"])) == 2
    assert keys("views")["evaluate"] == [both["evaluate"][1]], "a regime's scores do not depend on those beside it"
    assert keys("views", "hard")["evaluate"] == both["evaluate"][::-1]


@pytest.mark.usefixtures("with_teacher")
def test_steps_name_their_regime_where_there_are_several(tmp_path: Path) -> None:
    (course,) = comparison_of(tmp_path / "store", "hard", "views", students=2).courses()
    assert [step.of for step in course["relabel"]] == [
        f"delt, seed 0, {regime}, student {student}" for regime in ("hard", "views") for student in (0, 1)
    ]
    (alone,) = comparison_of(tmp_path / "store", "views").courses()
    assert [step.of for step in alone["relabel"]] == ["delt, seed 0"]


@pytest.mark.usefixtures("with_teacher")
def test_the_whole_real_set_is_scored_under_every_regime_without_labels_that_are_kept(tmp_path: Path) -> None:
    comparison = comparison_of(tmp_path / "store", "hard", "fixed", "pruned:fair", "views", ceiling_epochs=1)
    (ceiling,) = [course for course in comparison.courses() if course.row.role == "ceiling"]
    assert [column.name for column in ceiling.regimes] == ["hard", "fixed", "pruned:fair", "views"]
    assert {column.protocol.component.epochs for column in ceiling.regimes} == {1}
    (teacher,), count = ceiling.problem.teachers, ceiling.problem.num_images
    taken = [step.size_bytes() for step in ceiling["relabel"]]
    assert taken == [count, 20 * count, teacher.size_bytes, teacher.size_bytes], (
        "a teacher answers while students train"
    )
    assert len(ceiling["evaluate"]) == 4


class Watching(Evaluator):
    """Notes what it is given."""

    headline: ClassVar[str] = "count"
    seen: ClassVar[list[Taught]] = []

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        self.seen.append(taught)
        assert taught.problem.protocol is problem.protocol
        return Evaluation({"count": float(len(distilled))})


def test_others_are_labelled_alike_and_under_other_protocols(problem: Problem) -> None:
    check(Watching())
    taught = Watching.seen[-1]
    distilled, before = taught.distilled, list(taught.labels.epoch(0))
    part = Distilled.of(distilled.read(distilled.targets[:4] * 0), distilled.targets[:4])
    assert sum(len(batch.images) for batch in taught.of(part, taught.problem).epoch(0)) == 4
    bare = taught.under(taught.problem.protocol.model_copy(update={"epochs": 9}))
    assert (bare.problem.protocol.epochs, taught.problem.protocol.epochs) == (9, 3)
    assert bare.relabeler == taught.relabeler and len(list(bare.labels.epoch(0))) == len(before)


def test_the_kit_tells_what_an_evaluator_lacks() -> None:
    class Idle(Evaluator):
        per = "table"
        headline: ClassVar[str] = "count"

    with pytest.raises(AssertionError, match=r"Idle is per 'table' and has no derive\(\)"):
        check(Idle())


# --- what is told

RUN = [
    "run", "-m", "delt", "-b", "cda", "--ipc", "2", "--seeds", "2", *SQUEEZED, "--set", "scheduler.iterations=16",
    "--set", "protocol.epochs=3", "--evaluator", "student", "--evaluator", "label-robust", "--evaluator", "cost", "-q",
    "--store", "store", "--out", "run",
]  # fmt: skip


def call(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.usefixtures("with_teacher")
def test_a_table_has_a_column_a_regime_and_robustness_to_labels_is_worked_out_of_it(tmp_path: Path) -> None:
    output = call(*RUN, "--ceiling", "--ceiling-epochs", "1")
    assert max(map(len, output.splitlines())) <= 80
    said = " ".join(output.split())
    assert "digits, IPC 2, convnet3: top-1 %" in said and "method role images hard views n" in said
    assert "Best under hard: " in said and "Best under views: " in said and "delt under hard:" not in said, "five rows"
    results = read_results(tmp_path / "run")
    assert {(d.evaluator, d.regime) for d in results.differences} == {
        ("convnet3", "hard"), ("convnet3", "views"), ("label-robust score of convnet3", "views"), ("cost of recovery", ""),
    }  # fmt: skip
    once = [(s.row, s.set, s.regime, s.label_bytes) for s in results.scores if s.evaluator == "cost of recovery"]
    assert len(once) == 2 * 5 and {place[2:] for place in once} == {("", 0)}
    found = {(line.evaluator.title, line.column, line.row.label): line.headline for line in lines(results)}
    by_hand = _robust(found, "delt", 1)
    assert found["label-robust score of convnet3", "views", "delt"][1] == pytest.approx(by_hand)
    assert [record.per for record in results.evaluators] == ["regime", "table", "set"]
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "convnet3, hard" in page and "convnet3, views" in page
    markdown = call("report", "run")
    assert sum("| views" in line for line in markdown.splitlines()) == 5 + 4
    assert "(hard)" in call("runs", ".", "--json")


def _robust(found: Mapping[tuple[str, str, str], Mapping[int, float]], row: str, number: int) -> float:
    from delt_plugins.evaluators.ranking import robust_score

    def accuracy(label: str, regime: str) -> float:
        return found["convnet3", regime, label][number] / 100

    improvement = accuracy(row, "views") - accuracy("random-real", "views")
    return robust_score(0.5 * improvement - 0.5 * (accuracy("whole real set", "hard") - accuracy(row, "hard")))


@pytest.mark.usefixtures("small_run")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "label-robust needs the control random-real: leave --no-controls out"),
        (
            ["--regime", "views"],
            "label-robust needs what sets are worth with hard labels: --regime hard beside another one",
        ),
        (["--regime", "hard"], "label-robust needs a regime beside hard"),
    ],
)
def test_what_robustness_to_labels_lacks_is_said(tmp_path: Path, more: list[str], said: str) -> None:
    words = ["evaluate", "made", "-e", "student", "-e", "label-robust", "-q", "--out", "out", *more]
    result = CliRunner().invoke(cli, words)
    assert isinstance(result.exception, RunError) and "failed: cda, delt" in str(result.exception)
    assert said in " ".join(result.output.split())
    results: Results = read_results(tmp_path / "out")
    failed = [score for score in results.scores if score.failure]
    assert {score.evaluator for score in failed} == {"label-robust score of convnet3"} and len(failed) == 2 * 2
    assert "label-robust" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


PLUGIN = """
from delt_host import Regime, hookimpl, use

@hookimpl
def delt_regimes():
    return {"few": Regime(summary="a tenth of the labels", relabeler=use("pruned", keep=0.1), protocol="fair")}
"""


def test_a_plugin_gives_regimes(install: Install) -> None:
    install("few-labels", PLUGIN)
    registry = load_registry()
    (column,) = resolve(Request(method=["delt"], regime=["few"]), registry).regimes
    assert (column.name, column.relabeler.name, column.protocol.name) == ("few", "pruned", "fair")
    assert column.relabeler.component.keep == 0.1  # type: ignore[attr-defined]


def test_a_course_is_of_one_row_and_knows_its_scorers(tmp_path: Path) -> None:
    comparison = comparison_of(tmp_path, "hard", "views", students=2, evaluator=["student", "cost", "label-robust"])
    (course,) = comparison.courses()
    assert isinstance(course, Course)
    scorers = [(scorer.evaluator.name, scorer.regime, scorer.student) for scorer in course.scorers]
    assert scorers == [("cost", "", 0), *(("student", regime, n) for regime in ("hard", "views") for n in (0, 1))]


def test_a_recipe_s_committee_is_not_the_dataset_s() -> None:
    spec = 'committee:fair,relabeler.teachers=["convnet3","convnet3_in"]'
    first = resolved(spec)
    again = resolve(Request.from_table(tomllib.loads(first.to_toml()), "the recipe"), REGISTRY)
    assert again.regimes == first.regimes and again.teachers == first.teachers


def test_a_name_means_the_run_s_regime_where_it_has_one() -> None:
    ran = Request.from_table(tomllib.loads(resolved("hard", set={"protocol.epochs": 2}).to_toml()), "the recipe")
    asked = ran.updated(Request(regime=ran.regimes_named(["hard", "views"])))
    assert [c.protocol.component.epochs for c in resolve(asked, REGISTRY).regimes] == [2, 40]


def test_without_augmentation_no_view_is_changed() -> None:
    changing = {"crop", "flip", "mix", "randaugment", "shuffle_patches", "siamese"}
    assert set(WITHOUT_AUGMENTATION) == changing <= set(Protocol.model_fields)


@pytest.mark.usefixtures("with_teacher")
@pytest.mark.parametrize("asked", ["bind", "label_bytes", "epochs"])
def test_a_regime_that_fails_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """While it labels, and where it is to tell what that will take, which a dry run says."""

    def broken(self: Fkd, *_given: object) -> object:
        raise ValueError("no luck")

    monkeypatch.setattr(Fkd, asked, broken)
    comparison = comparison_of(tmp_path / "store", "views", "hard")
    list(comparison.courses())
    assert [*comparison.host.untold] == [f"{row.label}, views" for row in comparison.rows if asked != "bind"]
    prepared = story.prepare_run(comparison.experiment, comparison.host)
    told = {one.regime: (one.failure, one.evaluation is None) for one in story.run(prepared)}
    assert told["hard"] == ("", False)
    assert "no luck" in told["views"][0] and told["views"][1]

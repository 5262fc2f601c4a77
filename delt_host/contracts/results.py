"""`results.json`, format 1: what a run was and what it measured, as records that lie flat; docs/results-format.md.

Written and read through these models alone, and without torch: whoever lists a hundred runs does not wait for it. A number
that is not finite is null: JSON has none. Nothing that can be worked out is in the file; `compare.lines` works it out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from delt_host.basics.errors import InputError
from delt_host.basics.options import build
from delt_host.contracts.record import Amount, Json, Number, Record
from delt_host.contracts.sweep import refuse_sweep
from delt_host.store import files

RESULTS_FILE = "results.json"
"""The results of a run or an evaluation, in its folder."""
FORMAT = 1


class DataRecord(Record):
    """The dataset."""

    name: str
    """What the tables call it."""
    fingerprint: str
    """SHA-256 of images, labels and class names."""
    classes: NonNegativeInt = 0
    """How many there are."""
    training_images: NonNegativeInt = 0
    """Of all classes, as they were read."""
    test_images: NonNegativeInt = 0
    """Likewise; 0 where nobody looked at them."""
    validation_images: NonNegativeInt = 0
    """Of the training images those that were held out, and that scores are of: `--validate`; 0: scores are of test images."""
    notes: tuple[str, ...] = ()
    """Sentences on how it was read, such as images that were skipped."""


class TeacherRecord(Record):
    """A network that images and labels were made with."""

    name: str
    """What components ask for it by."""
    seed: NonNegativeInt = 0
    """Which of `--teacher-seeds` it is of: the sets that were made and labelled with it say the same as `teacher`."""
    architecture: str
    """Its model's name."""
    accuracy: Amount
    """Top-1 on the images that scores are of, test or validation, percent, 0 to 100; null where nobody measured it."""
    dataset: str = ""
    """What it was trained or tested on."""
    image_size: PositiveInt
    """Pixels along a side."""
    class_names: tuple[str, ...]
    """In the order of its outputs."""
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    """Of red, green and blue, on pixels from 0 to 1: what images are normalised with."""
    std: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    """As `mean`, above 0."""
    recipe: Json = Field(default_factory=dict)
    """How it was squeezed; empty where it was imported."""
    fingerprint: str
    """SHA-256 of its weights."""


class ProtocolRecord(Record):
    """How students are trained; all of its settings are in `recipe`."""

    title: str
    """Name, version, and what was changed."""
    report: Literal["last", "best"] = "last"
    """The epoch that is reported; `best` was chosen on the test set."""
    fingerprint: str
    """Eight hexadecimal digits that differ whenever a setting does."""


class RegimeRecord(Record):
    """What students are told, and how they are trained."""

    name: str
    """What scores and differences name it by; no two are alike."""
    relabeler: Json
    """`name` and options of what labels the images of every row."""
    protocol: ProtocolRecord


class EvaluatorRecord(Record):
    """What every row is scored by."""

    name: str
    """The component, as `--evaluator` takes it."""
    title: str
    """What scores and differences name it by; no two are alike."""
    headline: str
    """Which of its named scores the table shows."""
    unit: str
    """Of the headline: `%`, `s`; empty for plain numbers."""
    better: Literal["higher", "lower"]
    """Which headline scores are better."""
    per: Literal["set", "regime", "table"] = "regime"
    """Whether it scores each set once, each under every regime, or works its scores out of others'."""
    options: Json
    """All of the component's."""


class CostRecord(Record):
    """What making one set of the row takes; the seconds of each set are beside its scores."""

    image_iterations: NonNegativeInt
    """By the plan: the sum over iterations of the units that are optimised."""
    multiply_adds: Amount
    """Of recovery, forward and backward; null where it is not known, as of a row that failed."""
    peak_bytes: Amount
    """The most memory in use while any of its sets was recovered; null where the system does not tell."""


class RowRecord(Record):
    """A row of the comparison."""

    label: str
    """What scores and differences name it by; no two are alike."""
    role: Literal["method", "baseline", "control", "ceiling"]
    """What it is in the comparison."""
    method: str = ""
    """The method it was made from; empty for the ceiling."""
    name: str = ""
    """What of the label is no option's; empty where that is all of it."""
    varied: tuple[str, ...] = ()
    """What was asked of it beside its method, components by stage, options by `STAGE.OPTION`: `components` has the values."""
    form: str = "pixels"
    """How its images are stored: `pixels`, as they are."""
    components: dict[str, Json]
    """By stage, `name` and options; without the stages that it has not."""
    ipc: PositiveInt | None
    """Images per class, the budget; null for the ceiling, which has the whole training set."""
    units: PositiveInt | None
    """Stored units a class; as `ipc` where the form is `pixels`."""
    count: PositiveInt | None
    """Images a class that students see; as `ipc` where the form is `pixels`."""
    matched: str = ""
    """How it was brought to the budget of `--match`; empty without one."""
    image_bytes: NonNegativeInt
    """Bytes of its images; 0 where every set failed."""
    cost: CostRecord
    of: str = ""
    """The method whose published budget the shares are of: its own, or the one that this is a preset of; empty without one."""
    share_of_iterations: Amount = None
    """Its iterations a stored unit, over those of `of` for this dataset and IPC; null where either optimises nothing."""
    shares_of_steps: dict[str, Annotated[FiniteFloat, Field(ge=0)]] = Field(default_factory=dict)
    """By regime, its students' optimiser steps over those of the regime that `of` is published with; empty without one."""


class Score(Record):
    """What one evaluator found for one set of a row, or why it found nothing."""

    row: str
    """Its `label`."""
    regime: str = ""
    """Its `name`; empty where the score is the set's, whatever students are told."""
    evaluator: str
    """Its `title`."""
    set: NonNegativeInt
    """The seed that starts and recovery were drawn from."""
    student: NonNegativeInt = 0
    """The seed of weights and views, beside that of the set; 0 is the set's own."""
    teacher: NonNegativeInt = 0
    """Which of `--teacher-seeds` the teachers are of that the set was made and labelled with, counted from 0."""
    split: Literal["test", "validation"] = "test"
    """The images that it was scored on."""
    scores: dict[str, Number]
    """By name, the evaluator's headline among them; accuracies in percent, 0 to 100. Empty where it failed."""
    label_bytes: NonNegativeInt = 0
    """What has to be stored beside the images: labels, or the teacher where it labels while students train."""
    facts: Json = Field(default_factory=dict)
    """The evaluator's details, such as `per_class`, `epochs`, `steps`, `train_seconds` and `curve` of students."""
    recover_seconds: Amount = None
    """Of recovering this set, when it was computed; null where nobody wrote them down."""
    set_seconds: Amount = None
    """Of all that was made for this set up to its images, recovery among it; what rows share is in none. Null where nobody
    wrote it down."""
    seconds: Amount = None
    """Of all that was made for this score alone: labels, a student. Null likewise."""
    key: str = ""
    """Of the scores in the store; empty where they are not kept."""
    failure: str = ""
    """Why there are no scores."""
    provenance: str = "measured"
    """Where the scores are from: `measured`, by this run or by an earlier one whose scores were in the store."""


class SetRecord(Record):
    """A distilled set that scores are of."""

    row: str
    """Its `label`."""
    set: NonNegativeInt
    """The seed that starts and recovery were drawn from."""
    folder: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*/seed-[0-9]+(-[0-9]+)?$")
    """Where its files are in the run's folder; of an evaluation, in the folder of the run whose sets it scored."""
    fingerprint: str
    """SHA-256 of its images, as its file says: a set with another one is not what was scored."""


class Spreads(Record):
    """Standard deviations of a difference, told apart; null where the run has too few to tell."""

    set: Number = None
    """From set to set of one teacher, students apart."""
    student: Number = None
    """From student to student of one set."""
    teacher: Number = None
    """From teacher to teacher."""


class Difference(Record):
    """A row's headline scores minus another's, paired by set: of each method with every other row, and of every row with the
    reference, which is the first control, else the first baseline, else the first method."""

    row: str
    """Its `label`."""
    other: str
    """The other row's `label`."""
    regime: str = ""
    """Its `name`, the same for both rows; empty where the scores are the sets', whatever students are told."""
    evaluator: str
    """Its `title`."""
    split: Literal["test", "validation"] = "test"
    """The images that both were scored on."""
    mean: Number
    """Over these sets, in the evaluator's unit."""
    low: Number
    """Lower end of the 95 % confidence interval; null for one set."""
    high: Number
    """Upper end of the interval."""
    sets: PositiveInt
    """How many sets both rows have."""
    students: PositiveInt = 1
    """How many students each set trains."""
    teachers: PositiveInt = 1
    """How many seeds of teachers the sets are spread over."""
    p: Number = None
    """Of the hypothesis that there is none, two-sided, by Student's t as the interval; null for one set."""
    told: bool = False
    """Whether it is told to be there: by Holm at 5 % over the rows that are compared with the reference in this regime;
    where neither row is the reference, with the method `row`."""
    spreads: Spreads = Spreads()
    """Where it is from."""
    method: str
    """How the interval was made."""
    sentence: str
    """What can be told from it."""


class Environment(Record):
    """On what and with what it was run."""

    device: str
    """The processor's or the GPU's name."""
    threads: PositiveInt
    """Of torch's on the CPU."""
    precision: str
    """Of the networks' passes: `fp32` or `bf16`."""
    compiled: bool = False
    """Whether networks went through compiled operators: `--compile`."""
    python: str
    """Its version."""
    system: str
    """The operating system, with its version."""
    versions: dict[str, str]
    """Of delt-host and of the libraries that compute, by name."""
    notes: tuple[str, ...] = ()
    """Sentences on what was used although it was made under other conditions."""


class PluginRecord(Record):
    """An installed plugin, or a file of which something was used."""

    name: str
    """Of its entry point, or of the file."""
    distribution: str
    """The package that brings it, or the file."""
    version: str
    """The package's."""
    module: str
    """Where its code is."""
    problem: str = ""
    """Why it was not in use."""
    path: str = ""
    """Of a file, where it lay."""
    code: str = ""
    """Of a file, a digest of its code and of all that this imports from beside it."""


class Results(Record):
    """A run, or an evaluation of its sets."""

    format: Literal[1] = 1
    """Of this file. It is raised when a field goes or means something else, not when one is added."""
    recipe: Json
    """What repeats the run: the tables of experiment.toml."""
    made_by: Literal["run", "evaluate"] = "run"
    """The command: `evaluate` scored sets that a run or an import had left."""
    data: DataRecord
    """The real images."""
    teachers: tuple[TeacherRecord, ...]
    """Of one seed of teachers after the other: the first gives the normalisation, and the first of each is whom components ask
    that name none; there may be none."""
    regimes: tuple[RegimeRecord, ...]
    """The columns of the table: what students are told."""
    evaluators: tuple[EvaluatorRecord, ...]
    """How sets are scored; the first is the table's."""
    rows: tuple[RowRecord, ...]
    """In the order of the table."""
    scores: tuple[Score, ...]
    """One for each row, regime, evaluator, set, student and split, in the order in which they were found."""
    sets: tuple[SetRecord, ...] = ()
    """Those of the rows that did not fail; the ceiling has none."""
    differences: tuple[Difference, ...]
    """What can be told of pairs of rows."""
    pilot: NonNegativeInt = 0
    """How many of the first sets, of each seed of teachers, decided how many sets and students there are (`--resolve`); their
    own spread takes no part in intervals. 0: nobody looked."""
    environment: Environment
    """Where and with what the run was made."""
    plugins: tuple[PluginRecord, ...]
    """Those that are installed, whether the run used them or not."""

    @property
    def split(self) -> Literal["test", "validation"]:
        """The images that scores are of."""
        return "validation" if self.data.validation_images else "test"

    @property
    def scored_on(self) -> str:
        """How many validation images scores are of, in a sentence; empty where they are of test images."""
        held, share = self.data.validation_images, self.recipe.get("validate")
        if not held:
            return ""
        percent = f"{100 * share:g} % of the training data, " if isinstance(share, float) else ""
        return f"scored on {held} validation images ({percent}held out); test images were not looked at"

    def table(self) -> dict[str, Any]:
        """The document, of what JSON knows."""
        return self.model_dump(mode="json")

    def write(self, run: Path) -> None:
        """Write it into a run's folder, in place of what was there. OSError where that fails."""
        files.write(run / RESULTS_FILE, self.text())

    def text(self) -> str:
        """The file's content."""
        return json.dumps(self.table(), indent=1, allow_nan=False) + "\n"


def read_results(run: Path) -> Results:
    """What is in a run's folder; InputError where it is no finished run's, of another format, or damaged."""
    file = run / RESULTS_FILE
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        refuse_sweep(run)
        there = "is not finished" if (run / "experiment.toml").is_file() else "is not the folder of a run"
        raise InputError(f"{run} {there}: it has no {RESULTS_FILE}") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    if not isinstance(table, dict):
        raise InputError(f"{file} cannot be read: it is no table")
    found = table.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise InputError(f"{file} is of results format {found}; this delt-host reads up to {FORMAT}: update it")
    return build(Results, table, str(file))

"""The card of a distilled set: README.md with a YAML head as dataset hubs read it, for people and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from delt_host import InputError
from delt_host.workshop import Line, Spent, duration, lines, mark, markdown, note, read_results, size
from delt_plugins.publish.exported import ExportedSet

UNKNOWN = "unknown"  # a licence that nobody has filled in yet
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
TEMPLATE = Path(__file__).with_name("card.md.j2")
IMAGES = {"images": "train/**/*.png", "webdataset": "train-*.tar"}  # where a form has them, as hubs find them
SCORE = ("evaluator", "regime", "protocol", "score", "unit", "mean", "std", "n", "by_seed", "split")
SHARES = ("of", "share_of_iterations", "share_of_steps")


def measured(run: Path, label: str) -> list[dict[str, Any]]:
    """What the run and its later evaluations measured for a row: keys of `SCORE`, `SHARES`. Empty where nothing is finished."""
    found: list[dict[str, Any]] = []
    own: dict[int, str] | None = None  # the sets' fingerprints, as the run's results have them
    for folder in (run, *sorted((run / "evaluations").glob("*"))):
        try:
            results = read_results(folder)
        except InputError:
            continue  # not finished, or of another format
        sets = {each.set: each.fingerprint for each in results.sets if each.row == label}
        own = sets if own is None else own
        if any(own.get(seed) != fingerprint for seed, fingerprint in sets.items()):
            continue  # of sets that are there no more
        found += [_score(line) for line in lines(results) if line.row.label == label]
    return found


def _score(line: Line) -> dict[str, Any]:
    evaluator, summary = line.evaluator, line.summary
    mean, std = (None if math.isnan(value) else value for value in (summary.mean, summary.std))
    by_seed = {str(number): value for number, value in line.headline.items()}
    protocol = line.regime.protocol.title if line.regime else ""
    given = (evaluator.title, line.column, protocol, evaluator.headline, evaluator.unit)
    shares = (line.row.of, line.row.share_of_iterations, line.share_of_steps)
    return dict(
        zip(SCORE + SHARES, (*given, mean, std, summary.n, by_seed, line.scores[0].split, *shares), strict=True)
    )


def card(distilled: ExportedSet, scores: Sequence[Mapping[str, Any]], form: str, licence: str = UNKNOWN) -> str:
    """The whole README.md; `form` is `images`, `webdataset` or `safetensors`."""
    from huggingface_hub import DatasetCard, DatasetCardData

    components = distilled.about.get("components") or {}
    return str(
        DatasetCard.from_template(
            DatasetCardData(**_head(distilled, scores, form, licence)),
            template_path=str(TEMPLATE),
            source=markdown(_source(distilled)),
            soft=distilled.soft_labels,
            form=form,
            recipe=[(name, str(value)) for name, value in _recipe(distilled) if value is not None],
            measured=[_cells(score) for score in scores],
            note=note([_spent(scores, str(distilled.about.get("method")))]),
            start=(components.get("initializer") or {}).get("name"),
            optimised="matcher" in components,
            unknown=UNKNOWN,
            plain=markdown,
            size=size,
        )
    )


def _head(distilled: ExportedSet, scores: Sequence[Any], form: str, licence: str) -> dict[str, Any]:
    about, count, soft = distilled.about, len(distilled.targets), distilled.soft_labels
    method = f"{about.get('method', 'an unnamed method')} {mark(_spent(scores))}".strip()
    labels = {"relabeler": soft.relabeler, "bytes": soft.size_bytes, "epochs": soft.epochs} if soft else {}
    head: dict[str, Any] = {
        "license": licence,
        "pretty_name": f"{_source(distilled)}, distilled by {method}",
        "task_categories": ["image-classification"],
        "size_categories": [next((name for limit, name in SIZES if count < limit), "1M<n<10M")],
        "tags": ["dataset-distillation", "delt-host"],
        "distillation": {
            "method": about.get("method"),
            "source": about.get("dataset"),
            "classes": list(distilled.class_names),
            "images": count,
            "images_per_class": about.get("ipc"),
            "image_size": distilled.image_size,
            "form": distilled.form,
            "mean": list(distilled.normalization.mean),
            "std": list(distilled.normalization.std),
            "seed": about.get("seed"),
            "recipe": about.get("components"),
            "teacher": about.get("teacher"),
            "cost": about.get("cost"),
            "labels": {**labels, "stored": soft is not None},
            "measured": list(scores),
        },
    }
    if form in IMAGES:
        head["configs"] = [
            {"config_name": "default", "data_files": [{"split": "train", "path": IMAGES[form]}]},
        ]
    return json.loads(json.dumps(head, default=str))  # plain types only: YAML has no tuples


def _source(distilled: ExportedSet) -> str:
    return str((distilled.about.get("dataset") or {}).get("name", "an unnamed dataset"))


def _recipe(distilled: ExportedSet) -> Iterator[tuple[str, Any]]:
    """What the set was made of, and what that took; None where it is not known."""
    about, soft = distilled.about, distilled.soft_labels
    cost = about.get("cost") or {}
    yield from (("method", about.get("method")), ("source", _source(distilled)), ("seed", about.get("seed")))
    for stage, options in (about.get("components") or {}).items():
        rest = ", ".join(f"{name}={value}" for name, value in options.items() if name != "name")
        yield stage, f"{options.get('name')} ({rest})" if rest else options.get("name")
    yield "teacher", (about.get("teacher") or {}).get("architecture")
    yield "image-iterations", f"{cost['image_iterations']:,}" if cost else None
    yield "recovery", duration(float(cost["seconds"])) if cost else None
    yield "label bytes", size(soft.size_bytes) if soft else None


def _spent(scores: Sequence[Mapping[str, Any]], method: str = "") -> Spent:
    """What the set and its students were given of the published budget, as far as the scores say."""
    shares = [(score["of"], score["share_of_iterations"]) for score in scores]
    of, iterations = shares[0] if shares else ("", None)
    steps = {score["regime"]: score["share_of_steps"] for score in scores if score["share_of_steps"] is not None}
    return Spent(method, of, iterations, steps)


def _cells(score: Mapping[str, Any]) -> list[str]:
    """A line of the table of scores."""

    def figure(value: float) -> str:
        return f"{value:.{1 if score['unit'] == '%' else 3}f}"

    mean = "–" if score["mean"] is None else figure(score["mean"])
    std = "" if score["std"] is None else f" ± {figure(score['std'])}"
    seeds = ", ".join(f"{seed}: {figure(value)}" for seed, value in score["by_seed"].items())
    said = (str(score[name]) for name in ("evaluator", "regime", "protocol", "score"))
    name, regime, protocol, figure_of = said
    figure_of += " on validation images" * (score["split"] == "validation")
    shown = " ".join(filter(None, (mean + std, score["unit"], mark(_spent([score])))))
    return [name, regime, protocol, figure_of, shown, seeds]


def licence_of(readme: Path) -> str:
    """The licence that a card's head names; InputError where there is no readable head."""
    from huggingface_hub import DatasetCard

    try:
        head = DatasetCard(readme.read_text(encoding="utf-8")).data
    except Exception as error:  # a card edited by hand: YAML errors are of many kinds
        raise InputError(f"the card {readme} cannot be read: {' '.join(str(error).split())[:200]}") from None
    return str(getattr(head, "license", None) or UNKNOWN)

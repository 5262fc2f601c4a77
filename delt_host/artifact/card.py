"""The card of a distilled set: README.md with a YAML head as dataset hubs read it, for people and for programs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from delt_host.distilled import DistilledSet
from delt_host.errors import InputError
from delt_host.lines import Line, lines
from delt_host.results import read_results
from delt_host.units import duration, size

UNKNOWN = "unknown"  # a licence that nobody has filled in yet
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
SCORE = ("evaluator", "regime", "protocol", "score", "unit", "mean", "std", "n", "by_seed")


def measured(run: Path, label: str) -> list[dict[str, Any]]:
    """What the run and its later evaluations measured for a row: `SCORE`'s keys. Empty where nothing is finished."""
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
    return dict(zip(SCORE, (*given, mean, std, summary.n, by_seed), strict=True))


def card(
    distilled: DistilledSet, scores: Sequence[Mapping[str, Any]], form: str, licence: str = UNKNOWN, files: str = ""
) -> str:
    """The whole README.md; `form` is `images`, `webdataset` or `safetensors`, `files` a Markdown list of what is there."""
    head = _head(distilled, scores, form, licence)
    sections = [
        f"# {head.pop('title')}",
        _summary(distilled),
        f"## Files\n\n{files}",
        f"## Use\n\n{_use(distilled)}",
        f"## How it was made\n\n{_recipe(distilled)}",
        f"## Measured\n\n{_scores(distilled, scores)}",
        f"## Classes\n\n{', '.join(f'{i} {plain(name)}' for i, name in enumerate(distilled.class_names))}",
        f"## Licence\n\n{_licence(distilled, licence)}",
        f"## Privacy\n\n{_privacy(distilled)}",
    ]
    from huggingface_hub import DatasetCardData

    return f"---\n{DatasetCardData(**head).to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def _head(distilled: DistilledSet, scores: Sequence[Any], form: str, licence: str) -> dict[str, Any]:
    about, count = distilled.about, len(distilled.targets)
    title = f"{_source(distilled)}, distilled by {about.get('method', 'an unnamed method')}"
    head: dict[str, Any] = {
        "title": plain(title),
        "license": licence,
        "pretty_name": title,
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
            "labels": _labels(distilled),
            "measured": list(scores),
        },
    }
    files = {"images": "train/**/*.png", "webdataset": "train-*.tar"}
    if form in files:
        head["configs"] = [
            {"config_name": "default", "data_files": [{"split": "train", "path": files[form]}]},
        ]
    return json.loads(json.dumps(head, default=str))  # plain types only: YAML has no tuples


def _labels(distilled: DistilledSet) -> dict[str, Any]:
    soft = distilled.soft_labels
    if soft is None:
        return {"stored": False}
    return {"relabeler": soft.relabeler, "bytes": soft.size_bytes, "epochs": soft.epochs, "stored": True}


def _source(distilled: DistilledSet) -> str:
    return str((distilled.about.get("dataset") or {}).get("name", "an unnamed dataset"))


def _summary(distilled: DistilledSet) -> str:
    side, soft = distilled.image_size, distilled.soft_labels
    text = (
        f"{len(distilled.targets):,} images of {len(distilled.class_names)} classes at {side} px, made to train networks "
        f"in place of {plain(_source(distilled))}."
    )
    if soft is None:
        return f"{text} Without soft labels: the method's own accuracy needs them, or its teacher."
    return f"{text} With soft labels for {soft.epochs} epochs, {size(soft.size_bytes)}."


def _use(distilled: DistilledSet) -> str:
    soft = [
        "for epoch in range(distilled.soft_labels.epochs):",
        "    for views in distilled.loader(epoch):  # a torch DataLoader; views.images, views.targets, views.classes",
        "        loss = distilled.soft_labels.loss(network(views.images), views)",
    ]
    hard = [
        "import delt_host",
        "",
        'distilled = delt_host.load("FOLDER")',
        "images, classes = distilled.images(), distilled.targets  # normalised as the teacher was trained",
    ]
    return "\n".join(["```python", *hard, *(soft if distilled.soft_labels else []), "```"])


def _recipe(distilled: DistilledSet) -> str:
    about = distilled.about
    cost, teacher = about.get("cost") or {}, about.get("teacher") or {}
    rows = [("method", about.get("method")), ("source", _source(distilled)), ("seed", about.get("seed"))]
    for stage, options in (about.get("components") or {}).items():
        rest = ", ".join(f"{name}={value}" for name, value in options.items() if name != "name")
        rows.append((stage, f"{options.get('name')} ({rest})" if rest else options.get("name")))
    rows += [
        ("teacher", teacher.get("architecture")),
        ("image-iterations", f"{cost['image_iterations']:,}" if cost else None),
        ("recovery", duration(float(cost["seconds"])) if cost else None),
        ("label bytes", size(float(b)) if (b := _labels(distilled).get("bytes")) is not None else None),
    ]
    lines = [f"| {name} | {plain(str(value))} |" for name, value in rows if value is not None]
    return "\n".join(["| | |", "|---|---|", *lines])


def _scores(distilled: DistilledSet, scores: Sequence[Mapping[str, Any]]) -> str:
    if not scores:
        return "Nothing was measured with this set."
    lines = ["| evaluator | regime | protocol | score | mean ± std | seeds |", "|---|---|---|---|---|---|"]
    for score in scores:
        mean = "–" if score["mean"] is None else _figure(score["mean"], score["unit"])
        std = "" if score["std"] is None else f" ± {_figure(score['std'], score['unit'])}"
        seeds = ", ".join(f"{seed}: {_figure(value, score['unit'])}" for seed, value in score["by_seed"].items())
        said = (score[name] for name in ("evaluator", "regime", "protocol", "score"))
        cells = (*said, f"{mean}{std} {score['unit']}".strip(), seeds)
        lines.append(f"| {' | '.join(plain(str(cell)) for cell in cells)} |")
    return "\n".join(
        [*lines, "", f"Each seed has a distilled set of its own; this one is of seed {distilled.about.get('seed')}."]
    )


def _figure(value: float, unit: str) -> str:
    return f"{value:.{1 if unit == '%' else 3}f}"


def _licence(distilled: DistilledSet, licence: str) -> str:
    source = plain(_source(distilled))
    if licence == UNKNOWN:
        return f"To be filled in: what {source}'s licence allows for images derived from it. `license:` above says the same."
    return f"{plain(licence)}. The images are derived from {source}, whose own terms hold as well."


def _privacy(distilled: DistilledSet) -> str:
    components, source = distilled.about.get("components") or {}, plain(_source(distilled))
    start = (components.get("initializer") or {}).get("name")
    if start is None:
        made = "How the images were started is not known here."
    elif start == "noise":
        made = f"The images were optimised from noise with a teacher that was trained on {source}."
    elif "matcher" in components:
        made = (
            f"The images were started by `{plain(start)}` and then optimised; where that starts from images of {source}, "
            "they may still be recognisable."
        )
    else:
        made = f"Nothing was optimised: what `{plain(start)}` took from {source} is in the set as it is."
    return (
        f"{made} Distillation by itself guarantees no privacy: a set can show, or let one tell, which images it was made "
        "from. `delt-host evaluate RUN -e privacy` measures a part of that."
    )


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line: names come from outside."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", " ".join(text.split()))


def licence_of(readme: Path) -> str:
    """The licence that a card's head names; InputError where there is no readable head."""
    from huggingface_hub import DatasetCard

    try:
        head = DatasetCard(readme.read_text(encoding="utf-8")).data
    except Exception as error:  # a card edited by hand: YAML errors are of many kinds
        raise InputError(f"the card {readme} cannot be read: {' '.join(str(error).split())[:200]}") from None
    return str(getattr(head, "license", None) or UNKNOWN)

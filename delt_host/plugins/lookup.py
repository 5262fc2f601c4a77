"""Finding in what is installed, as `kept.catalogue` has it, what a word means: a kind, a thing, an option."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any

from delt_host.basics.errors import InputError
from delt_host.plugins.words import (
    KIND_OF_STAGE,
    OF_STAGE,
    OPTION_SYNONYMS,
    STAGE_OF_KIND,
    TYPED,
    TYPED_OPTION,
    kind_of,
    plural,
    stage_of,
)

Record = dict[str, Any]
NEAR = 3  # guesses that an error has
SURE = 0.8  # how near an option is that is taken for another
FIRST = ("method", "dataset", "model")


def things(found: Record, name: str, kind: str = "") -> list[Record]:
    """The records of what is called so, of every kind or of one. InputError where it is only what several plugins provide."""
    kinds = [kind] if kind else list(found["things"])
    records = [found["things"][each][name] for each in kinds if name in found["things"][each]]
    clashes = [clash["said"] for clash in found["clashes"] if clash["name"] == name and clash["kind"] in kinds]
    if clashes and not records:
        raise InputError("; ".join(clashes))
    return records


def of_kind(found: Record, word: str) -> Record | None:
    """The kind or stage that a word names: what it is for, its names with a line each, and what `--set` may change of it; None
    for any other word."""
    stage = stage_of(word)
    kind = KIND_OF_STAGE[stage] if stage else kind_of(word, found["things"])
    if not kind:
        return None
    stage = STAGE_OF_KIND.get(kind, "")
    return {
        "kind": "kind",
        "name": kind,
        "about": found["kinds"][kind],
        "typed": TYPED[kind],
        "names": {name: found["things"][kind][name]["summary"] for name in sorted(found["things"][kind])},
        "stage": stage,
        "options": options_of(found, kind) if stage else {},
    }


def options_of(found: Record, kind: str) -> dict[str, str]:
    """All options that something of a kind has, each with what the first of them says of it in a line, and who has it where not
    all have; `squeezer`, which chooses one, among those of teachers."""
    things = found["things"][kind]
    having: dict[str, list[Record]] = {}
    for record in things.values():
        for option in record["options"]:
            having.setdefault(option, []).append(record)
    lines = {"squeezer": "Who trains them."} if kind == "squeezer" else {}
    for option, records in sorted(having.items()):
        whose = "" if len(records) == len(things) else f" ({', '.join(record['name'] for record in records)})"
        about = next((text for record in records if (text := record["options"][option]["about"])), "")
        lines[option] = " ".join(about.split()) + whose
    return lines


def with_option(found: Record, option: str, stages: Collection[str] = tuple(KIND_OF_STAGE)) -> dict[str, list[Record]]:
    """By stage, the records of what has an option of this name."""
    by_stage = {
        stage: [record for record in found["things"][KIND_OF_STAGE[stage]].values() if option in record["options"]]
        for stage in KIND_OF_STAGE
        if stage in stages
    }
    return {stage: records for stage, records in by_stage.items() if records}


def as_set(
    found: Record, word: str, value: str = "…", stages: Collection[str] = tuple(KIND_OF_STAGE), near: bool = True
) -> str:
    """How ``--set`` reaches an option, to go on in a sentence; empty where there is none.

    ``--set protocol.epochs=5 (how students are trained) or --set teacher.epochs=5 (how teachers are trained)``.
    """
    reached = addresses(found, word, stages, near)
    return " or ".join(f"--set {each}={value} ({OF_STAGE[each.partition('.')[0]]})" for each in reached)


def addresses(found: Record, word: str, stages: Collection[str] = tuple(KIND_OF_STAGE), near: bool = True) -> list[str]:
    """``STAGE.OPTION`` of all options of this name, or else of the one that is known under it, or the nearest."""
    plain = word.lower().replace("-", "_")
    option = OPTION_SYNONYMS.get(plain, plain)
    known = {each for stage in stages for each in options_of(found, KIND_OF_STAGE[stage])}
    if near and option not in known:
        option = next(iter(difflib.get_close_matches(option, sorted(known), n=1, cutoff=SURE)), "")
    return [f"{stage}.{option}" for stage in with_option(found, option, stages)]


def options(found: Record, word: str) -> list[Record]:
    """``protocol.epochs``, or ``epochs`` of any stage, which ``student.epochs`` is too: a record for each, with what the option
    is in each thing that has it."""
    head, _, option = word.rpartition(".")
    option = OPTION_SYNONYMS.get(option, option)
    only = stage_of(head) or kind_of(head, found["things"])
    records = {}
    for kind in sorted(found["things"], key=lambda kind: kind not in STAGE_OF_KIND):
        each, stage = found["things"][kind], STAGE_OF_KIND.get(kind, kind)
        of = {name: record["options"][option] for name, record in each.items() if option in record.get("options", {})}
        if kind == option == "squeezer":
            of = {"teachers": {"type": " | ".join(sorted(each)), "about": "Who trains them."}}
        if of:
            way = TYPED_OPTION.get(kind, f"--set {stage}.OPTION=VALUE").replace("OPTION", option)
            records[kind] = {"kind": "option", "name": f"{stage}.{option}", "typed": way, "of": of}
    wanted = KIND_OF_STAGE.get(only, only)
    return [records[wanted]] if wanted in records else list(records.values())


def search(found: Record, word: str, kind: str = "") -> list[Record]:
    """What a word means: the things of this name, of any kind or the one that is given; or else a kind, a stage, an option."""
    if (records := things(found, word, kind)) or kind:
        return records
    meant = of_kind(found, word)
    return [meant] if meant else options(found, word)


def guesses(word: str, known: Collection[str]) -> list[str]:
    """What is likely to be meant, the likeliest first."""
    begin = [name for name in sorted(known) if len(word) > 2 and name.startswith(word.lower())]
    near = difflib.get_close_matches(word.lower(), sorted(known), n=NEAR, cutoff=0.65)
    return list(dict.fromkeys([*near, *begin]))[:NEAR]


def every_name(found: Record) -> dict[str, str]:
    """Each name with the kinds of what is called so."""
    named: dict[str, list[str]] = {}
    for kind, records in found["things"].items():
        for name in records:
            named.setdefault(name, []).append(kind.replace("_", " "))
    return {name: " and ".join(kinds) for name, kinds in named.items()}


def kinds(found: Record) -> Iterator[Record]:
    """All kinds, as `of_kind` has them, those first that are asked for first."""
    for kind in dict.fromkeys([*FIRST, *found["things"]]):
        if (record := of_kind(found, plural(kind).replace(" ", "_"))) is not None:
            yield record

"""What to say to an option that a command does not have, and that other programs do: which one does it here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

import click

from delt_host.cli.sources import KINDS, keys, provided
from delt_host.plugins import lookup
from delt_host.plugins.words import KIND_OF_STAGE, kind_of, stage_of

MEANT = {
    "seed": "seeds students",
    "seeds": "students",
    "num_seeds": "seeds students",
    "trials": "seeds students",
    "repeats": "seeds students",
    "methods": "method",
    "algorithm": "method",
    "algo": "method",
    "baselines": "baseline",
    "controls": "control no-controls",
    "model": "teacher student",
    "models": "teacher student",
    "arch": "teacher student",
    "architecture": "teacher student",
    "network": "teacher student",
    "net": "teacher student",
    "backbone": "teacher student",
    "data": "dataset",
    "datasets": "dataset",
    "data_dir": "dataset",
    "data_path": "dataset",
    "data_root": "dataset",
    "root": "dataset",
    "images_per_class": "ipc",
    "spc": "ipc",
    "gpu": "device",
    "gpus": "device",
    "cuda": "device",
    "cpu": "device",
    "amp": "precision",
    "fp16": "precision",
    "bf16": "precision",
    "half": "precision",
    "dtype": "precision",
    "num_workers": "threads",
    "jobs": "threads engine",
    "output": "out to",
    "output_dir": "out to",
    "outdir": "out to",
    "save": "out to",
    "save_dir": "out to",
    "save_path": "out to",
    "log_dir": "out",
    "folder": "out to",
    "name": "out label",
    "run_name": "out label",
    "exp_name": "out label",
    "overwrite": "force",
    "cache": "store",
    "cache_dir": "store",
    "plan": "dry-run",
    "dryrun": "dry-run",
    "loss": "matcher",
    "objective": "matcher",
    "init": "initializer",
    "schedule": "scheduler",
    "labels": "regime",
    "label": "regime",
    "protocol": "regime",
    "relabeler": "regime",
    "metric": "evaluator",
    "metrics": "evaluator",
    "eval": "evaluator",
    "tracker": "observer",
    "logger": "observer",
    "tensorboard": "observer",
    "wandb": "observer",
    "log": "observer",
    "slurm": "engine",
    "ray": "engine",
    "cluster": "engine",
    "silent": "quiet",
    "squeezer": "set",
    "option": "set",
    "options": "set",
}
"""Options of a command, by a name that it is likely to be looked for under; those that the command has are told."""

SAID = {
    "resume": "there is nothing to resume by hand: the same command goes on from what is finished, which the store keeps",
    "config": "a recipe's file is given as it is: delt-host run FILE",
    "recipe": "a recipe's file is given as it is: delt-host run FILE",
    "verbose": "`delt-host --debug COMMAND` shows tracebacks",
    "pretrained": "pretrained weights are --set teacher.weights=DEFAULT on ImageNet-1K; any other checkpoint: delt-host "
    "import-teacher, then --teacher FILE",
    "list": "delt-host list names all there is",
}
SAID["continue"] = SAID["resume_from"] = SAID["resume"]
SAID["cfg"] = SAID["config_file"] = SAID["config"]


def of_option(error: click.NoSuchOption, words: Sequence[str]) -> click.UsageError:
    """What to raise in its place: an error that names what does it, or the same one. `words` are what was typed."""
    command = error.ctx.command if error.ctx else None
    name = error.option_name.lstrip("-").replace("-", "_").lower()
    if command is None or not error.option_name.startswith("--"):
        return error
    there = {
        each.removeprefix("--"): option for option in command.params for each in (*option.opts, *option.secondary_opts)
    }
    meant = [each for each in MEANT.get(name, "").split() if each in there]
    meant = meant or [each for each in there if each.startswith(error.option_name.removeprefix("--"))]
    if meant:
        said = f"use {' or '.join(_shown(there[each], error.ctx) for each in meant)}"
    elif name in SAID:
        said = SAID[name]
    elif "set" in there:
        stages = getattr(there["set"].type, "stages", tuple(KIND_OF_STAGE))
        way = as_set(name, _value(error.option_name, words), stages, near=not error.possibilities)
        said = f"use {way}" if way else ""
    else:
        said = ""
    return click.UsageError(f"{command.name} has no {error.option_name}; {said}", error.ctx) if said else error


def of_command(word: str, there: Collection[str]) -> str:
    """What to say to a word that is no command but something else, which `list` or `show` tell of; empty for any other."""
    kinds = keys(*KINDS)
    if "list" not in there or "show" not in there:
        return ""
    if kind_of(word, kinds) or stage_of(word):
        return f"there is no command {word!r}; use delt-host list {word}"
    if named := [kind.replace("_", " ") for kind in kinds if word in provided(kind)]:
        return f"there is no command {word!r}, but a {' and a '.join(named)}; use delt-host show {word}"
    return ""


def as_set(option: str, value: str, stages: Sequence[str], near: bool = True) -> str:
    """How ``--set`` reaches an option of components, or else the nearest one; empty where nothing is near, or what is installed
    cannot be read."""
    from delt_host.plugins.kept import catalogue

    with suppress(Exception):  # it would be a hint and no more
        return lookup.as_set(catalogue(), option, value, stages, near)
    return ""


def _shown(option: click.Parameter, ctx: click.Context | None) -> str:
    assert ctx is not None
    shown = option.get_help_record(ctx)
    name, about = shown if shown else (option.opts[-1], "")
    return f"{name.rpartition(', ')[2]} ({about.removesuffix('.')})"


def _value(option: str, words: Sequence[str]) -> str:
    """What was typed behind an option."""
    for place, word in enumerate(words):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option and place + 1 < len(words) and not words[place + 1].startswith("-"):
            return words[place + 1]
    return "…"

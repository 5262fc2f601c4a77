"""Words for kinds and stages, as people type them; known without importing what is of these kinds."""

from __future__ import annotations

from collections.abc import Collection

from delt_host.basics.version import STAGES

KIND_OF_STAGE = {"dataset": "dataset", "protocol": "protocol", "teacher": "squeezer"} | {
    k: k for k in ("form", *STAGES)
}
"""The stages of ``--set STAGE.OPTION=VALUE``, and the kind whose options these are."""
STAGE_OF_KIND = {kind: stage for stage, kind in KIND_OF_STAGE.items()}

OF_STAGE = {
    "dataset": "the real images",
    "protocol": "how students are trained",
    "teacher": "how teachers are trained",
    "form": "how sets are stored",
    "initializer": "where recovery starts",
    "scheduler": "how images are optimised",
    "matcher": "what images are made to match",
    "relabeler": "what students are told",
    "evaluator": "how sets are scored",
}
"""What the options of a stage are about."""

TYPED = {
    "initializer": "--initializer NAME, or --method METHOD,initializer=NAME",
    "scheduler": "--scheduler NAME, or --method METHOD,scheduler=NAME",
    "matcher": "--matcher NAME, or --method METHOD,matcher=NAME",
    "relabeler": "--regime NAME:PROTOCOL",
    "evaluator": "--evaluator NAME",
    "form": "--form NAME, or --method METHOD,form=NAME",
    "network_source": "--set matcher.networks=NAME",
    "protocol": "--regime RELABELER:NAME",
    "regime": "--regime NAME",
    "squeezer": "--set teacher.squeezer=NAME (the network that they train: --teacher MODEL, see delt-host list models)",
    "method": "--method NAME, --baseline NAME or --control NAME",
    "dataset": "--dataset NAME",
    "model": "--teacher NAME, --student NAME",
    "observer": "--observer NAME",
    "engine": "--engine NAME, or NAME,OPTION=VALUE",
    "report": "",
}
"""How the names of a kind are typed; reports are not, but written when a run has ended."""

TYPED_OPTION = {
    "engine": "--engine NAME,OPTION=VALUE",
    "network_source": """--set 'matcher.networks={"name": "NAME", "OPTION": VALUE}'""",
}
"""How an option is typed of what is no stage of ``--set``."""

_SYNONYMS = {
    "network": "model",
    "net": "model",
    "architecture": "model",
    "arch": "model",
    "backbone": "model",
    "student": "model",
    "baseline": "method",
    "algorithm": "method",
    "loss": "matcher",
    "label": "relabeler",
    "metric": "evaluator",
    "init": "initializer",
    "initialization": "initializer",
    "schedule": "scheduler",
    "tracker": "observer",
    "logger": "observer",
    "source": "network_source",
    "data": "dataset",
}


OPTION_SYNONYMS = {
    "epoch": "epochs",
    "num_epochs": "epochs",
    "iteration": "iterations",
    "iters": "iterations",
    "num_iterations": "iterations",
    "max_steps": "iterations",
    "lr": "learning_rate",
    "bs": "batch_size",
    "batch": "batch_size",
    "wd": "weight_decay",
    "optim": "optimizer",
    "opt": "optimizer",
    "download_data": "download",
}
"""Names of components' options, by others that they are known under."""


def plural(kind: str) -> str:
    """``network sources``."""
    return f"{kind.replace('_', ' ')}s"


def kind_of(word: str, kinds: Collection[str]) -> str:
    """The kind that a word means, in the singular or plural; empty where it means none.

    >>> [kind_of(word, ["model", "network_source"]) for word in ("Networks", "network-source", "cda")]
    ['model', 'network_source', '']
    """
    plain = word.lower().replace("-", "_").replace(" ", "_")
    for each in (plain, plain.removesuffix("s"), plain.removesuffix("es")):
        if each in kinds:
            return each
        if _SYNONYMS.get(each) in kinds:
            return _SYNONYMS[each]
    return ""


def stage_of(word: str) -> str:
    """The stage of ``--set`` that a word names, in the singular or plural; empty where it names none."""
    plain = word.lower().removesuffix("s")
    return plain if plain in KIND_OF_STAGE else ""

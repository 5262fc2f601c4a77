"""Relabelers, and the regimes that stand side by side: students are told the class, one soft label an image, or one a view."""

from __future__ import annotations

from delt_host import Regime, Relabeler, hookimpl, use
from delt_plugins.labels.compressed import EightBit, Pruned, TopK
from delt_plugins.labels.relabelers import Fixed, Fkd, Hard, Online

HARD = Regime(
    summary="the class of each image and no teacher: what the images alone are worth",
    source="Zhao and Bilen, ICML 2021, arXiv 2102.08259: the students of the matching family",
    relabeler=use("hard"),
    protocol=use("dsa"),
)
FIXED = Regime(
    summary="the teacher's probabilities for each image, one label an image",
    source="the middle of DD-Ranking's three label regimes, arXiv 2505.13300",
    relabeler=use("fixed"),
    protocol=use("dsa"),
)
VIEWS = Regime(
    summary="the teacher's logits for every view that a student sees",
    source="SRe2L, section 3.3, after Shen and Xing, ECCV 2022 (FKD)",
    relabeler=use("fkd"),
    protocol=use("fair"),
)


@hookimpl
def delt_relabelers() -> dict[str, type[Relabeler]]:
    return {
        "fkd": Fkd,
        "online": Online,
        "fixed": Fixed,
        "hard": Hard,
        "pruned": Pruned,
        "top-k": TopK,
        "eight-bit": EightBit,
    }


@hookimpl
def delt_regimes() -> dict[str, Regime]:
    return {"hard": HARD, "fixed": FIXED, "views": VIEWS}

"""CDA: SRe2L with a curriculum of crops, from the whole image to small parts (Yin, Shen, TMLR 2024, arXiv 2311.18838)."""

from __future__ import annotations

from delt_host import Method, hookimpl, use

CDA = Method(
    summary="noise, constant schedule with cosine crop curriculum, BatchNorm statistics",
    source="Yin, Shen: Dataset Distillation via Curriculum Data Synthesis in Large Data Era, TMLR 2024, arXiv 2311.18838",
    initializer=use("noise"),
    scheduler=use("constant", crop="cosine", roll="scaled"),
    matcher=use("batch-norm"),
    regime="fkd:sre2l",
    datasets={
        "tiny-imagenet": {
            "scheduler.learning_rate": 0.4,
            "matcher.weight": 0.05,
            "scheduler.roll": (0, 4),
        },
    },
)


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"cda": CDA}

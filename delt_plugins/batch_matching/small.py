"""The same methods for about a quarter of an hour of one core for a set of CIFAR-10 at IPC 10, with `--compile`.

None is its paper's: iterations are an eighth to a thousandth, batches smaller and networks fewer; Adam with a falling rate
takes the place of SGD, which needs the published number of steps to get anywhere.
"""

from __future__ import annotations

from typing import Any

from delt_host import Choice, Method, use
from delt_plugins.batch_matching.published import ALL, METHODS, NETWORK, STUDENTS, experts, on_real, on_set
from delt_plugins.dm.plugin import DM

REAL = 64
"""Real images of a class in a step."""
POINTS = experts(experts=3, epochs=2, batch=64, learning_rate=0.02, siamese="crop_flip", decay="linear")
"""Four minutes of a core, once for all rows and sets."""


def whole_set(iterations: int, siamese: str = ALL, **options: Any) -> Choice:
    """Adam at 0.03, falling to nothing."""
    options = {"optimizer": "adam", "learning_rate": 0.03, "betas": (0.9, 0.99), "decay": "cosine", **options}
    return use("whole-set", iterations=iterations, siamese=siamese, **options)


def small(of: str, words: str, scheduler: Choice, matcher: Choice, form: str = "mosaic") -> Method:
    """On the digits as the method itself, but for the schedule."""
    published = {**METHODS, "dm": DM}[of]
    return Method(
        summary=f"{of} for some 15 minutes of one core: {words}",
        of=of,
        initializer=use("clustered", candidates=500) if of == "dream" else use("real"),
        scheduler=scheduler,
        matcher=matcher,
        form=use(form),
        regime=STUDENTS,
        datasets={key: options for key, options in published.datasets.items() if key.startswith("digits")},
    )


AGES = on_set(10, 10)
"""As DC's at IPC 10, with ten epochs between matches for fifty."""
TRAINED = on_real(size=1, max_age=25, steps=1, batch=128, learning_rate=0.02, siamese="crop_flip")
POOL = on_real(size=10, max_age=60, steps=2, batch=64, learning_rate=0.02, siamese="crop_flip")
SQUARED = {"networks": TRAINED, "real_batch": REAL, "distance": "squared", "layers": "convolutions"}

SMALL = {
    "dc-small": small(
        "dc", "from real images", whole_set(440, ""), use("gradients", networks=AGES, real_batch=REAL), "pixels"
    ),
    "dsa-small": small(
        "dsa",
        "fewer networks",
        whole_set(460),
        use("gradients", networks={**AGES, "siamese": ALL}, real_batch=REAL),
        "pixels",
    ),
    "dcc-small": small(
        "dcc",
        "from real images, and the classes together from a quarter on",
        whole_set(460, "", turns="together"),
        use("gradients", networks=AGES, real_batch=REAL, contrastive_from=115),
        "pixels",
    ),
    "idc-small": small("idc", "fewer networks", whole_set(360), use("gradients", **SQUARED)),
    "dream-small": small(
        "dream",
        "fewer networks, and clusters among 500 images of a class",
        whole_set(330),
        use("gradients", **SQUARED, clustered_every=20, clustered_from=500),
    ),
    "dm-small": small(
        "dm",
        "fewer networks, and DSA's operations",
        whole_set(2100),
        use("distribution", networks={"name": "fresh", "model": NETWORK}, real_batch=REAL),
        "pixels",
    ),
    "idm-small": small(
        "idm",
        "a pool of ten",
        whole_set(1150),
        use("classified-means", networks=POOL, real_batch=REAL, classify=0.5),
    ),
    "dance-small": small(
        "dance",
        "three experts of two epochs",
        whole_set(570),
        use(
            "classified-means", networks=POINTS, real_batch=REAL, classify=1.0, weighted_by="one", balance="first step"
        ),
    ),
    "ncfm-small": small(
        "ncfm",
        "three experts of two epochs, a thousand frequencies",
        whole_set(520),
        use("characteristic", networks=POINTS, real_batch=REAL, frequencies=1024, balance="first step"),
    ),
}
"""By name. CIM as published takes no longer."""

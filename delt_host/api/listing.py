"""What is installed, by the names that can be typed: what ``delt-host list`` and ``delt-host show`` tell."""

from __future__ import annotations

from delt_host.basics.errors import InputError, unknown
from delt_host.plugins import catalogue, lookup
from delt_host.plugins.registry import load_registry
from delt_host.plugins.words import kind_of, plural


def list_methods() -> dict[str, str]:
    """The methods, with a line on what each is: what `method`, `baseline` and `control` of `delt_host.run` take."""
    return list_names("method")


def list_names(kind: str) -> dict[str, str]:
    """All names of a kind, as `matcher`, `dataset` or `network`, with a line each. InputError for no such kind."""
    registry = load_registry()
    known = kind_of(kind, registry.provided)
    if not known:
        raise unknown("kind", kind, [plural(each) for each in registry.provided])
    return catalogue.names(registry, known)


def describe(name: str) -> list[lookup.Record]:
    """What a name stands for: a record for each thing, kind, stage or option that is called so. InputError for any other word.

    Options come with `default`, `type`, `required` and `about`.
    """
    registry = load_registry()
    found = catalogue.everything(registry)
    records = catalogue.in_file(registry, name) or lookup.search(found, name)
    if records:
        return records
    try:
        return [catalogue.network(registry, name)]  # of torchvision or timm
    except InputError:
        raise unknown("name", name, lookup.every_name(found)) from None

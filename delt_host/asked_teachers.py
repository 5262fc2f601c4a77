"""The teachers of an experiment: those asked for, or the dataset's and those that the methods want beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from delt_host.errors import InputError
from delt_host.options import build
from delt_host.set_options import SetOptions, of_stage
from delt_host.squeeze import TeacherRecipe


def asked_teachers(
    given: Sequence[Any], suggested: Mapping[str, Any], sets: SetOptions, committee: Sequence[str]
) -> tuple[TeacherRecipe | Path, ...]:
    """The teachers asked for, or the dataset's and those that the methods want beside it."""
    teachers = [_teacher(one, suggested, sets) for one in given or [{}]]
    if not given:
        there = {teacher.model for teacher in teachers if isinstance(teacher, TeacherRecipe)}
        teachers += [_teacher(model, suggested, sets) for model in committee if model not in there]
    for place, teacher in enumerate(teachers):
        if teacher in teachers[:place]:
            raise InputError("a teacher is given twice; a committee's members differ (another model or teacher.seed)")
    return tuple(teachers)


def _teacher(given: Any, suggested: Mapping[str, Any], sets: SetOptions) -> TeacherRecipe | Path:
    if isinstance(given, str):
        given = {"file": given} if given.endswith(".safetensors") or Path(given).is_file() else {"model": given}
    options = {**of_stage("teacher", suggested), **(given or {})}
    if "file" in options:
        if not Path(options["file"]).is_file():
            raise InputError(f"no teacher at {options['file']}")
        if changed := sets.of("teacher"):
            raise InputError(f"the teacher comes from {options['file']}; teacher.{next(iter(changed))} cannot be set")
        return Path(options["file"])
    return build(TeacherRecipe, {**options, **sets.of("teacher")}, "teacher")

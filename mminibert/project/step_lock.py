"""`project.lock`, in which `spacy project run` keeps what each step was made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import srsly

from ..files import reading

LOCK = Path("project.lock")


def check_step_lock(path: Path = LOCK) -> None:
    """Raises ValueError if there is such a file, and it is not what weasel writes.

    That writes in place, so one that is killed may leave a part. The next one ends by a traceback there,
    after its first step, which therefore looks first.
    """
    if not path.exists():
        return
    with reading(path, "delete it: steps that are complete are then found to be so, and no work is lost"):
        steps = srsly.read_yaml(path)
        if not isinstance(steps, Mapping) or not all(isinstance(step, Mapping) for step in steps.values()):
            raise TypeError("no table of steps")

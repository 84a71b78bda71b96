"""Continue an interrupted `spacy train`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.language import Language
from thinc.api import Config

STEP = "training_step"
REWARM_STEPS = 20
"""The optimizer's averages are not kept, so the rate rises again from 0 over as many steps."""


def remember_step(start: int = 0) -> Callable[[Language, dict[str, Any]], None]:
    """A callback for ``training.before_update`` that notes in the pipeline's meta how far training is.

    Registered as ``mminibert.remember_step.v1``. start: steps that earlier runs have done.
    """

    def remember(nlp: Language, info: dict[str, Any]) -> None:
        nlp.meta[STEP] = start + info["step"]

    return remember


def steps_done(output: Path) -> tuple[int, Path | None]:
    """How many steps the newest pipeline in a training folder has seen, and its path; 0 and None if there
    is none that loads."""
    for name in ("model-last", "model-best"):
        meta = output / name / "meta.json"
        if meta.exists():
            try:
                spacy.load(output / name)
                return int(srsly.read_json(meta).get(STEP, 0)), output / name
            except (OSError, ValueError, KeyError, RuntimeError):
                continue  # interrupted while it was being written
    return 0, None


def resumed(config: Config, done: int, source: Path) -> Config:
    """The config of the rest of a run: components from ``source``, the remaining steps, and the learning
    rate on the same line down to 0, or as far decayed as it was; other sentences are drawn than before."""
    config = Config(copy.deepcopy(dict(config)))
    training, schedule = config["training"], config["training"]["optimizer"]["learn_rate"]
    total = training["max_steps"]
    if schedule["@schedules"] == "compounding.v1":
        schedule["start"] = max(schedule["start"] * schedule["compound"] ** done, schedule["stop"])
    else:
        warmup = schedule["warmup_steps"]
        schedule["initial_rate"] *= min(1.0, (total - done) / (total - warmup))
        schedule["warmup_steps"] = max(min(REWARM_STEPS, total - done - 1), 0)
    training["max_steps"] = total - done
    training["before_update"]["start"] = done
    config["corpora"]["train"]["seed"] = config["system"]["seed"] + done
    config["components"] = {name: {"source": str(source)} for name in config["nlp"]["pipeline"]}
    config["initialize"].pop("components", None)
    return config

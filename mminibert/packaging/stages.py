"""How a pipeline's weights were trained, stage after stage: kept in its meta.json, said by its card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..runtime.morphologizer import COMPONENT

TRAINING = "training"
"""The entry of meta.json: a list of what `training_stage` gives, the first stage first."""
SEEN = "seen_words"
"""Of a stage: how many its weights have seen. It is less than ``words`` where a limit in seconds ended it, or
earlier weights were the best."""
ENCODERS = (("transformer", "model", "transformer_config"), (COMPONENT, "model", "tok2vec"))
"""Where a config's section ``components`` has the settings of a teacher's encoder, and of a student's."""
SIZES = ("num_hidden_layers", "word_layers", "hidden_width", "num_attention_heads")
FILES = frozenset({"embeddings", "start"})
"""Of the section ``[distillation]``, what names a file of the training run."""


def training_stage(
    config: Mapping[str, Any],
    *,
    start: Mapping[str, Any] | None = None,
    teacher: Sequence[Mapping[str, Any]] = (),
    soft_words: int | None = None,
    labelled_by: str | None = None,
) -> dict[str, Any]:
    """One stage. config: interpolated, of the run. start: meta.json of the pipeline that it goes on from.
    teacher: the `stages` of the pipeline which labelled ``soft_words`` words. labelled_by: its name and
    version, if that was a packaged one."""
    found: Mapping[str, Any] = {}
    for path in ENCODERS:
        section: Any = config["components"]
        for key in path:
            section = section.get(key, {})
        found = section or found
    schedule = config.get("distillation", {})
    stage: dict[str, Any] = {
        "encoder": {name: found[name] for name in SIZES if name in found},
        "schedule": {name: schedule[name] for name in sorted(schedule.keys() - FILES)},
    }
    if start is not None:
        stage["start"] = pipeline_name(start)
    if teacher:
        stage["teacher"] = list(teacher)
    if soft_words is not None:
        stage["soft_words"] = soft_words
    if labelled_by is not None:
        stage["labelled_by"] = labelled_by
    return stage


def pipeline_name(meta: Mapping[str, Any]) -> str:
    """Name and version by a pipeline's meta.json."""
    return f"{meta['lang']}_{meta['name']} {meta['version']}"


def stages(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of a pipeline's meta.json; none of one that was trained before they were kept."""
    return list(meta.get(TRAINING, []))


def training_lines(meta: Mapping[str, Any], teacher: str, *, is_teacher: bool = False) -> Iterator[str]:
    """Of the card, an item of a list each. teacher: the name of the encoder that it began from. is_teacher:
    whether the pipeline is that teacher."""
    known = stages(meta)
    if is_teacher:
        yield f"- {teacher}, fine-tuned on the treebanks below: a softmax for UPOS and one for each feature."
        yield from map(_stage_line, known)
        return
    taught = next((stage for stage in known if stage.get("teacher")), {}).get("teacher", [{}])[-1]
    yield f"- Teacher: {teacher}, fine-tuned on the treebanks below" + _settings(
        {**taught.get("encoder", {}), **taught.get("schedule", {})}, ("num_hidden_layers", "words")
    )
    encoder = known[-1]["encoder"] if known else {}
    yield "- Student: a BERT encoder with one softmax for UPOS and one for each feature" + _settings(
        encoder, SIZES
    )
    yield (
        "- Trained on distributions of labels for each word: the teacher's (`soft_targets`), those of the "
        "treebanks (`gold_targets`)."
    )
    yield from map(_stage_line, known)


def _stage_line(stage: Mapping[str, Any]) -> str:
    start = f"From `{stage['start']}`" if "start" in stage else "From the beginning"
    by = f"`{stage['labelled_by']}`" if "labelled_by" in stage else "the teacher"
    soft = f", {stage['soft_words']:,} words labelled by {by}" if "soft_words" in stage else ""
    schedule = stage["schedule"]
    seen = stage.get(SEEN)
    told = {**schedule, SEEN: seen} if seen is not None and seen < schedule["words"] else schedule
    return f"- {start}{soft}" + _settings(told, told)


def _settings(section: Mapping[str, Any], names: Iterable[str]) -> str:
    known = {name: section[name] for name in names if section.get(name) is not None}
    shown = {name: f"{x:g}" if isinstance(x, float) else x for name, x in known.items()}
    return f": {', '.join(f'`{name}` {x}' for name, x in shown.items())}." if shown else "."

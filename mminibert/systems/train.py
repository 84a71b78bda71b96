"""From a system's config to its trained pipeline, by the loop of `training`; resumes exactly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import spacy
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.util import registry
from thinc.api import Config
from torch import Tensor

from ..data.corpus import conventions_of
from ..data.lock import only_run
from ..files import check_apart, read_json, reading, recover_folder, replace_folder, write_json
from ..packaging.stages import SEEN, TRAINING, stages, training_stage
from ..project.profile import Profile, compose, read_systems
from ..training.checkpoint import Progress, Run
from ..training.fields import Fields
from ..training.loop import fit
from ..training.predict import HeldOut
from ..training.ranks import ALONE, Ranks
from ..training.schedule import Schedule
from ..training.targets import Strategy
from .manifest import SOFT_TARGETS, shards_of
from .model import PipelineTagger, pipeline_model, set_word_embeddings
from .provenance import check_unchanged, pretrained, provenance
from .shards import held_out, stored_targets
from .transfer import continue_from

OnStep = Callable[[Progress, Tensor], None]


def has_own_loop(system: str) -> bool:
    """Whether a system is trained here, a model of wordpieces for all treebanks, or by `spacy train`."""
    row = read_systems()[system]
    return row["scope"] == "all" and row["encoder"] in ("bert", "minibert")


@dataclass(frozen=True)
class Training:
    """A pipeline, what it learns from, what it is scored by, and the folder for both. stage: what the
    pipeline's meta.json says of this training."""

    nlp: Language
    model: PipelineTagger
    targets: Strategy
    schedule: Schedule
    dev: HeldOut
    output: Path
    ranks: Ranks = ALONE
    stage: dict[str, object] = field(default_factory=dict)

    def run(
        self,
        on_step: OnStep = lambda *_: None,
        on_row: Callable[[dict[str, float]], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Progress:
        """Train to the end of the schedule. In the folder are ``log.jsonl``, ``model-best``, the pipeline
        with the highest score so far, and ``checkpoint.pt``, from which an interrupted run goes on. say: told
        if ``model-best`` is gone, see `fit`. All of this by the first rank alone."""
        inventory, pipe = self.model.pipe.inventory, self.model.pipe
        sizes = [len(values) for _, values in inventory.fields]
        best = self.output / "model-best" / "meta.json"
        fields = Fields(sizes, pipe.upos_weight, str(self.model.device))

        def step(now: Progress, loss: Tensor) -> None:
            self.stage[SEEN] = now.words
            on_step(now, loss)

        with only_run(self.output) if self.ranks.is_first else nullcontext():
            if self.ranks.is_first:
                recover_folder(best.parent)
            done = fit(
                self.model,
                self.targets,
                self.schedule,
                fields,
                self.dev,
                Run(self.output / "log.jsonl", self.output / "checkpoint.pt", best=best),
                on_best=self._keep,
                on_step=step,
                on_row=on_row,
                say=say,
                ranks=self.ranks,
            )
            self.model.write_back()
            return done

    def _keep(self) -> None:
        self.model.write_back()
        replace_folder(self.output / "model-best", self.nlp.to_disk)


def make_training(
    system: str, profile: Profile, *, output: Path | None = None, gpu: int = -1, ranks: Ranks = ALONE
) -> Training:
    """What trains a system that has a section ``[distillation]``; its config and what it is made with are
    written to the training folder, the profile's if no other is given, by the first rank.

    Raises ValueError if the folder holds a run with another config or corpus, or the student that it starts
    from, FileNotFoundError if targets are missing; then the folder is left as it was.
    """
    output = output or profile.training(system)
    config = compose(system, profile)
    section = dict(config.interpolate()["distillation"])
    manifests = [profile.corpus / name / "manifest.json" for name in section.pop("targets")]
    if missing := [str(path) for path in manifests if not path.exists()]:
        raise FileNotFoundError(f"no {', '.join(missing)}; run the steps `collect-gold` and `collect` first")
    embeddings, start = section.pop("embeddings"), section.pop("start")
    settings = {
        "temperature": section.pop("temperature"),
        "masking": section.pop("word_masking"),
        "not_given": section.pop("not_given"),
    }
    told = section.pop("conventions")
    schedule = Schedule(**{name: value for name, value in section.items() if value is not None})
    trained = _load(start) if start else None
    check_apart(output / "model-best", [trained.path if trained is not None else None])
    inputs = [profile.corpus / "manifest.json", *manifests, *pretrained(config)]
    if embeddings:
        inputs.append(profile.corpus / embeddings)
    if trained is not None:
        inputs += [trained.path / name / "model" for name in trained.component_names]
    read_json(profile.corpus / "labels.json", "run `collect-gold` again", "fields", "combinations")
    record = provenance(config, inputs)
    check_unchanged(output / "run.json", record)
    nlp = init_nlp(config, use_gpu=gpu)
    if embeddings:
        path = profile.corpus / embeddings
        with reading(path, "run `collect` again"):
            rows = np.load(path, allow_pickle=False)
        set_word_embeddings(nlp, rows)
    if trained is not None:
        continue_from(nlp, trained)
    nlp.meta[TRAINING] = said = _stages(config.interpolate(), trained, manifests)
    conventions = conventions_of(profile.corpus, profile.treebanks) if told else {}
    model = pipeline_model(nlp, conventions)
    shards = [shard for path in manifests for shard in shards_of(path)]
    targets = stored_targets(shards, model, schedule, **settings)
    reader = registry.resolve({"dev": config.interpolate()["corpora"]["dev"]})["dev"]
    codes = [code for code, pool in reader.pools(nlp).items() for _ in pool]
    dev = held_out(list(reader(nlp)), model, codes)
    if ranks.is_first:
        write_run(output, config, record)
    return Training(nlp, model, targets, schedule, dev, output, ranks, said[-1])


def _stages(config: Config, trained: Language | None, manifests: list[Path]) -> list[dict[str, object]]:
    """Those of the pipeline that training goes on from, and this one. manifests: of the targets."""
    paths = [path for path in manifests if path.parent.name == SOFT_TARGETS]
    soft = read_json(paths[0], "run `collect` again", "words") if paths else {}
    stage = training_stage(
        config,
        start=trained.meta if trained is not None else None,
        teacher=soft.get(TRAINING, ()),
        soft_words=soft.get("words"),
        labelled_by=soft.get("labelled_by"),
    )
    return [*(stages(trained.meta) if trained is not None else []), stage]


def write_run(output: Path, config: Config, record: dict[str, object]) -> None:
    """Say in a training folder what its run is made with, unless it says so: a call that only goes on, or
    finds all done, may be of other versions."""
    if (output / "run.json").exists():
        return
    output.mkdir(parents=True, exist_ok=True)
    config.to_disk(output / "config.cfg")
    write_json(output / "run.json", record)


def _load(start: str) -> Language:
    try:
        return spacy.load(start)
    except OSError as error:
        raise FileNotFoundError(
            f"distillation.start is {start!r}, expected an installed pipeline or the folder of one; install "
            "it (pip install --no-deps packages/xx_mminibert-*.whl) or take the setting out of the profile"
        ) from error

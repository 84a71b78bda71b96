"""Training of a system by `spacy train`: one model for all treebanks, or one a treebank."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from thinc.api import Config

from ..data.corpus import collect_labels
from ..data.lock import only_run
from ..files import read_json, write_json
from ..project.profile import Profile, compose, read_systems
from .provenance import check_unchanged, pretrained, provenance
from .resume import resumed, steps_done


@dataclass(frozen=True)
class SpacyRun:
    """A model to be trained: of all treebanks, or of one of them."""

    system: str
    profile: Profile
    treebank: str | None = None

    @property
    def output(self) -> Path:
        folder = self.profile.training(self.system)
        return folder / self.treebank if self.treebank else folder


def runs(system: str, profile: Profile) -> Iterator[SpacyRun]:
    """The models of a system: one, or by its ``scope`` one for each treebank that has a training set.

    Raises FileNotFoundError if the corpus was not converted.
    """
    if read_systems()[system]["scope"] == "all":
        yield SpacyRun(system, profile)
        return
    path = profile.corpus / "manifest.json"
    if not path.exists():
        raise FileNotFoundError(f"no {path}; run the step `convert` first")
    entries = read_json(path, "run the step `convert` again", "treebanks")["treebanks"]
    for ltcode in profile.treebanks:
        if "train" in entries[ltcode]["splits"]:
            yield SpacyRun(system, profile, ltcode)


def train(run: SpacyRun, *, gpu: int = -1, say: Callable[[str], None] = lambda _: None) -> int:
    """The exit status of `spacy_train` for a system's model."""
    treebanks = [run.treebank] if run.treebank else run.profile.treebanks
    config = compose(run.system, run.profile, treebanks)
    return spacy_train(config, run.profile.corpus, treebanks, run.output, gpu=gpu, say=say)


def spacy_train(
    config: Config,
    corpus: Path,
    treebanks: Sequence[str],
    output: Path,
    *,
    gpu: int = -1,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """The exit status of `spacy train`; 0 if the model was trained before. An interrupted run continues.
    `say` is told which of these it is. The labels go where the config reads them.

    Raises ValueError if the folder holds a run with another config or corpus.
    """
    with only_run(output):
        record = provenance(config, [corpus / "manifest.json", *pretrained(config)])
        check_unchanged(output / "run.json", record)
        if (output / "done").exists():
            best = output / "model-best"
            if (best / "meta.json").exists():
                say(f"{output}: trained already; delete the folder to train anew")
                return 0
            say(f"{best} is gone: training anew")
            shutil.rmtree(output / "model-last", ignore_errors=True)
            (output / "done").unlink()
        write_json(output / "run.json", record)
        write_json(Path(config["paths"]["labels"]), collect_labels(corpus, treebanks).to_json())
        path = output / "config.cfg"
        config.to_disk(path)
        done, source = steps_done(output)
        if source is not None:
            say(f"continuing from {source}, {done} of {config['training']['max_steps']} steps done")
            path = output / "config-resumed.cfg"
            resumed(config, done, source).to_disk(path)
        command = [sys.executable, "-m", "spacy", "train", str(path)]
        command += ["--output", str(output), "--gpu-id", str(gpu)]
        # Loading some layers of an encoder is meant; transformers warns of each weight that it leaves out.
        quiet = {"TRANSFORMERS_VERBOSITY": "error", **os.environ}
        status = subprocess.run(command, env=quiet).returncode
        if status == 0:
            (output / "done").touch()
        return status

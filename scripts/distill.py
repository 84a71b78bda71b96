"""Train a student on soft targets, on gold labels, or on one after the other."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import spacy
import srsly
import torch
import typer
from spacy.training.initialize import init_nlp
from spacy.util import registry
from tqdm import tqdm

from mminibert.config import Profile, compose
from mminibert.distill import Trainer, set_word_embeddings
from mminibert.files import write_json
from mminibert.provenance import check_unchanged, provenance
from mminibert.soft_corpus import Schedule, SoftCorpus
from mminibert.trained import continue_from


def main(
    system: Annotated[str, typer.Argument(help="a row of configs/systems.toml with the encoder minibert")],
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    threads: Annotated[int, typer.Option(help="processor threads")] = 1,
    gpu: Annotated[int, typer.Option(help="GPU id, -1 for CPU")] = -1,
) -> None:
    torch.set_num_threads(threads)
    settings = Profile.read(profile)
    output = settings.training(system)
    output.mkdir(parents=True, exist_ok=True)
    config = compose(system, settings)
    config.to_disk(output / "config.cfg")
    resolved = config.interpolate()
    section = dict(resolved["distillation"])
    targets = settings.corpus / section.pop("soft_targets")
    embeddings = section.pop("embeddings")
    start = section.pop("start")
    inputs = [settings.corpus / "manifest.json", targets / "manifest.json"]
    trained = None if start is None else spacy.load(start)
    if trained is not None:
        inputs.append(trained.path / "morphologizer" / "model")
    record = provenance(config, inputs)
    check_unchanged(output / "run.json", record)
    write_json(output / "run.json", record)
    nlp = init_nlp(config, use_gpu=gpu)
    if embeddings is not None:
        set_word_embeddings(nlp, np.load(settings.corpus / embeddings, allow_pickle=False))
    if trained is not None:
        continue_from(nlp, trained)
    dev = list(registry.resolve({"dev": resolved["corpora"]["dev"]})["dev"](nlp))
    pipe: Any = nlp.get_pipe("morphologizer")
    encoder = pipe.model.get_ref("tok2vec")
    names = srsly.read_json(targets / "manifest.json")["shards"]
    shards = [targets / name for name in names]
    corpus = SoftCorpus(shards, encoder.shims[0].pieces, max_pieces=encoder.attrs["max_pieces"])
    trainer = Trainer(nlp, corpus, dev, Schedule(**section), output)
    trainer.run(Bar())
    print(f"{output / 'model-best'}: best dev score {trainer.best:.4f}")


class Bar:
    """Steps, words a second, loss and time left."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None

    def __call__(self, trainer: Trainer, loss: float) -> None:
        if self.bar is None:
            self.bar = tqdm(total=trainer.total, initial=trainer.step - 1, unit="step", mininterval=5)
        self.bar.set_postfix(
            loss=f"{loss:.2f}", words_s=round(trainer.words / trainer.seconds), refresh=False
        )
        self.bar.update()


if __name__ == "__main__":
    spacy.util.logger.setLevel("WARNING")
    typer.run(main)

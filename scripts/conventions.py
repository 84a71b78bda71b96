"""Compare forms of telling a student the convention of a sentence, at equal words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import spacy
import torch
import typer
from spacy.training import Example

from mminibert.command import run_command
from mminibert.data.corpus import TreebankCorpus
from mminibert.files import write_json
from mminibert.project.profile import Profile
from mminibert.project.settings import OverridingSection
from mminibert.systems.shards import held_out
from mminibert.systems.train import make_training
from mminibert.training.fields import Fields
from mminibert.training.predict import accuracy


def main(profile: str, forms: list[str], output: Annotated[Path, typer.Option()], seed: int = 0) -> None:
    """forms: none, head, input."""
    torch.set_num_threads(1)
    for form in forms:
        base = Profile.read(profile)
        told = {"none": False, "head": "head", "input": "input"}[form]
        own = OverridingSection(overrides={"distillation.conventions": told, "system.seed": seed})
        settings = base.settings.model_copy(update={"systems": {"minibert": own}})
        run = make_training(
            "minibert", replace(base, settings=settings), output=Path(f"training/{profile}/{form}@{seed}")
        )
        done = run.run()
        model, inventory = run.model, run.model.pipe.inventory
        fields = Fields([len(values) for _, values in inventory.fields], model.pipe.upos_weight, "cpu")
        found: dict[str, dict[str, dict[str, list[float]]]] = {}
        for split in ("dev", "test"):
            for code in base.treebanks:
                docs = TreebankCorpus(base.corpus, [code], split).pools(run.nlp)[code]
                examples = [
                    Example(spacy.tokens.Doc(run.nlp.vocab, words=[t.text for t in doc]), doc) for doc in docs
                ]
                for name, codes in (("given", [code] * len(docs)), ("not given", None)):
                    scores = accuracy(model, held_out(examples, model, codes), fields)
                    row = [round(100 * value, 2) for value in scores.values()]
                    found.setdefault(split, {}).setdefault(code, {})[name] = row
                typer.echo(f"{form} {split} {code} {found[split][code]}")
        seconds = round(done.seconds)
        write_json(
            output / f"{form}@{seed}.json", {"form": form, "words": done.words, "seconds": seconds, **found}
        )


if __name__ == "__main__":
    run_command(main)

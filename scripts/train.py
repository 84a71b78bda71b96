"""Train a system on gold labels with `spacy train`; an interrupted run continues."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer

from mminibert.config import Profile, compose
from mminibert.corpus import collect_labels
from mminibert.files import write_json
from mminibert.provenance import check_unchanged, provenance
from mminibert.resume import resumed, steps_done


def main(
    system: Annotated[str, typer.Argument(help="a row of configs/systems.toml, such as mbert")],
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    gpu: Annotated[int, typer.Option(help="GPU id, -1 for CPU")] = -1,
) -> None:
    settings = Profile.read(profile)
    output = settings.training(system)
    output.mkdir(parents=True, exist_ok=True)
    config = compose(system, settings)
    record = provenance(config, [settings.corpus / "manifest.json"])
    check_unchanged(output / "run.json", record)
    if (output / "done").exists():
        print(f"{output}: trained already; delete the folder to train anew")
        return
    write_json(output / "run.json", record)
    labels = settings.corpus / "labels.json"
    write_json(labels, collect_labels(settings.corpus, settings.treebanks).to_json())
    path = output / "config.cfg"
    config.to_disk(path)
    done, source = steps_done(output)
    if source is not None:
        print(f"continuing from {source}, {done} of {config['training']['max_steps']} steps done")
        path = output / "config-resumed.cfg"
        resumed(config, done, source).to_disk(path)
    command = [
        sys.executable,
        "-m",
        "spacy",
        "train",
        str(path),
        "--output",
        str(output),
        "--gpu-id",
        str(gpu),
    ]
    # Loading some layers of an encoder is meant; transformers warns of each weight that it leaves out.
    quiet = {"TRANSFORMERS_VERBOSITY": "error", **os.environ}
    status = subprocess.run(command, env=quiet).returncode
    if status == 0:
        (output / "done").touch()
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)

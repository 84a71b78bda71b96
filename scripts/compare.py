"""Train and score all six systems of the paper on the treebanks of a profile; report them side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.data.treebanks import mixed_of
from mminibert.project.profile import Profile, read_systems

SCRIPTS = Path(__file__).parent


def steps(profile: str, teacher: str, jobs: int) -> list[list[str]]:
    """The command lines, in order; each keeps what is done already."""
    settings = Profile.read(profile)
    systems = read_systems()
    trained = [name for name, row in systems.items() if row["encoder"] != "minibert"]
    students = [name for name, row in systems.items() if row["encoder"] == "minibert"]
    found = [["collect.py", profile, "--labels", "gold"]]
    found += [["train.py", name, profile] for name in sorted(trained, key=lambda name: name != "mbert")]
    found += [["collect.py", profile, "--jobs", str(jobs)]]
    for name in students:
        found += [["train.py", name, profile], ["quantize.py", name, profile]]
    for name, row in systems.items():
        model = "model-onnx" if name in students else "model-best"
        part = "{treebank}" if row["scope"] == "treebank" else ""
        path = settings.training(name) / part / model
        out = Path("metrics") / profile / name
        step = ["evaluate.py", str(path), str(settings.corpus), str(out), "--teacher-name", teacher]
        found.append(step)
        if part:
            for code in settings.treebanks:
                own = [step[0], step[1].replace(part, code), *step[2:]]
                mixed = mixed_of(code, settings.treebanks)
                found += [[*own, "--treebanks", ",".join(mixed)]] if mixed else []
    return found


def all_steps(profile: str, teacher: str, jobs: int, seeds: int) -> list[list[str]]:
    """The steps with each seed, and the report of all; another seed's corpus is converted here."""
    names = [profile, *(f"{profile}@{seed}" for seed in range(1, seeds))]
    found = []
    for name in names:
        settings = Profile.read(name)
        if name != profile and not (settings.corpus / "manifest.json").exists():
            found.append(["convert.py", str(settings.assets / "ud"), str(settings.corpus)])
        found += steps(name, teacher, jobs)
    metrics = [str(Path("metrics") / name) for name in names]
    return [*found, ["report.py", *metrics, metrics[0]]]


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    teacher: Annotated[str, typer.Option(help="the encoder that the transformers began from")] = "",
    jobs: Annotated[int, typer.Option(help="processes for labelling", min=1)] = 2,
    seeds: Annotated[int, typer.Option(help="runs, with the seeds 0, 1, ...", min=1)] = 1,
) -> None:
    """What fails is named at the end, with status 1, and stops only what needs it; call again to continue."""
    failed = []
    for step in all_steps(profile, teacher, jobs, seeds):
        typer.echo(f"== {' '.join(step)}")
        if subprocess.run([sys.executable, str(SCRIPTS / step[0]), *step[1:]]).returncode:
            failed.append(" ".join(step[:3]))
    if failed:
        raise RuntimeError(f"failed: {'; '.join(failed)}. Run the command again to continue")


if __name__ == "__main__":
    run_command(main)

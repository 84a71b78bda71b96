"""Train tokenizer and tagger of UDPipe 1 on a treebank, as a peer for `mminibert benchmark --udpipe`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.files import atomic_path, read_text


def main(
    train: Annotated[Path, typer.Argument(help="a CoNLL-U file")],
    model: Annotated[Path, typer.Argument(help="the file to write")],
    sentences: Annotated[int, typer.Option(help="at most so many, the first ones", min=1)] = 5000,
) -> None:
    from ufal.udpipe import InputFormat, ProcessingError, Sentence, Sentences, Trainer

    reader = InputFormat.newConlluInputFormat()
    reader.setText(read_text(train))
    data, error = Sentences(), ProcessingError()

    def read() -> bool:
        sentence = Sentence()
        found = bool(reader.nextSentence(sentence, error))
        if found:
            data.append(sentence)
        return found

    list(islice(iter(read, False), sentences))
    if error.occurred() or not len(data):
        raise ValueError(f"{train}: {error.message or 'no sentence'}")
    made = Trainer.train(
        "morphodita_parsito", data, Sentences(), "epochs=5", "iterations=5", Trainer.NONE, error
    )
    if error.occurred():
        raise ValueError(f"{train}: {error.message}")
    with atomic_path(model) as path:
        path.write_bytes(made)
    print(f"{model}: {len(made) / 1e6:.1f} MB, {len(data)} sentences")


if __name__ == "__main__":
    run_command(main)

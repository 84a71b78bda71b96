"""Text that a teacher labelled, as conventions learn it: values by hand, shards as `collect` has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mminibert.data.targets import Shard, sparsify, write_shard
from mminibert.files import write_json
from mminibert.runtime.labels import Inventory
from mminibert.systems.convention_text import LabelledText, sure_values
from mminibert.systems.manifest import SOFT_TARGETS, write_manifest

WHOLE = Inventory(
    (("UPOS", ("NOUN", "VERB", "X")), ("Case", ("", "Acc", "Nom")), ("Number", ("", "Sing"))), ()
)
OWN = Inventory((("UPOS", ("VERB", "X")), ("Case", ("", "Nom")), ("Person", ("", "1"))), ())


def probs(*rows: tuple[float, ...]) -> np.ndarray:
    return np.asarray(rows, dtype=np.float32)


#                NOUN VERB X     none Acc  Nom   none Sing
SURE = probs((0.0, 0.9, 0.1, 0.0, 0.1, 0.9, 0.2, 0.8))
UNSURE = probs((0.0, 0.6, 0.4, 0.4, 0.0, 0.6, 0.0, 1.0))
FOREIGN = probs((0.9, 0.1, 0.0, 0.2, 0.8, 0.0, 0.0, 1.0))


def test_a_sure_value_is_that_of_the_convention() -> None:
    assert sure_values(SURE, WHOLE, OWN).tolist() == [[0, 1, 0]]
    assert sure_values(SURE, WHOLE, WHOLE).tolist() == [[1, 2, 1]]


def test_what_the_teacher_is_not_sure_of_is_unknown() -> None:
    assert sure_values(UNSURE, WHOLE, OWN).tolist() == [[-1, -1, 0]]
    assert sure_values(UNSURE, WHOLE, WHOLE).tolist() == [[-1, -1, 1]]


def test_what_the_convention_lacks_is_unknown() -> None:
    """Neither VERB nor no case, which would be all that is left."""
    assert sure_values(FOREIGN, WHOLE, OWN).tolist() == [[-1, -1, 0]]


def collected(corpus: Path, shards: dict[str, list[tuple[list[str], str, np.ndarray]]]) -> Path:
    """A corpus with the labels of text: by shard of each sentence its words, convention and probabilities."""
    paths = []
    (corpus / SOFT_TARGETS).mkdir(parents=True)
    for name, rows in shards.items():
        targets = sparsify(np.concatenate([row[2] for row in rows]), WHOLE.starts)
        paths.append(corpus / SOFT_TARGETS / f"{name}.npz")
        write_shard(paths[-1], Shard([row[0] for row in rows], targets, [row[1] for row in rows]))
    write_manifest(corpus / SOFT_TARGETS, paths, labelled_by="xx_y 1.0.0")
    write_json(corpus / "labels.json", WHOLE.to_json())
    return corpus


def test_each_convention_has_its_own_sentences(tmp_path: Path) -> None:
    both = np.concatenate([SURE, UNSURE])
    corpus = collected(
        tmp_path,
        {
            "en-00000": [(["a", "b"], "en_x", both), (["c"], "en_y", FOREIGN)],
            "en-00001": [(["d"], "en_x", FOREIGN), (["e"], "en_z", SURE)],
            "de-00000": [(["f"], "en_x", SURE)],
        },
    )
    text = LabelledText.read(corpus)
    assert text is not None and text.labelled_by == "xx_y 1.0.0"
    found = text.of("en", {"en_x": OWN, "en_y": WHOLE, "en_w": OWN})
    assert {code: taught.sentences for code, taught in found.items()} == {
        "en_x": [["a", "b"], ["d"]],
        "en_y": [["c"]],
    }
    assert found["en_x"].values.tolist() == [[0, 1, 0], [-1, -1, 0], [-1, -1, 0]]
    assert found["en_y"].values.tolist() == [[0, 1, 1]]
    assert text.of("fr", {"fr_x": OWN}) == {}


def test_none_without_text(tmp_path: Path) -> None:
    assert LabelledText.read(tmp_path) is None


def test_a_shard_that_changed_is_refused(tmp_path: Path) -> None:
    corpus = collected(tmp_path, {"en-00000": [(["a"], "en_x", SURE)]})
    path = corpus / SOFT_TARGETS / "en-00000.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"en-00000\.npz: not the shard that .*run `collect`"):
        LabelledText.read(corpus)


def test_damaged_labels_are_refused(tmp_path: Path) -> None:
    corpus = collected(tmp_path, {"en-00000": [(["a"], "en_x", SURE)]})
    (corpus / "labels.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels\.json.*run `collect`"):
        LabelledText.read(corpus)

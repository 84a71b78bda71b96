"""Probabilities of tags, as attributes of tokens, in whatever becomes of a Doc."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from students import conventions_of_head

from mminibert.packaging.quantize import quantize
from mminibert.runtime.pipeline import tagger

MakeStudent = Callable[..., Language]


def confidences_of(doc: Doc) -> list[float | None]:
    return [token._.pos_confidence for token in doc]


def test_confidences_after_tokens_were_merged_or_split(make_student: MakeStudent) -> None:
    nlp = make_student(component={"confidences": True})
    doc = nlp("the dogs saw the dog")
    before = confidences_of(doc)
    assert None not in before
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    assert confidences_of(doc) == [None, *before[2:]]
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[2], ["t", "he"], heads=[(doc[2], 0), (doc[2], 1)])
    assert confidences_of(doc) == [None, before[2], None, None, before[4]]
    assert doc._.pos_confidences == confidences_of(doc)


def test_confidences_survive_what_keeps_user_data(make_student: MakeStudent) -> None:
    nlp = make_student(component={"confidences": True})
    doc = nlp("the dogs saw the dog")
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    expected = confidences_of(doc)
    stored = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    as_json = json.loads(json.dumps(doc.to_json(underscore=["pos_confidences"])))
    copies = [
        *DocBin().from_bytes(stored).get_docs(nlp.vocab),
        Doc(nlp.vocab).from_bytes(doc.to_bytes()),
        Doc(nlp.vocab).from_json(as_json),
        pickle.loads(pickle.dumps(doc)),
        doc.copy(),
    ]
    assert [confidences_of(copy) for copy in copies] == [expected] * 5
    assert as_json["_"] == {"pos_confidences": expected}


def test_confidences_go_when_a_doc_is_tagged_without(make_student: MakeStudent) -> None:
    nlp = make_student(component={"confidences": True})
    doc = nlp("the dog")
    tagger(nlp).confidences = False
    assert confidences_of(nlp(doc)) == [None, None]
    assert doc._.pos_confidences is None


def test_attributes_after_a_pipeline_was_pickled_into_another_process(
    make_student: MakeStudent, tmp_path: Path
) -> None:
    nlp = quantize(make_student(), [])
    tagger(nlp).confidences = True
    labels = list(tagger(nlp).inventory.combinations)
    tagger(nlp).conventions = conventions_of_head(nlp, {"en_x": labels})
    (tmp_path / "pipeline").write_bytes(pickle.dumps(nlp))
    code = """
import pickle, sys
doc = pickle.load(open(sys.argv[1], "rb"))("the dog")
print([token._.pos_confidence for token in doc], doc._.convention, doc._.languages)
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "pipeline")]
    found = subprocess.check_output(command, text=True)
    assert found.strip() == f"{confidences_of(nlp('the dog'))} en_x ('en',)"

"""spaCy works with the segmenter as with its own tokenizers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import segmenters
import spacy
import srsly
from spacy.cli.evaluate import evaluate
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from mminibert.runtime.segmenter import Segmenter
from mminibert.runtime.ud_words import multiword_tokens

TOKENIZER = {"nlp": {"tokenizer": {"@tokenizers": "mminibert.Segmenter.v1", "language": "es"}}}
TEXT = "la casa  del sol.\nEl perro come!"


def blank(*, learned: bool = True) -> Language:
    nlp = spacy.blank("xx", config=TOKENIZER)
    if learned:
        tokenizer_of(nlp).learned(segmenters.trained_model(), segmenters.EXPANSIONS)
    return nlp


def tokenizer_of(nlp: Language) -> Segmenter:
    tokenizer = nlp.tokenizer
    assert isinstance(tokenizer, Segmenter)
    return tokenizer


def content(doc: Doc) -> list[object]:
    tokens = [(token.text, token.whitespace_, token.is_sent_start) for token in doc]
    return [tokens, multiword_tokens(doc), doc._.languages]


def test_it_is_made_by_a_config() -> None:
    nlp = blank(learned=False)
    assert tokenizer_of(nlp).language == "es"
    assert nlp.config["nlp"]["tokenizer"] == {**TOKENIZER["nlp"]["tokenizer"], "line_breaks": False}
    with pytest.raises(ValueError, match="not learned anything"):
        nlp(TEXT)


def test_a_pipeline_on_disk_and_as_bytes(tmp_path: Path) -> None:
    nlp, expected = blank(), content(blank()(TEXT))
    assert multiword_tokens(nlp(TEXT))
    nlp.to_disk(tmp_path / "nlp")
    assert content(spacy.load(tmp_path / "nlp")(TEXT)) == expected
    assert content(blank(learned=False).from_bytes(nlp.to_bytes())(TEXT)) == expected

    nlp.to_disk(tmp_path / "without", exclude=["tokenizer"])
    assert not (tmp_path / "without" / "tokenizer").exists()
    with_own = blank().from_disk(tmp_path / "without", exclude=["tokenizer"])
    assert content(with_own(TEXT)) == expected
    assert (
        content(blank().from_bytes(nlp.to_bytes(exclude=["tokenizer"]), exclude=["tokenizer"])(TEXT))
        == expected
    )


def settings_of(nlp: Language) -> tuple[str | None, bool]:
    return tokenizer_of(nlp).language, tokenizer_of(nlp).line_breaks


def test_the_config_that_is_passed_counts_more_than_what_was_stored(tmp_path: Path) -> None:
    nlp = blank()
    tokenizer_of(nlp).language = "es_toy"  # the config has es
    nlp.to_disk(tmp_path / "nlp")
    assert settings_of(spacy.load(tmp_path / "nlp")) == ("es_toy", False)
    for config, expected in (
        ({"nlp.tokenizer.language": "vi"}, ("vi", False)),
        ({"nlp.tokenizer.line_breaks": True}, ("es_toy", True)),
        ({"nlp.tokenizer.language": None}, (None, False)),
    ):
        loaded = spacy.load(tmp_path / "nlp", config=config)
        assert settings_of(loaded) == expected
        loaded.to_disk(tmp_path / "again")
        assert settings_of(spacy.load(tmp_path / "again")) == expected
    with pytest.raises(ValueError, match="got language 'de', expected one of es, vi, zh; None"):
        spacy.load(tmp_path / "nlp", config={"nlp.tokenizer.language": "de"})


@pytest.mark.parametrize(
    ("stored", "passed", "expected"),
    [
        (None, None, "es"),
        (None, "vi", "vi"),
        ("es_toy", None, "es_toy"),
        ("es", "es_toy", "es_toy"),
        ("es_toy", "vi_toy", "vi_toy"),
    ],
)
def test_pipelines_of_earlier_releases_did_not_store_the_config(
    tmp_path: Path, stored: str | None, passed: str | None, expected: str
) -> None:
    nlp = blank()
    nlp.to_disk(tmp_path)
    message = srsly.msgpack_loads((tmp_path / "tokenizer").read_bytes())
    settings = json.loads(message["settings"])
    assert settings.pop("config") == ["es", False]
    settings["language"] = stored
    (tmp_path / "tokenizer").write_bytes(srsly.msgpack_dumps({**message, "settings": json.dumps(settings)}))
    (tmp_path / "tokenizer.crc32").unlink()
    config = {} if passed is None else {"nlp.tokenizer.language": passed}
    assert settings_of(spacy.load(tmp_path, config=config)) == (expected, False)


def test_a_damaged_pipeline_names_the_file(tmp_path: Path) -> None:
    blank().to_disk(tmp_path)
    (tmp_path / "tokenizer.crc32").unlink()
    (tmp_path / "tokenizer").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"tokenizer: the segmenter cannot be read"):
        spacy.load(tmp_path)


def test_texts_and_docs_in_a_pipe() -> None:
    nlp = blank()
    gold = Doc(nlp.vocab, words=["la", "casadel", "sol"], sent_starts=[True, False, False])
    found = list(nlp.pipe([TEXT, gold, "", TEXT]))
    assert content(found[0]) == content(found[3]) == content(nlp(TEXT))
    assert [token.text for token in found[1]] == ["la", "casadel", "sol"] and not len(found[2])


def test_the_longest_text() -> None:
    nlp = blank()
    nlp.max_length = 10
    with pytest.raises(ValueError, match="E088"):
        nlp("x" * 11)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes() -> None:
    """A child takes over what was read before."""
    nlp = blank()
    texts = [segmenters.sentences("es_toy", 1, seed=i)[0].text for i in range(12)]
    expected = [content(nlp(text)) for text in texts[:6]]
    found = [content(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=2)]
    assert found[:6] == expected
    assert found == [content(nlp(text)) for text in texts]


def test_processes_that_are_spawned(tmp_path: Path) -> None:
    blank().to_disk(tmp_path / "nlp")
    program = f"""
import multiprocessing, spacy
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    nlp = spacy.load({str(tmp_path / "nlp")!r})
    docs = nlp.pipe([{TEXT!r}] * 3, n_process=2, batch_size=1)
    print([[token.text for token in doc] for doc in docs] == [[token.text for token in nlp({TEXT!r})]] * 3)
"""
    (tmp_path / "program.py").write_text(program)
    output = subprocess.run(
        [sys.executable, tmp_path / "program.py"], capture_output=True, text=True, check=True
    )
    assert output.stdout == "True\n"


def test_memory_zones() -> None:
    """Strings of a zone are forgotten after it; what is kept of units does not need them."""
    nlp = blank()
    expected = content(nlp(TEXT))
    for _ in range(2):
        with nlp.memory_zone():
            assert content(nlp(TEXT)) == expected
            assert nlp("unforgettable casa")[0].text
    assert content(nlp(TEXT)) == expected
    assert [token.text for token in nlp("unforgettable casa")] == [
        token.text for token in blank()("unforgettable casa")
    ]


def test_a_docbin_keeps_words_and_languages() -> None:
    nlp = blank()
    data = DocBin(docs=[nlp(TEXT)], store_user_data=True).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    assert content(again) == content(nlp(TEXT))


def gold_docs(nlp: Language, n: int) -> list[Doc]:
    docs = []
    for part in segmenters.sentences("es_toy", n, seed=5):
        starts: list[bool | int | None] = [i == 0 for i in range(len(part.forms))]
        spaces, tags = [*part.blanks, False], ["X", *["Y"] * (len(starts) - 1)]
        docs.append(Doc(nlp.vocab, words=list(part.forms), spaces=spaces, tags=tags, sent_starts=starts))
    return docs


def test_examples() -> None:
    nlp = blank()
    (gold,) = gold_docs(nlp, 1)
    example = Example(nlp.make_doc(gold.text), gold)
    assert example.get_aligned("TAG", as_string=True) == [token.tag_ for token in gold]
    assert example.get_aligned_sent_starts() == [True] + [False] * (len(gold) - 1)
    examples = [
        Example.from_dict(
            nlp.make_doc(gold.text), {"tags": [t.tag_ for t in gold], "words": [t.text for t in gold]}
        )
    ]
    nlp.add_pipe("tagger")
    nlp.initialize(lambda: examples)
    assert nlp.update(examples)["tagger"] > 0


def test_scores_of_tokens_and_sentences(tmp_path: Path) -> None:
    """By spaCy's own scorer: of five tokens three are right, of four three are found."""
    nlp = blank()
    gold = Doc(
        nlp.vocab,
        words=["la", "casa", "del", "sol"],
        spaces=[True] * 4,
        sent_starts=[True, False, True, False],
    )
    predicted = Doc(
        nlp.vocab,
        words=["la", "cas", "a", "del", "sol"],
        spaces=[True, False, True, True, True],
        sent_starts=[True, False, False, True, False],
    )
    scores = tokenizer_of(nlp).score([Example(predicted, gold)])
    assert scores["token_p"] == 3 / 5 and scores["token_r"] == 3 / 4
    assert scores["sents_f"] == 1.0 and "sents_per_type" not in scores

    nlp.to_disk(tmp_path / "nlp")
    DocBin(docs=gold_docs(nlp, 20)).to_disk(tmp_path / "gold.spacy")
    found = evaluate(str(tmp_path / "nlp"), tmp_path / "gold.spacy", silent=True)
    assert found["token_f"] > 0.98 and found["sents_f"] > 0.9
    rules = spacy.blank("xx")
    rules.to_disk(tmp_path / "rules")
    assert (
        evaluate(str(tmp_path / "rules"), tmp_path / "gold.spacy", silent=True)["token_f"] < found["token_f"]
    )


def test_spacy_train_takes_the_tokenizer_of_a_base_model(tmp_path: Path) -> None:
    nlp = blank()
    nlp.to_disk(tmp_path / "base")
    gold, base = tmp_path / "gold.spacy", str(tmp_path / "base")
    DocBin(docs=gold_docs(nlp, 10)).to_disk(gold)

    new = blank(learned=False)
    tok2vec = {"@architectures": "spacy.HashEmbedCNN.v2", "width": 8, "depth": 1, "embed_size": 50}
    tok2vec |= {"window_size": 1, "maxout_pieces": 2, "subword_features": True, "pretrained_vectors": None}
    new.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}})
    config = new.config.copy()
    for part in ("train", "dev"):
        config["corpora"][part]["path"] = str(gold)
    config["training"] |= {"max_steps": 2, "eval_frequency": 1}
    config["training"]["score_weights"] = {"tag_acc": 0.5, "token_f": 0.5}
    config["initialize"]["before_init"] = {"@callbacks": "spacy.copy_from_base_model.v1", "tokenizer": base}
    config.to_disk(tmp_path / "config.cfg")

    train(tmp_path / "config.cfg", tmp_path / "trained")
    trained = spacy.load(tmp_path / "trained" / "model-last")
    assert [token.text for token in trained(TEXT)] == [token.text for token in nlp(TEXT)]
    assert {token.tag_ for token in trained("la casa")} <= {"X", "Y"}
    assert trained.meta["performance"]["token_f"] > 0.9

"""Files in, annotations out: every format, beside what the pipeline says, read back by its own library."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
from pathlib import Path
from typing import Any

import conllu
import pyarrow.parquet
import pytest
import zstandard
from annotators import loaded, make_pipeline, random_lines, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus
from udtools import Validator

from mminibert.annotation import shards
from mminibert.annotation.outputs import Format
from mminibert.annotation.sources import Kind
from mminibert.data.conllu import read_conllu
from mminibert.data.docs_conllu import doc_to_conllu
from mminibert.runtime.joined_texts import JoinedTexts
from mminibert.runtime.pipeline import tagger
from mminibert.runtime.segmentation import Reader

LINES = ["abc bad. cab ace як кя", "кя як.", "漢語語。 abc", *random_lines(30)]
GOLD = """# newdoc id = d
# sent_id = d-1
# text = acab bad
1-2\tacab\t_\t_\t_\t_\t_\t_\t_\t_
1\ta\ta\tX\tXA\tCase=Loc\t3\tdet\t_\t_
2\tcab\tcab\tX\t_\t_\t3\tnsubj\t_\t_
2.1\tbad\t_\t_\t_\t_\t_\t_\t_\t_
3\tbad\tbe\tX\t_\t_\t0\troot\t_\tSpaceAfter=No

# text = як
1\tяк\t_\t_\t_\t_\t_\t_\t_\t_

"""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("annotate") / "pipeline")


@pytest.fixture(scope="module")
def nlp(pipeline: Path) -> Language:
    return loaded(pipeline)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "x.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return path


@pytest.fixture
def docs(nlp: Language) -> list[Doc]:
    return list(nlp.pipe(LINES))


def made(inputs: Path, pipeline: Path, format: Format, **options: Any) -> Path:
    output = inputs.with_name(f"out-{format.value}.{format.value}")
    for _ in run([inputs], output, pipeline, format=format, **options):
        pass
    return output


Words = list[tuple[str, str, str]]


def words_of(doc: Doc) -> Words:
    """Form, UPOS and FEATS of each word, `_` for none."""
    return [
        word
        for token in doc
        if not token.is_space
        for word in token._.ud_words or [(token.text, token.pos_, str(token.morph) or "_")]
    ]


def test_conllu(text: Path, pipeline: Path, docs: list[Doc]) -> None:
    written = made(text, pipeline, Format.conllu).read_text(encoding="utf-8")
    assert written == "".join(doc_to_conllu(doc, doc_id=f"x.txt:{i}") for i, doc in enumerate(docs, 1))
    found = [
        (token["form"], token["upos"], "|".join(f"{k}={v}" for k, v in (token["feats"] or {}).items()) or "_")
        for sentence in conllu.parse(written)
        for token in sentence
        if isinstance(token["id"], int)
    ]
    assert found == [word for doc in docs for word in words_of(doc)]
    assert any("-" in line.partition("\t")[0] for line in written.splitlines() if line[:1].isdigit())
    written = made(text, pipeline, Format.conllu, flat=True, force=True).read_text(encoding="utf-8")
    state = Validator(lang="ud", level=2, output=None).validate_file_handle(io.StringIO(written))
    assert not list(map(str, state.error_tracker))


def test_texts_of_a_shard_are_read_together(
    text: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Reader.read
    numbers = []

    def counted(self: Reader, texts: JoinedTexts, **settings: Any) -> Any:
        numbers.append(len(texts.starts))
        return read(self, texts, **settings)

    monkeypatch.setattr(Reader, "read", counted)
    made(text, pipeline, Format.conllu)
    assert numbers == [len(LINES)]


def test_json_lines(text: Path, pipeline: Path, docs: list[Doc]) -> None:
    written = made(text, pipeline, Format.jsonl).read_text(encoding="utf-8")
    records = [json.loads(line) for line in written.splitlines()]
    assert [(r["id"], r["text"]) for r in records] == [(f"x.txt:{i}", t) for i, t in enumerate(LINES, 1)]
    for record, doc in zip(records, docs, strict=True):
        assert list(record) == ["id", "text", "sentences"]
        assert len(record["sentences"]) == len(list(doc.sents))
        assert [s["convention"] for s in record["sentences"]] == list(doc._.conventions)
        assert [s["language"] for s in record["sentences"]] == [s._.language for s in doc.sents]
        tokens = [token for sentence in record["sentences"] for token in sentence["tokens"]]
        for token in tokens:
            assert record["text"][token["start"] : token["end"]] == token["text"]
            assert token["lemma"] is None and token["confidence"] is None
        words = [
            (word.get("form", token["text"]), word["upos"], word["feats"] or "_")
            for token in tokens
            for word in token["words"] or [token]
        ]
        assert words == words_of(doc)
    assert any(t["words"] for r in records for s in r["sentences"] for t in s["tokens"])


def rows_of(docs: list[Doc]) -> list[tuple[str, str, str, str, str]]:
    """Document, sentence, convention, form, UPOS of each word."""
    return [
        (f"x.txt:{number}", str(i), code, form, upos)
        for number, doc in enumerate(docs, 1)
        for i, (sentence, code) in enumerate(zip(doc.sents, doc._.conventions, strict=True), 1)
        for form, upos, _ in words_of(sentence.as_doc(copy_user_data=True))
    ]


SHOWN = ("document", "sentence", "convention", "form", "upos")


def test_tsv(text: Path, pipeline: Path, docs: list[Doc]) -> None:
    with made(text, pipeline, Format.tsv).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [tuple(row[name] for name in SHOWN) for row in rows] == rows_of(docs)


def test_parquet(text: Path, pipeline: Path, docs: list[Doc], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 300)  # so that there are several
    table = pyarrow.parquet.read_table(made(text, pipeline, Format.parquet, confidences=True))
    rows = table.to_pylist()
    assert [tuple(str(row[name]) for name in SHOWN) for row in rows] == rows_of(docs)
    assert all(0 <= row["confidence"] <= 1 for row in rows)
    starts = {(row["document"], row["start"], row["end"]): row["text"] for row in rows}
    for (document, start, end), form in starts.items():
        assert LINES[int(document.partition(":")[2]) - 1][start:end] == form


def test_doc_bins(text: Path, pipeline: Path, nlp: Language, docs: list[Doc]) -> None:
    """A folder, which spaCy's own corpus reads."""
    folder = made(text, pipeline, Format.spacy, confidences=True)
    (part,) = folder.glob("*.spacy")
    found = list(DocBin().from_disk(part).get_docs(nlp.vocab))
    assert [doc.user_data["id"] for doc in found] == [f"x.txt:{i}" for i in range(1, len(LINES) + 1)]
    for doc, expected in zip(found, docs, strict=True):
        assert doc.text == expected.text and words_of(doc) == words_of(expected)
        assert doc._.conventions == expected._.conventions
        assert all(token._.pos_confidence for token in doc if not token.is_space)
    assert len(list(Corpus(folder)(nlp))) == len(LINES)


@pytest.mark.parametrize("format", [Format.conllu, Format.jsonl, Format.tsv])
def test_several_shards_are_one_file(
    text: Path, pipeline: Path, format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(text, pipeline, format)
    expected = one.read_bytes()
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 300)
    again = list(run([text], one, pipeline, format=format, force=True))
    assert len(again) > 3 and one.read_bytes() == expected
    assert sorted(path.name for path in text.parent.iterdir()) == sorted([one.name, text.name])


@pytest.mark.parametrize(
    ("name", "pack"),
    [("x.txt.gz", gzip.compress), ("x.txt.xz", lzma.compress), ("x.txt.zst", zstandard.compress)],
)
def test_compressed_text(name: str, pack: Any, text: Path, pipeline: Path) -> None:
    expected = made(text, pipeline, Format.jsonl).read_text(encoding="utf-8")
    half = text.read_bytes()[:20], text.read_bytes()[20:]
    (packed := text.with_name(name)).write_bytes(b"".join(map(pack, half)))  # two frames
    found = made(packed, pipeline, Format.jsonl, force=True).read_text(encoding="utf-8")
    assert found.replace(name, "x.txt") == expected


def test_a_file_is_a_document(text: Path, pipeline: Path, nlp: Language) -> None:
    (record,) = made(text, pipeline, Format.jsonl, plain=Kind.text).read_text(encoding="utf-8").splitlines()
    assert json.loads(record)["text"] == "\n".join(LINES) and json.loads(record)["id"] == "x.txt"


def test_columns_of_parquet_and_fields_of_json(text: Path, pipeline: Path, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(
        pyarrow.table({"body": [*LINES[:2], None, " "], "n": [1, 2, 3, 4]}), tmp_path / "x.parquet"
    )
    lines = [*({"body": line} for line in LINES[:2]), {"body": None}, {"body": " "}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = []
    for name in ("x.parquet", "x.jsonl"):
        output = made(tmp_path / name, pipeline, Format.jsonl, field="body", force=True)
        found.append(output.read_text(encoding="utf-8").replace(name, "x"))
        rejects = output.with_name(f"{output.name}.rejects.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["line"] for line in rejects] == [3, 4]
        output.unlink()
    assert found[0] == found[1] and [json.loads(line)["text"] for line in found[0].splitlines()] == LINES[:2]


def test_gold_tokens_are_kept(pipeline: Path, tmp_path: Path, nlp: Language) -> None:
    """Of CoNLL-U but UPOS and FEATS nothing is another."""
    (tmp_path / "g.conllu").write_text(GOLD, encoding="utf-8")
    output = made(tmp_path / "g.conllu", pipeline, Format.conllu)
    before, after = (list(read_conllu(path)) for path in (tmp_path / "g.conllu", output))
    for old, new in zip(before, after, strict=True):
        assert (
            new.comments == old.comments and new.empty_nodes == old.empty_nodes and new.ranges == old.ranges
        )
        for a, b in zip(old.words, new.words, strict=True):
            assert (a.form, a.lemma, a.xpos, a.head, a.deprel, a.misc) == (
                b.form,
                b.lemma,
                b.xpos,
                b.head,
                b.deprel,
                b.misc,
            )
    doc = Doc(nlp.vocab, words=["a", "cab", "bad"], spaces=[False, True, False])
    assert [word.upos for word in after[0].words] == [token.pos_ for token in nlp(doc)] != ["X"] * 3
    records = made(tmp_path / "g.conllu", pipeline, Format.jsonl).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in records] == ["d-1", "g.conllu:10"]
    (token, _) = json.loads(records[0])["sentences"][0]["tokens"]
    assert [word["form"] for word in token["words"]] == ["a", "cab"] and token["text"] == "acab"


def test_conllu_is_segmented_anew(pipeline: Path, tmp_path: Path, nlp: Language) -> None:
    (tmp_path / "g.conllu").write_text(GOLD, encoding="utf-8")
    written = made(tmp_path / "g.conllu", pipeline, Format.conllu, resegment=True).read_text(encoding="utf-8")
    assert written == "".join(
        doc_to_conllu(nlp(text), doc_id=id) for text, id in (("acab bad", "d-1"), ("як", "g.conllu:10"))
    )


def test_a_convention_or_a_language_for_all(text: Path, pipeline: Path, nlp: Language) -> None:
    for options, expected in (({"convention": "en_y"}, "en_y"), ({"language": "ru"}, "ru_x")):
        output = made(text, pipeline, Format.jsonl, force=True, **options)
        records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        assert {s["convention"] for r in records for s in r["sentences"]} == {expected}
    for options in ({"convention": "en_z"}, {"language": "xx"}, {"language": "ru", "convention": "en_y"}):
        with pytest.raises(ValueError, match="got"):
            made(text, pipeline, Format.tsv, **options)
    assert tagger(nlp).convention is None


@pytest.mark.parametrize("keep", [False, True])
def test_only_some_languages(keep: bool, text: Path, pipeline: Path, nlp: Language) -> None:
    """Of one document, whose paragraphs are in several."""
    paragraphs = "\n\n".join(LINES)
    text.write_text(paragraphs, encoding="utf-8")
    options: Any = {"only_languages": ("en",), "keep_others": keep, "confidences": True, "plain": Kind.text}
    records = [
        json.loads(line)
        for line in made(text, pipeline, Format.jsonl, **options).read_text(encoding="utf-8").splitlines()
    ]
    sentences = [
        ("x.txt", span._.language, span.text.strip(), words_of(span.as_doc(copy_user_data=True)))
        for span in nlp(paragraphs).sents
    ]
    assert {language for _, language, _, _ in sentences} > {"en"}
    expected = [sentence for sentence in sentences if keep or sentence[1] == "en"]
    found = [(record, sentence) for record in records for sentence in record["sentences"]]
    for (record, sentence), (id, language, text_, words) in zip(found, expected, strict=True):
        assert (record["id"], sentence["language"]) == (id, language)
        assert record["text"][sentence["start"] : sentence["end"]] == text_
        tagged = [
            (word.get("form", token["text"]), word["upos"], word["feats"] or "_")
            for token in sentence["tokens"]
            for word in token["words"] or [token]
        ]
        if language == "en":
            assert tagged == words and all(token["confidence"] for token in sentence["tokens"])
        else:
            assert tagged == [(form, None, "_") for form, _, _ in words]
            assert all(token["confidence"] is None for token in sentence["tokens"])
    for format in (Format.conllu, Format.spacy):  # whose Docs are made anew
        made(text, pipeline, format, **options)


def test_languages_that_the_pipeline_lacks(text: Path, pipeline: Path) -> None:
    with pytest.raises(ValueError, match="the pipeline knows en, ru, zh"):
        made(text, pipeline, Format.jsonl, only_languages=("en", "fi"))


@given(texts=st.lists(st.text(), min_size=1, max_size=8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text(texts: list[str], pipeline: Path, tmp_path: Path) -> None:
    """In every format; what is not empty is there, as it was."""
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    kept = [text for text in texts if text and not text.isspace()]
    for format in (Format.jsonl, Format.conllu, Format.tsv, Format.spacy):
        *_, end = run([path], tmp_path / f"odd.{format.value}s", pipeline, format=format, force=True)
        assert (end.documents, end.rejects) == (len(kept), len(texts) - len(kept))
    lines = (tmp_path / "odd.jsonls").read_text(encoding="utf-8").split("\n")[:-1]
    assert [json.loads(line)["text"] for line in lines] == kept
    rows = (tmp_path / "odd.tsvs").read_text(encoding="utf-8").split("\n")[:-1]
    assert {row.count("\t") for row in rows} == {12}

"""Tagging of gold text for scoring: on its gold words, and from raw text; and the record of a treebank.

Scores follow the CoNLL 2018 evaluation. Its program is not part of this package: callers pass a `Scorer`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Protocol

from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.vocab import Vocab

from ..data.conllu import UPOS_TAGS, Sentence, read_conllu
from ..data.docs import feats_string
from ..data.text import script_of
from ..files import folder_sha256, sha256, write_json
from ..runtime.labels import Label
from .metrics import count


class Score(Protocol):
    """What the CoNLL evaluation gives for one metric, all in 0..1."""

    precision: float
    recall: float
    f1: float


Tagger = Callable[[Sequence[Sequence[str]]], list[list[Label]]]
"""Sentences (lists of words) to the label of each word; see `labelling.make_tagger`."""
Scorer = Callable[[Path, Path], Mapping[str, Score]]
"""Of a gold and a system CoNLL-U file to the CoNLL 2018 metrics by name (`Words`, `UPOS`, `UFeats` ...)."""


def gold_words(nlp: Language, sentences: Iterable[Sentence], *, batch_size: int = 64) -> Iterator[str]:
    """Each sentence as CoNLL-U with UPOS and FEATS as `nlp` predicts them for the gold syntactic words.

    The pipeline sees forms and spaces only, one sentence a Doc; nothing else of the gold annotation
    reaches it. Raises ValueError if a component changes the tokens.
    """
    kept, fed = tee(sentences)
    docs = nlp.pipe((_bare_doc(sentence, nlp.vocab) for sentence in fed), batch_size=batch_size)
    for sentence, doc in zip(kept, docs, strict=True):
        if [token.text for token in doc] != [word.form for word in sentence.words]:
            raise ValueError(
                f"{sentence.path}, line {sentence.line}: the pipeline made {len(doc)} tokens of "
                f"{len(sentence.words)} words; evaluate without the component that merges or splits tokens"
            )
        yield sentence.to_conllu(upos=[_upos(t) for t in doc], feats=[feats_string(t) for t in doc])


def gold_words_by(tag: Tagger, sentences: Sequence[Sentence]) -> Iterator[str]:
    """The same by a tagger of lists of words, see `labelling.make_tagger`."""
    for sentence, labels in zip(sentences, tag([[w.form for w in s.words] for s in sentences]), strict=True):
        yield sentence.to_conllu(
            upos=[upos if upos in UPOS_TAGS else "_" for upos, _ in labels], feats=[f for _, f in labels]
        )


def raw_text(nlp: Language, sentences: Iterable[Sentence], *, batch_size: int = 16) -> str:
    """CoNLL-U of the sentences' text as `nlp` tokenizes, splits and tags it, a text for each paragraph.

    Sentences are those of the pipeline, or the whole paragraph if it sets none. LEMMA, XPOS and MISC are
    empty, and the tree is flat: the CoNLL evaluation reads no file without a tree. Raises ValueError if
    the tokenizer changes characters, which that evaluation cannot align.
    """
    blocks = paragraphs(sentences)
    texts = [_text(block) for block in blocks]
    trees = []
    for block, text, doc in zip(blocks, texts, nlp.pipe(texts, batch_size=batch_size), strict=True):
        if _visible(doc.text) != _visible(text):
            raise ValueError(
                f"{block[0].path}, line {block[0].line}: the tokenizer changed characters of the paragraph "
                "that begins here; evaluate a pipeline whose tokenizer keeps the text"
            )
        for span in doc.sents if doc.has_annotation("SENT_START") else [doc[:]]:
            trees.append(_flat_tree([token for token in span if _visible(token.text)]))
    return "".join(trees)


def paragraphs(
    sentences: Iterable[Sentence], *, unmarked: int = 10, longest: int = 100
) -> list[list[Sentence]]:
    """Sentences that stand together in one text, as `# newpar` and `# newdoc` say.

    A file without such marks after its first sentence gives blocks of `unmarked` sentences. Elsewhere a
    stretch of more than `longest`, which is then a document without paragraph marks, is cut every `longest`.
    """
    stretches: list[list[Sentence]] = []
    for sentence in sentences:
        if sentence.starts_paragraph or not stretches:
            stretches.append([])
        stretches[-1].append(sentence)
    size = longest if len(stretches) > 1 else unmarked
    return [stretch[i : i + size] for stretch in stretches for i in range(0, len(stretch), size)]


def evaluate_treebank(
    nlp: Language, gold: Path, *, score: Scorer, tag: Tagger | None = None
) -> dict[str, Any]:
    """Tag a gold file twice and score it: the part of a treebank's record that depends on the pipeline.

    With `tag` it is tagged once, on gold words, by that: `raw_text` is None.

    `gold_words` has accuracies in 0..1 (UPOS, UFeats by `score`, FEATS counted here), `raw_text` precision,
    recall and F1 of Words, UPOS and UFeats. `seconds` is the time for tagging the gold words on this
    machine, `words_per_second` likewise.
    """
    sentences = list(read_conllu(gold))
    start = perf_counter()
    tagged = "".join(gold_words(nlp, sentences) if tag is None else gold_words_by(tag, sentences))
    seconds = perf_counter() - start
    with TemporaryDirectory() as folder:
        words_path, raw_path = Path(folder, "words.conllu"), Path(folder, "raw.conllu")
        words_path.write_text(tagged, encoding="utf-8", newline="\n")
        counts, on_words = count(sentences, read_conllu(words_path)), score(gold, words_path)
        on_raw: Mapping[str, Score] = {}
        if tag is None:
            raw_path.write_text(raw_text(nlp, sentences), encoding="utf-8", newline="\n")
            on_raw = score(gold, raw_path)
    return {
        "script": script_of("".join(word.form for sentence in sentences for word in sentence.words)),
        "sentences": counts.sentences,
        "words": counts.words,
        "seconds": seconds,
        "words_per_second": counts.words / seconds,
        "gold_words": {
            "UPOS": on_words["UPOS"].f1,
            "UFeats": on_words["UFeats"].f1,
            "FEATS": counts.accuracies()["FEATS"],
        },
        "raw_text": {
            name: {part: getattr(on_raw[name], part) for part in ("precision", "recall", "f1")}
            for name in ("Words", "UPOS", "UFeats")
        }
        if on_raw
        else None,
    }


@dataclass(frozen=True)
class Outcome:
    """What became of one treebank: its `record`, or the `error`. `kept`: the record was there already."""

    ltcode: str
    record: Mapping[str, Any] | None = None
    error: Exception | None = None
    kept: bool = False


def evaluate_corpus(
    nlp: Language,
    corpus: Path,
    out: Path,
    *,
    score: Scorer,
    treebanks: Sequence[str] | None = None,
    split: str = "test",
    teacher: str | None = None,
    tag: Tagger | None = None,
) -> Iterator[Outcome]:
    """Evaluate each `<corpus>/<ltcode>/<split>.conllu` and write `<out>/<ltcode>.json`.

    By default all treebanks of `<corpus>/manifest.json` with that split. A record of the same model and
    gold file is kept. A treebank that fails is reported as such and the others go on. `tag`: see
    `evaluate_treebank`. Raises ValueError for a treebank that the manifest has not, or if there is none with
    that split.
    """
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))["treebanks"]
    if unknown := sorted(set(treebanks or ()) - set(manifest)):
        raise ValueError(
            f"{corpus / 'manifest.json'}: no treebank {', '.join(unknown)}; there are {', '.join(manifest)}"
        )
    ltcodes = treebanks or [ltcode for ltcode, entry in manifest.items() if split in entry["splits"]]
    if not ltcodes:
        raise ValueError(
            f"{corpus / 'manifest.json'}: no treebank has a split {split!r}; convert one that has"
        )
    model = describe_model(nlp, teacher)
    for ltcode in ltcodes:
        entry, gold, path = manifest[ltcode], corpus / ltcode / f"{split}.conllu", out / f"{ltcode}.json"
        try:
            facts = {
                "ltcode": ltcode,
                "lang": entry["lang"],
                "split": split,
                "model": model,
                "gold_sha256": sha256(gold),
                "train": _train(entry),
            }
            old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if all(old.get(key) == value for key, value in facts.items()):
                yield Outcome(ltcode, old, kept=True)
                continue
            record = {**facts, **evaluate_treebank(nlp, gold, score=score, tag=tag)}
            write_json(path, record)
        except Exception as error:
            yield Outcome(ltcode, error=error)
        else:
            yield Outcome(ltcode, record)


def _train(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Words of a treebank's training text and whether its labels are gold or silver; "none" without text."""
    words = entry["splits"].get("train", {}).get("words", 0)
    return {"words": words, "quality": entry["labels"] if words else "none"}


def describe_model(nlp: Language, teacher: str | None) -> dict[str, str | None]:
    """Name and version of a loaded pipeline, the checksum of its folder, and the teacher's name.

    Raises ValueError for a pipeline that was not loaded from a folder.
    """
    if nlp.path is None:
        raise ValueError("the pipeline has no folder; evaluate one that spacy.load has read")
    name = f"{nlp.meta['lang']}_{nlp.meta['name']}"
    return {
        "name": name,
        "version": nlp.meta["version"],
        "sha256": folder_sha256(nlp.path),
        "teacher": teacher,
    }


def _bare_doc(sentence: Sentence, vocab: Vocab) -> Doc:
    """The words as the training corpus has them: no space inside a multiword token, and no annotation."""
    words: list[str] = []
    spaces: list[bool] = []
    for _, space, parts in sentence.tokens():
        words += [word.form for word in parts]
        spaces += [False] * (len(parts) - 1) + [space]
    return Doc(vocab, words=words, spaces=spaces)


def _text(block: Sequence[Sentence]) -> str:
    """The surface text of consecutive sentences; after each stands what its last token says."""
    tokens = (token for sentence in block for token in sentence.tokens())
    return "".join(form + " " * space for form, space, _ in tokens).removesuffix(" ")


def _visible(text: str) -> str:
    """The characters that the CoNLL evaluation compares, which takes away those of category Zs.

    Tabs and line ends go too, as CoNLL-U cannot hold them. Not str.isspace: a FORM may have other
    characters that Python counts as white space, and the evaluation wants them back.
    """
    return "".join(char for char in text if char not in "\t\n\r" and unicodedata.category(char) != "Zs")


def _flat_tree(tokens: Sequence[Token]) -> str:
    """One sentence: the first word is the root, the others hang on it. Empty for no token."""
    rows = []
    for i, token in enumerate(tokens, start=1):
        head, deprel = ("0", "root") if i == 1 else ("1", "dep")
        rows.append(
            f"{i}\t{token.text}\t_\t{_upos(token)}\t_\t{feats_string(token)}\t{head}\t{deprel}\t_\t_\n"
        )
    return "".join(rows) + "\n" if rows else ""


def _upos(token: Token) -> str:
    return token.pos_ if token.pos_ in UPOS_TAGS else "_"

"""The component that sets lemmas, by form, tags and convention."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from spacy.attrs import LEMMA, MORPH, ORTH, POS
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc
from spacy.vocab import Vocab

from .checksums import check_file, write_checksum
from .doc_batches import doc_batches
from .doc_conventions import conventions_of
from .labels import Label
from .lemma_table import LemmaTable
from .lemma_words import text_hash
from .lemmas import Lemmas
from .normal_form import spelling, unpointed
from .ud_words import head_word, multiword_tokens, set_lemmas

__all__ = ["LEMMATIZER", "ScriptLemmatizer"]

LEMMATIZER = "lemmatizer"
"""The component's name in the pipelines of this project."""
FILE = "lemmas"
KEPT = 200_000
"""Different words whose lemmas are kept at hand at most."""
_FACTORS = np.asarray([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)

Word: TypeAlias = tuple[str, str, Label]
"""Convention, form, label."""


class ScriptLemmatizer(Pipe):
    """Sets ``token.lemma_``; of a multiword token those of its words in ``token._.ud_lemmas``, and that of
    its head (`ud_words.head_word`) as its own.

    A lemma depends on the form, on UPOS and features, which the tagger sets before, and on the convention
    that the sentence was tagged in. A Doc without tags, or tagged in a convention of which no lemma is
    known, gets none."""

    def __init__(self, vocab: Vocab, name: str = LEMMATIZER, *, scorer: Callable | None = None) -> None:
        self.vocab = vocab
        self.name = name
        self.scorer = scorer
        self._lemmas: Lemmas | None = None
        self._known: dict[Any, str] = {}

    @property
    def lemmas(self) -> Lemmas:
        """Raises ValueError before there are any."""
        if self._lemmas is None:
            raise ValueError(
                f"component {self.name!r} knows no lemmas yet: load a trained pipeline, or source the "
                "component of one, as in nlp.add_pipe('lemmatizer', source=spacy.load('xx_mminibert'))"
            )
        return self._lemmas

    @lemmas.setter
    def lemmas(self, lemmas: Lemmas) -> None:
        self._lemmas = lemmas
        self._known = {}

    def __call__(self, doc: Doc) -> Doc:
        error_handler = self.get_error_handler()
        try:
            self.annotate([doc])
        except Exception as error:
            error_handler(self.name, self, [doc], error)
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """As spaCy's; words of many Docs are computed together."""
        error_handler = self.get_error_handler()
        for docs in doc_batches(stream, batch_size):
            try:
                self.annotate(docs)
            except Exception as error:
                error_handler(self.name, self, docs, error)
            else:
                yield from docs

    def annotate(self, docs: Sequence[Doc]) -> None:
        """Set the lemmas of Docs whose words are tagged. Raises ValueError before there are any lemmas."""
        lemmas = self.lemmas
        if len(self._known) > KEPT:
            self._known = {}
        known, unknown = self._known, {}
        read = [_Tagged.of(doc, lemmas) for doc in docs]
        for words in read:
            unknown.update(words.but(known))
        for code in {code for code, _, _ in unknown.values()}:
            table = lemmas.table(code)
            assert table is not None
            own = {key: word for key, word in unknown.items() if word[0] == code}
            forms, labels = [form for _, form, _ in own.values()], [label for *_, label in own.values()]
            known.update(zip(own, _lemmas(table, code, forms, labels), strict=True))
        for words in read:
            words.write(known)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        return b"" if self._lemmas is None else self._lemmas.to_bytes()

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> ScriptLemmatizer:
        """Raises ValueError if the data are damaged or of another version."""
        if bytes_data:
            self.lemmas = Lemmas.from_bytes(bytes_data)
        return self

    def to_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> None:
        file = Path(path) / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.to_bytes())
        write_checksum(file)

    def from_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> ScriptLemmatizer:
        """Raises ValueError with the path if the file is damaged or of another version."""
        file = Path(path) / FILE
        check_file(file)
        try:
            return self.from_bytes(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error


def _lemmas(table: LemmaTable, code: str, forms: Sequence[str], labels: Sequence[Label]) -> list[str]:
    """Those of a table, of the forms without vowel signs. A form that is its own lemma, as all are that the
    table does not know, has that of its spelling if this is another word; one whose lemma keeps an apostrophe
    that is not a typewriter's, if that of its spelling has none."""
    forms = [unpointed(form) for form in forms]
    found = table.lemmas(code, forms, labels)
    plain = {
        i: spelled
        for i, (form, lemma) in enumerate(zip(forms, found, strict=True))
        if (spelled := spelling(form)) != form and (lemma.lower() == form.lower() or spelling(lemma) != lemma)
    }
    if plain:
        again = table.lemmas(code, list(plain.values()), [labels[i] for i in plain])
        for (i, spelled), lemma in zip(plain.items(), again, strict=True):
            own = found[i].lower() == forms[i].lower()
            if lemma.lower() != spelled.lower() if own else "'" not in lemma:
                found[i] = lemma
    return found


class _Tagged:
    """A Doc's words that get lemmas. keys: of each token, uint64 ``(n_tokens,)``, by form, tags and
    convention; 0 for those without. parts: of the words of multiword tokens."""

    def __init__(self, doc: Doc, keys: npt.NDArray[np.uint64], codes: list[tuple[int, int, str]]) -> None:
        self.doc, self.keys, self.codes = doc, keys, codes
        self.parts: dict[int, list[Word]] = {}

    @classmethod
    def of(cls, doc: Doc, lemmas: Lemmas) -> _Tagged:
        stretches = conventions_of(doc) or [(0, "")]
        bounds = [start for start, _ in stretches] + [len(doc)]
        codes = [
            (start, end, code)
            for (start, end), (_, code) in zip(pairwise(bounds), stretches, strict=True)
            if code in lemmas.codes
        ]
        values = doc.to_array([ORTH, POS, MORPH]).reshape(-1, 3)
        keys = np.zeros(len(doc), dtype=np.uint64)
        for start, end, code in codes:
            hashes = values[start:end] @ _FACTORS + np.uint64(text_hash(code) << 20)
            keys[start:end] = np.where(values[start:end, 1] > 0, hashes, np.uint64(0))
        found = cls(doc, keys, codes)
        for i, words in multiword_tokens(doc).items():
            own = next((code for start, end, code in codes if start <= i < end), None)
            if own is not None and keys[i]:
                found.parts[i] = [(own, form, (upos, feats)) for form, upos, feats in words]
                keys[i] = 0
        return found

    def but(self, known: dict[Any, str]) -> dict[Any, Word]:
        """The words whose lemmas are not known."""
        doc = self.doc
        found: dict[Any, Word] = {
            word: word for words in self.parts.values() for word in words if word not in known
        }
        for start, end, code in self.codes:
            for i, key in enumerate(self.keys[start:end].tolist(), start):
                if key and key not in known and key not in found:
                    token = doc[i]
                    found[key] = (code, token.text, (token.pos_, str(token.morph) or "_"))
        return found

    def write(self, known: dict[Any, str]) -> None:
        doc = self.doc
        if not (self.parts or self.keys.any()):
            return
        # Anew in each Doc: a memory zone drops what it brought, and add() with allow_transient=False keeps no
        # string that a token of the zone has as well.
        add = doc.vocab.strings.add
        keys = self.keys.tolist()
        hashes = {key: add(known[key]) if key else 0 for key in set(keys)}
        values = np.fromiter((hashes[key] for key in keys), np.uint64, len(keys))
        for i, words in self.parts.items():
            own = [known[word] for word in words]
            set_lemmas(doc[i], own)
            values[i] = add(own[head_word([upos for _, _, (upos, _) in words])])
        doc.from_array([LEMMA], cast(Any, values[:, None]))


@Language.factory(
    "script_lemmatizer",
    assigns=["token.lemma"],
    requires=["token.pos", "token.morph"],
    default_config={"scorer": {"@scorers": "spacy.lemmatizer_scorer.v1"}},
    default_score_weights={"lemma_acc": 1.0},
)
def make_script_lemmatizer(nlp: Language, name: str, scorer: Callable | None) -> ScriptLemmatizer:
    """The factory; its setting is that of ``ScriptLemmatizer``."""
    return ScriptLemmatizer(nlp.vocab, name, scorer=scorer)

"""Gold sentences tagged anew, on their gold words or from raw text, as CoNLL-U for the official scorer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.vocab import Vocab

from ..data.conllu import UPOS_TAGS, Sentence
from ..data.docs import canonical_feats, ud_words
from ..runtime.labels import Label
from ..runtime.ud_words import word_lemmas
from .conventions import Tagged, Told, tag_in_each

SHORTEST, LONGEST = 50, 500
"""Sentences of a running text: at least so many if the file has them, and so many after which a document is
cut."""

_BREAK = re.compile("[\t\n\r]")

TagWords = Callable[[Sequence[Sequence[str]]], list[list[Label]]]
"""Sentences (lists of words) to the label of each word; see `labelling.make_tagger`."""


def gold_words(
    nlp: Language,
    sentences: Sequence[Sentence],
    tolds: Sequence[Told] = (Told(),),
    *,
    batch_size: int = 64,
) -> Tagged:
    """The sentences with LEMMA, UPOS and FEATS as `nlp` predicts them for the gold syntactic words, with each
    of
    what it may be told.

    The pipeline sees forms and spaces only, one sentence a Doc; nothing else of the gold annotation
    reaches it. Raises ValueError if a component changes the tokens.
    """

    def write(docs: Iterable[Doc]) -> str:
        return "".join(_with_tags(sentence, doc) for sentence, doc in zip(sentences, docs, strict=True))

    bare = (_bare_doc(sentence, nlp.vocab) for sentence in sentences)
    return tag_in_each(nlp, bare, tolds, write, batch_size=batch_size)


def gold_words_by(tag: TagWords, sentences: Sequence[Sentence]) -> Tagged:
    """The same by a tagger of lists of words, see `labelling.make_tagger`."""
    start = perf_counter()
    found = tag([[word.form for word in sentence.words] for sentence in sentences])
    conllu = "".join(
        sentence.to_conllu(
            upos=[upos if upos in UPOS_TAGS else "_" for upos, _ in labels], feats=[f for _, f in labels]
        )
        for sentence, labels in zip(sentences, found, strict=True)
    )
    return Tagged({Told(): conllu}, perf_counter() - start)


def raw_text(
    nlp: Language,
    sentences: Iterable[Sentence],
    tolds: Sequence[Told] = (Told(),),
    *,
    batch_size: int = 16,
) -> Tagged:
    """The text of `running_texts` as `nlp` tokenizes, splits and tags it with each of what it may be told.

    Sentences are those of the pipeline, or the whole text if it sets none. A token that has `ud_words` is a
    multiword token with these words. XPOS and MISC are empty, and the tree is flat: the CoNLL
    evaluation reads no file without a tree. Raises ValueError if the tokenizer changes characters, which that
    evaluation cannot align.
    """
    blocks = running_texts(sentences)
    texts = [_text(block) for block in blocks]

    def write(docs: Iterable[Doc]) -> str:
        return "".join(map(_flat_trees, blocks, texts, docs))

    return tag_in_each(nlp, texts, tolds, write, batch_size=batch_size)


def running_texts(sentences: Iterable[Sentence]) -> list[list[Sentence]]:
    """Sentences that stand together in one text, `SHORTEST` of them or more.

    Documents and paragraphs, which `# newdoc` and `# newpar` begin, are put together until there are so many.
    A longer one stays whole up to `LONGEST` sentences, where it is cut; a file without such marks after its
    first sentence is cut every `SHORTEST`. The last text takes a rest that would be too short by itself.
    """
    found = list(sentences)
    marked = any(sentence.starts_paragraph for sentence in found[1:])
    longest = LONGEST if marked else SHORTEST
    blocks: list[list[Sentence]] = [[]]
    for i, sentence in enumerate(found):
        length = len(blocks[-1])
        ends = length >= longest or (length >= SHORTEST and sentence.starts_paragraph)
        if ends and len(found) - i >= SHORTEST:
            blocks.append([])
        blocks[-1].append(sentence)
    return blocks


def _bare_doc(sentence: Sentence, vocab: Vocab) -> Doc:
    """The words as the training corpus has them: no space inside a multiword token, and no annotation."""
    words: list[str] = []
    spaces: list[bool] = []
    for _, space, parts in sentence.tokens():
        words += [word.form for word in parts]
        spaces += [False] * (len(parts) - 1) + [space]
    return Doc(vocab, words=words, spaces=spaces)


def _with_tags(sentence: Sentence, doc: Doc) -> str:
    if [token.text for token in doc] != [word.form for word in sentence.words]:
        raise ValueError(
            f"{sentence.path}, line {sentence.line}: the pipeline made {len(doc)} tokens of "
            f"{len(sentence.words)} words; evaluate without the component that merges or splits tokens"
        )
    tags = [_tags(*_label(token)) for token in doc]
    return sentence.to_conllu(
        lemmas=[_cell(token.lemma_) for token in doc],
        upos=[upos for upos, _ in tags],
        feats=[feats for _, feats in tags],
    )


def _flat_trees(block: Sequence[Sentence], text: str, doc: Doc) -> str:
    """The sentences of a text, as its Doc has them."""
    if _visible(doc.text) != _visible(text):
        raise ValueError(
            f"{block[0].path}, line {block[0].line}: the tokenizer changed characters of the text "
            "that begins here; evaluate a pipeline whose tokenizer keeps the text"
        )
    spans = doc.sents if doc.has_annotation("SENT_START") else [doc[:]]
    return "".join(_flat_tree([token for token in span if _visible(token.text)]) for span in spans)


def _text(block: Sequence[Sentence]) -> str:
    """The surface text of consecutive sentences: a blank line before a document or paragraph, elsewhere what
    the token before says. So is the text that UDPipe's figures are of, whose lines are broken besides
    (conllu_to_text.pl of https://github.com/UniversalDependencies/tools)."""
    text = ""
    for sentence in block:
        if text and sentence.starts_paragraph:
            text = text.removesuffix(" ") + "\n\n"
        text += "".join(form + " " * space for form, space, _ in sentence.tokens())
    return text.removesuffix(" ")


def _visible(text: str) -> str:
    """The characters that the CoNLL evaluation compares, which takes away those of category Zs.

    Tabs and line ends go too, as CoNLL-U cannot hold them. Not str.isspace: a FORM may have other
    characters that Python counts as white space, and the evaluation wants them back.
    """
    return "".join(char for char in text if char not in "\t\n\r" and unicodedata.category(char) != "Zs")


def _flat_tree(tokens: Sequence[Token]) -> str:
    """One sentence: the first word is the root, the others hang on it. Empty for no token."""
    rows: list[str] = []
    number = 1
    for token in tokens:
        form = _BREAK.sub(" ", token.text)
        words = ud_words(token)
        if words:
            rows.append(f"{number}-{number + len(words) - 1}\t{form}" + "\t_" * 8)
        own = words or [(form, *_label(token))]
        for (word, *label), lemma in zip(own, word_lemmas(token), strict=True):
            upos, feats = _tags(*label)
            head, deprel = ("0", "root") if number == 1 else ("1", "dep")
            rows.append(f"{number}\t{word}\t{_cell(lemma)}\t{upos}\t_\t{feats}\t{head}\t{deprel}\t_\t_")
            number += 1
    return "".join(f"{line}\n" for line in rows) + "\n" if rows else ""


def _cell(lemma: str) -> str:
    return _BREAK.sub(" ", lemma) or "_"


def _label(token: Token) -> Label:
    return token.pos_, str(token.morph)


def _tags(upos: str, feats: str) -> Label:
    """UPOS and FEATS as CoNLL-U writes them, `_` for none."""
    return upos if upos in UPOS_TAGS else "_", canonical_feats(feats)

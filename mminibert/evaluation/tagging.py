"""Gold sentences tagged anew, on their gold words or from raw text, as CoNLL-U for the official scorer."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.vocab import Vocab

from ..data.conllu import UPOS_TAGS, Sentence
from ..data.docs import feats_string
from ..runtime.labels import Label
from .conventions import Tagged, tag_in_each

TagWords = Callable[[Sequence[Sequence[str]]], list[list[Label]]]
"""Sentences (lists of words) to the label of each word; see `labelling.make_tagger`."""


def gold_words(
    nlp: Language,
    sentences: Sequence[Sentence],
    conventions: Sequence[str | None] = (None,),
    *,
    batch_size: int = 64,
) -> Tagged:
    """The sentences with UPOS and FEATS as `nlp` predicts them for the gold syntactic words, in each of the
    conventions.

    The pipeline sees forms and spaces only, one sentence a Doc; nothing else of the gold annotation
    reaches it. Raises ValueError if a component changes the tokens.
    """

    def write(docs: Iterable[Doc]) -> str:
        return "".join(_with_tags(sentence, doc) for sentence, doc in zip(sentences, docs, strict=True))

    bare = (_bare_doc(sentence, nlp.vocab) for sentence in sentences)
    return tag_in_each(nlp, bare, conventions, write, batch_size=batch_size)


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
    return Tagged({None: conllu}, perf_counter() - start)


def raw_text(
    nlp: Language,
    sentences: Iterable[Sentence],
    conventions: Sequence[str | None] = (None,),
    *,
    batch_size: int = 16,
) -> Tagged:
    """The sentences' text as `nlp` tokenizes, splits and tags it in each of the conventions, a text for each
    paragraph.

    Sentences are those of the pipeline, or the whole paragraph if it sets none. LEMMA, XPOS and MISC are
    empty, and the tree is flat: the CoNLL evaluation reads no file without a tree. Raises ValueError if
    the tokenizer changes characters, which that evaluation cannot align.
    """
    blocks = paragraphs(sentences)
    texts = [_text(block) for block in blocks]

    def write(docs: Iterable[Doc]) -> str:
        return "".join(map(_flat_trees, blocks, texts, docs))

    return tag_in_each(nlp, texts, conventions, write, batch_size=batch_size)


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
    return sentence.to_conllu(upos=[_upos(t) for t in doc], feats=[feats_string(t) for t in doc])


def _flat_trees(block: Sequence[Sentence], text: str, doc: Doc) -> str:
    """The sentences of a paragraph, as its Doc has them."""
    if _visible(doc.text) != _visible(text):
        raise ValueError(
            f"{block[0].path}, line {block[0].line}: the tokenizer changed characters of the paragraph "
            "that begins here; evaluate a pipeline whose tokenizer keeps the text"
        )
    spans = doc.sents if doc.has_annotation("SENT_START") else [doc[:]]
    return "".join(_flat_tree([token for token in span if _visible(token.text)]) for span in spans)


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

"""Sentences of CoNLL-U as spaCy Docs; for the way back see `docs_conllu`.

A sentence becomes one of two Docs: `words_doc` has a token for each syntactic word, `tokens_doc` one for each
surface token, in which the words of a multiword token (a range line such as `3-4`) are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from spacy.tokens import Doc, Token
from spacy.vocab import Vocab

from ..runtime.ud_words import UD_WORDS, store_words, ud_words
from .conllu import Sentence, Word

__all__ = [
    "UD_WORDS",
    "canonical_feats",
    "feats_string",
    "tokens_doc",
    "ud_words",
    "words_doc",
]


def words_doc(sentence: Sentence, vocab: Vocab) -> Doc:
    """A Doc with one token a syntactic word: POS, MORPH, TAG (XPOS), LEMMA, and HEAD and DEP if complete.

    Inside a multiword token no space follows a word; after its last the range line decides. FEATS `_` is
    an empty MORPH; a word whose FEATS are unknown (`Word.feats_masked`) has none, so `token.has_morph()`
    is False and training leaves it out; DocBin keeps the difference. UPOS `_`, or unknown
    (`Word.upos_masked`), leaves POS unset. HEAD and DEP are set only if they form a tree with one root, which
    has the relation `ROOT`.
    """
    spaces: list[bool] = []
    for _, space, words in sentence.tokens():
        spaces.extend([False] * (len(words) - 1))
        spaces.append(space)
    words = sentence.words
    tree = _tree(words)
    deps = ["ROOT" if tree[i] == i else word.deprel for i, word in enumerate(words)] if tree else None
    return _doc(vocab, [word.form for word in words], spaces, words, heads=tree, deps=deps)


def tokens_doc(sentence: Sentence, vocab: Vocab) -> Doc:
    """A Doc with one token a surface token: POS, MORPH, TAG and LEMMA; HEAD and DEP are left unset.

    A multiword token takes them from its first word whose head lies outside of it (from its first word
    if no word has a head), and has its words as `ud_words` gives them: in `token._.ud_words`, if the user
    has no extension of that name. They survive a DocBin with `store_user_data=True`.
    """
    tokens = list(sentence.tokens())
    heads = [_head_word(words) if len(words) > 1 else words[0] for _, _, words in tokens]
    doc = _doc(vocab, [form for form, _, _ in tokens], [space for _, space, _ in tokens], heads)
    if sentence.ranges:
        starts = {rng.start for rng in sentence.ranges}
        for token, (_, _, words) in zip(doc, tokens, strict=True):
            if words[0].id in starts:
                store_words(token, tuple((w.form, w.upos, canonical_feats(w.feats)) for w in words))
    return doc


def feats_string(token: Token) -> str:
    """FEATS of a token in canonical UD order, `_` if MORPH is empty or unset."""
    return canonical_feats(str(token.morph))


@lru_cache(maxsize=1 << 17)
def canonical_feats(feats: str) -> str:
    """FEATS in the order the UD validator wants: names, and values of a name, regardless of case.

    spaCy sorts capitals first. Values of a repeated name are put together (`A=1|A=2` is `A=1,2`), since
    a Doc holds a name once and would drop all but the last; the same value is there once.
    """
    if feats in ("", "_"):
        return "_"
    values: dict[str, list[str]] = {}
    for feature in feats.split("|"):
        name, _, value = feature.partition("=")
        values.setdefault(name, []).extend(value.split(","))
    features = (f"{name}={','.join(sorted(set(vs), key=_fold))}" for name, vs in values.items())
    return "|".join(sorted(features, key=_fold))


def _fold(string: str) -> tuple[str, str]:
    return string.lower(), string


def _tree(words: Sequence[Word]) -> list[int] | None:
    """Positions of the heads, a root its own; None unless they form a tree with relations and one root."""
    heads = []
    for word in words:
        if not (word.head.isascii() and word.head.isdecimal()) or word.deprel == "_":
            return None
        heads.append(int(word.head))
    if heads.count(0) != 1 or max(heads) > len(words):
        return None
    done = [True] + [False] * len(words)  # whether a word's chain of heads is known to end in the root
    for id in range(1, len(words) + 1):
        chain = set()
        while not done[id]:
            if id in chain:
                return None
            chain.add(id)
            id = heads[id - 1]
        for link in chain:
            done[link] = True
    return [head - 1 if head else i for i, head in enumerate(heads)]


def _head_word(words: Sequence[Word]) -> Word:
    """The first word whose head lies outside of `words`, the first word if there is none."""
    inside = {str(word.id) for word in words}
    return next((word for word in words if word.head != "_" and word.head not in inside), words[0])


def _doc(
    vocab: Vocab,
    forms: list[str],
    spaces: list[bool],
    words: Sequence[Word],
    *,
    heads: list[int] | None = None,
    deps: list[str] | None = None,
) -> Doc:
    """A Doc of one sentence, whose tokens have the forms and spaces given and the annotation of `words`."""
    doc = Doc(
        vocab,
        words=forms,
        spaces=spaces,
        pos=["" if word.upos_masked else _unset(word.upos) for word in words],
        morphs=[_unset(canonical_feats(word.feats)) for word in words],
        tags=[_unset(word.xpos) for word in words],
        lemmas=[_unset(word.lemma) for word in words],
        heads=heads,
        deps=deps,
        sent_starts=[i == 0 for i in range(len(words))],
    )
    for token, word in zip(doc, words, strict=True):
        if word.feats_masked:
            token.set_morph(None)  # type: ignore[attr-defined]
    return doc


def _unset(cell: str) -> str:
    return "" if cell == "_" else cell

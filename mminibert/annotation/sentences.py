"""Sentences of a tagged Doc as plain values, and Docs of some of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from typing import Any

from spacy.tokens import Doc, Span, Token

from ..data.conllu import Sentence
from ..data.docs import canonical_feats, feats_string
from ..runtime.confidences import KEY as CONFIDENCES
from ..runtime.confidences import set_confidences
from ..runtime.doc_conventions import conventions_of, set_conventions
from ..runtime.ud_words import multiword_tokens, set_lemmas, set_words, store_words, ud_lemmas, word_lemmas

__all__ = ["doc_of_sentence", "in_languages", "language_and_convention", "sentences_of", "spans_of"]


def doc_of_sentence(vocab: Any, sentence: Sentence) -> Doc:
    """Its surface tokens with their words, without any annotation; one sentence."""
    tokens = list(sentence.tokens())
    doc = Doc(
        vocab,
        words=[form for form, _, _ in tokens],
        spaces=[space for _, space, _ in tokens],
        sent_starts=[i == 0 for i in range(len(tokens))],
    )
    ranges = {rng.start for rng in sentence.ranges}
    for token, (_, _, words) in zip(doc, tokens, strict=True):
        if words[0].id in ranges:
            set_words(token, [word.form for word in words])
    return doc


def spans_of(doc: Doc) -> list[Span]:
    """The sentences that have more than white space."""
    spans = list(doc.sents) if doc.has_annotation("SENT_START") else [doc[:]]
    return [span for span in spans if not span.text.isspace() and len(span)]


def language_and_convention(doc: Doc, start: int) -> tuple[str | None, str | None]:
    """Of the sentence that begins with this token; None where the pipeline says none."""
    stretches = conventions_of(doc)
    at = bisect_right([first for first, _ in stretches], start) - 1
    language = doc[start : start + 1]._.get("language") if Span.has_extension("language") else None
    return language, stretches[at][1] if at >= 0 else None


def in_languages(doc: Doc, languages: Collection[str], *, keep_others: bool) -> Doc | None:
    """The Doc of the sentences in these languages, None if there is none; keep_others: the others stay, and
    have no annotation."""
    spans = spans_of(doc)
    wanted = {span.start for span in spans if language_and_convention(doc, span.start)[0] in languages}
    if len(wanted) == len(spans):
        return doc
    kept = spans if keep_others else [span for span in spans if span.start in wanted]
    return _doc_of(doc, kept, wanted) if kept else None


def _doc_of(doc: Doc, spans: list[Span], tagged: Collection[int]) -> Doc:
    """spans: those that it consists of. tagged: first tokens of those that keep their annotation."""
    tokens = [(token, span.start in tagged) for span in spans for token in span]
    made = Doc(
        doc.vocab,
        words=[token.text for token, _ in tokens],
        spaces=[bool(token.whitespace_) for token, _ in tokens],
        pos=[token.pos_ if own else "" for token, own in tokens],
        tags=[token.tag_ if own else "" for token, own in tokens],
        morphs=[str(token.morph) if own else "" for token, own in tokens],
        lemmas=[token.lemma_ if own else "" for token, own in tokens],
        sent_starts=[token.i == span.start for span in spans for token in span],
    )
    words = multiword_tokens(doc)
    for new, (token, own) in zip(made, tokens, strict=True):
        if token.i in words and own:
            store_words(new, words[token.i])
            if lemmas := ud_lemmas(token):
                set_lemmas(new, lemmas)
        elif token.i in words:
            set_words(new, [form for form, _, _ in words[token.i]])
    starts = [i for i, token in enumerate(made) if token.is_sent_start]
    codes = [language_and_convention(doc, span.start)[1] for span in spans]
    set_conventions(made, [(start, code) for start, code in zip(starts, codes, strict=True) if code])
    if CONFIDENCES in doc.user_data:
        set_confidences(made, [token._.pos_confidence if own else None for token, own in tokens])
    return made


def sentences_of(doc: Doc) -> Iterator[dict[str, Any]]:
    """Each sentence as JSON has it, see docs/annotate.md. White space is left out; characters are counted
    from the beginning of the Doc."""
    words = multiword_tokens(doc)
    for span in spans_of(doc):
        language, convention = language_and_convention(doc, span.start)
        tokens = [_token(token, words.get(token.i)) for token in span if not token.text.isspace()]
        yield {
            "start": tokens[0]["start"],
            "end": tokens[-1]["end"],
            "language": language,
            "convention": convention,
            "tokens": tokens,
        }


def _token(token: Token, words: Any) -> dict[str, Any]:
    confidence = token._.pos_confidence if CONFIDENCES in token.doc.user_data else None
    return {
        "start": token.idx,
        "end": token.idx + len(token),
        "text": token.text,
        "lemma": token.lemma_ or None,
        "upos": token.pos_ or None,
        "feats": _feats(feats_string(token)),
        "confidence": None if confidence is None else round(confidence, 4),
        "words": None
        if words is None
        else [
            {
                "form": form,
                "lemma": lemma or None,
                "upos": _feats(upos),
                "feats": _feats(canonical_feats(feats)),
            }
            for (form, upos, feats), lemma in zip(words, word_lemmas(token), strict=True)
        ],
    }


def _feats(cell: str) -> str | None:
    return None if cell == "_" else cell

"""Learning from treebanks what the multiword tokens of a language expand to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..data.word_ends import ends_of_words, word_ends
from ..runtime.expansions import (
    KEEP,
    WHOLE,
    Edit,
    Entry,
    Expansions,
    Kind,
    back_context,
    fold,
    front_context,
    pieces_of,
)

__all__ = ["Occurrence", "fit_expansions", "with_convention"]

Words = tuple[str, ...]
Occurrence = tuple[str | None, str, Words | None]
Table = dict[str, Counter[Words | None]]

EXCEPTIONAL = 0.02  # a smaller share of a form's occurrences is taken for errors of its annotation
OWN_OCCURRENCES = 3  # of a form in a convention, before that may differ from its language
FEWEST = 1e-4  # multiword tokens a token, in a convention that has them
GAIN = 2  # more forms right than without it, for an edit to be kept
MARKED_FORMS = 3  # that show a character to be a mark


def fit_expansions(occurrences: Iterable[Occurrence]) -> Expansions:
    """The expansions of one language, from the tokens of its treebanks (words: None for a single word).

    The convention of an occurrence is the treebank's code, or None where the text is not annotated as the
    treebank is (rebuilt from other sources): it tells of the language alone. Forms and words with tabs or
    line breaks, or without characters, are left out. Equal occurrences in any order give equal expansions.
    """
    language: Table = defaultdict(Counter)
    conventions: dict[str, Table] = defaultdict(lambda: defaultdict(Counter))
    for convention, form, words in occurrences:
        if not _writable(form, *(words or ())):
            continue
        form, words = fold(form), tuple(map(fold, words)) if words and len(words) > 1 else None
        language[form][words] += 1
        if convention is not None:
            conventions[convention][form][words] += 1
    marks = _marks(language)
    edits = Expansions({}, *_edits(language, marks), marks, _without(conventions))
    known = {form: entry for form, seen in language.items() if (entry := _entry(seen))}
    lexicon = {
        "": {form: entry for form, entry in known.items() if not _regular(form, language[form], edits)}
    }
    for code, table in sorted(conventions.items()):
        if code not in edits.without and (differing := _differing(table, known)):
            lexicon[code] = differing
    return Expansions(lexicon, edits.fronts, edits.backs, marks, edits.without)


def with_convention(
    expansions: Expansions | None, code: str, tokens: Iterable[tuple[str, Words | None]]
) -> Expansions | None:
    """The expansions of a language with one more convention, by its tokens (words: None for a single word),

    or another one in the place of that of this code; what all others have stays. None: a language without
    multiword tokens, in which this convention has none either."""
    table: Table = defaultdict(Counter)
    for form, words in tokens:
        if _writable(form, *(words or ())):
            several = tuple(map(fold, words)) if words and len(words) > 1 else None
            table[fold(form)][several] += 1
    old = expansions or Expansions()
    lexicon = {name: forms for name, forms in old.lexicon.items() if name != code}
    known = lexicon.get("", {})
    new = {form: entry for form, seen in table.items() if form not in known and (entry := _entry(seen))}
    own = {form: entry for form, entry in new.items() if not _regular(form, table[form], old)}
    own |= _differing(table, known)
    none = _without({code: table})
    if expansions is None and none:
        return None
    if own and not none:
        lexicon[code] = own
    return replace(old, lexicon=lexicon, without=(old.without - {code}) | none)


def _writable(*texts: str) -> bool:
    return all(text and not set(text) & set("\t\n\r") for text in texts)


def _entry(seen: Counter[Words | None]) -> Entry | None:
    """None for a form that is a single word but for errors."""
    share = 1 - seen[None] / seen.total()
    if share < EXCEPTIONAL:
        return None
    kind: Kind = "always" if share > 1 - EXCEPTIONAL else "mostly" if share >= 0.5 else "rarely"
    return Entry(kind, _most_frequent(seen))


def _most_frequent(seen: Counter[Words | None]) -> Words:
    return max((words for words in seen if words), key=lambda words: (seen[words], words))


def _regular(form: str, seen: Counter[Words | None], edits: Expansions) -> bool:
    """Whether a form was seen once and the edits give its words: nothing is lost if it is not stored."""
    if seen.total() > 1:
        return False
    words = _most_frequent(seen)
    at = word_ends(form, words)
    return bool(at) and edits.rewrite(form, at) == words


def _differing(table: Table, known: Mapping[str, Entry]) -> dict[str, Entry]:
    """The forms that are something else in a convention than in its language."""
    found = {}
    for form, seen in table.items():
        entry = _entry(seen) or (Entry("never", ()) if form in known else None)
        if entry is not None and entry != known.get(form) and seen.total() >= OWN_OCCURRENCES:
            found[form] = entry
    return found


def _without(conventions: Mapping[str, Table]) -> frozenset[str]:
    found = set()
    for code, table in conventions.items():
        tokens = sum(seen.total() for seen in table.values())
        single = sum(seen[None] for seen in table.values())
        if tokens - single < FEWEST * tokens:
            found.add(code)
    return frozenset(found)


def _marks(table: Table) -> str:
    """Characters that are no letters and stand inside of forms whose words are the rest and they."""
    forms: Counter[str] = Counter()
    for form, seen in table.items():
        for words in seen:
            if words and len(words) == 2 and len(words[1]) == 1 and not words[1].isalnum():
                forms[words[1]] += form[1:-1].count(words[1]) == 1 and form.replace(words[1], "") == words[0]
    return "".join(sorted(mark for mark, n in forms.items() if n >= MARKED_FORMS))


def _edits(table: Table, marks: str) -> tuple[dict[str, Edit], dict[str, Edit]]:
    """Fronts and backs, from each form once: cut at its splits, and whole as all single words are."""
    fronts: dict[str, Counter[Edit]] = defaultdict(Counter)
    backs: dict[str, Counter[Edit]] = defaultdict(Counter)
    for form, seen in table.items():
        if set(form) & set(marks):
            continue
        cuts: list[tuple[Sequence[str], Sequence[Words]]] = []
        if (entry := _entry(seen)) is not None:
            at = word_ends(form, entry.words)
            cuts += [(pieces_of(form, at), _words_of_pieces(form, at, entry.words))] if at else []
            cuts.append(([form], [entry.words]))
        else:
            cuts.append(([form], [(form,)]))
        for pieces, groups in cuts:
            for i, words in enumerate(groups):
                front, back = _edits_of(pieces[i], words)
                fronts[front_context(pieces, i)][front] += 1
                backs[back_context(pieces, i)][back] += 1
    return _decide(fronts), _decide(backs)


def _words_of_pieces(form: str, splits: tuple[int, ...], words: Words) -> list[Words]:
    """The words of each piece; one without letters goes with the piece before it, or with the first."""
    bounds = [*splits, len(form)]
    groups: list[list[str]] = [[] for _ in bounds]
    for word, end in zip(words, ends_of_words(form, words), strict=True):
        groups[next(k for k, bound in enumerate(bounds) if end <= bound)].append(word)
    return [tuple(group) for group in groups]


def _edits_of(piece: str, words: Words) -> tuple[Edit, Edit]:
    """Front and back that make a piece's words, around the longest string that it shares with one of them."""
    if words == (piece,):
        return KEEP, KEEP
    length, j, at, start = max(
        (
            (_common_prefix(piece[a:], word[b:]), -j, -a, -b)
            for j, word in enumerate(words)
            for a in range(len(piece))
            for b in range(len(word))
        )
    )
    j, at, start = -j, -at, -start
    word = words[j]
    if 3 * length < len(word):  # by chance, as in Hebrew ו for _הוא
        return KEEP, Edit(WHOLE, words)
    front = Edit(at, (*words[:j], word[:start]))
    return front, Edit(len(piece) - at - length, (word[start + length :], *words[j + 1 :]))


def _common_prefix(one: str, other: str) -> int:
    n = 0
    while n < min(len(one), len(other)) and one[n] == other[n]:
        n += 1
    return n


def _decide(found: Mapping[str, Counter[Edit]]) -> dict[str, Edit]:
    """Each context's most frequent edit where it does better than the next shorter context's."""
    seen: dict[str, Counter[Edit]] = defaultdict(Counter)
    for context, edits in found.items():
        for end in range(1, len(context) + 1):
            seen[context[:end]].update(edits)
    decided: dict[str, Edit] = {}
    for context in sorted(seen):  # shorter ones before those that begin with them
        edits = seen[context]
        shorter = (
            decided[context[:end]] for end in range(len(context) - 1, 0, -1) if context[:end] in decided
        )
        inherited = next(shorter, KEEP)
        best = max(edits, key=lambda edit: (edits[edit], edit == inherited, -edit.cut, edit.texts))
        if edits[best] >= edits[inherited] + GAIN:
            decided[context] = best
    return decided

"""Lexicons of conventions: what the forms of training sentences were annotated as."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..runtime.conventions import Convention, Conventions
from ..runtime.labels import Label
from ..runtime.lexicon import Lexicon, ending_keys, hash_of
from ..runtime.normal_form import composed, normal_form
from ..runtime.pipeline import tagger
from ..runtime.types import Floats

Counts = Mapping[str, Mapping[Label, int]]
"""By form how often it was annotated as what."""
Places = tuple[int, ...]
"""Combinations of a convention's inventory, rising."""
MOST_FORMS = 40_000
"""Of a convention, the most frequent ones."""
LEAST_SHARE = 0.02
"""What a form, or those of an ending, were more seldom is taken for an error."""
SURE = 2.0
"""A form that was annotated in one way is left out if the network says so of the form alone, and each field
by so much, in nats."""
SPARE_BITS = 10
"""Of a hash, beyond those that number the forms: one form in 2^10 that is not there has another's hash."""
RARE = 10
"""Forms that occur at most so often tell what others of their ending are."""
LEAST_FORMS = 5
"""Of an ending that is kept."""
FURTHEST = (1 << 16) - 1
"""The largest step from one hash to the next, so that each is kept in two bytes."""
MOST_SETS = 1 << 16
FORMS_AT_ONCE = 4096


def counts_of(sentences: Iterable[tuple[Sequence[str], Sequence[Label]]]) -> dict[str, Counter[Label]]:
    """Of sentences' words and labels; words whose UPOS is not known count for nothing."""
    counts: dict[str, Counter[Label]] = defaultdict(Counter)
    for words, labels in sentences:
        for form, label in zip(words, labels, strict=True):
            if label[0] and not form.isspace():
                counts[composed(form)][label] += 1
    return dict(counts)


def make_lexicon(counts: Counts, combinations: Sequence[Label], sure: Collection[str] = ()) -> Lexicon:
    """combinations: of the convention's inventory; others are left out. sure: forms that are left out if they
    were annotated in one way. A form is left out, too, if it had a UPOS without known features that it never
    had with them: what it can be is not known then."""
    places = {label: i for i, label in enumerate(combinations)}
    forms: dict[str, Places] = {}
    for form, found in sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0])):
        own = _candidates(found, places)
        if own and (len(own) > 1 or form not in sure) and len(forms) < MOST_FORMS:
            forms[form] = own
    return _packed(forms, _endings(counts, places))


def _candidates(found: Mapping[Label, float], places: Mapping[Label, int]) -> Places:
    """What has the least share; nothing if part of that is not known."""
    least = LEAST_SHARE * sum(found.values())
    own = sorted(places[label] for label, n in found.items() if label in places and n >= least)
    upos = {label[0] for label, n in found.items() if label in places and n >= least}
    is_whole = all(label[0] in upos for label, n in found.items() if not label[1] and n >= least)
    return tuple(own) if is_whole else ()


def _endings(counts: Counts, places: Mapping[Label, int]) -> dict[str, Places]:
    """By `ending_keys` what rare forms that end so were; each form counts once. An ending that says the same
    as the next shorter one that is kept is left out."""
    shares: dict[str, dict[Label, float]] = defaultdict(lambda: defaultdict(float))
    for form, found in counts.items():
        n = sum(found.values())
        if n <= RARE:
            for key in ending_keys(normal_form(form)):
                for label, times in found.items():
                    shares[key][label] += times / n
    kept: dict[str, Places] = {}
    for key in sorted(shares, key=lambda key: (len(key.lstrip("^")), key)):
        # The parts of each form add up to one, but for rounding.
        if sum(shares[key].values()) >= LEAST_FORMS - 1e-6:
            own = _candidates(shares[key], places)
            start, _, ending = key.partition("$")
            shorter = (f"{start}${ending[i:]}" for i in range(1, len(ending)))
            if own and own != next((kept[other] for other in shorter if other in kept), ()):
                kept[key] = own
    return kept


def _packed(forms: Mapping[str, Places], endings: Mapping[str, Places]) -> Lexicon:
    bits = min(32, max(len(forms) + len(endings), 1).bit_length() + SPARE_BITS)
    by_hash: dict[int, set[int]] = defaultdict(set)
    for form, own in forms.items():
        by_hash[hash_of(form, bits)].update(own)
    known = {key: tuple(sorted(found)) for key, found in by_hash.items()}
    guessed = {hash_of(ending, bits): own for ending, own in sorted(endings.items())}
    sets: list[Places] = [()]
    numbers: dict[int, int] = {}
    ending_set = 1
    for part in (known, {key: own for key, own in guessed.items() if key not in known}):
        ending_set = len(sets)
        common = Counter(part.values()).most_common(MOST_SETS - len(sets))
        new = {own: i for i, (own, _) in enumerate(common, len(sets))}
        sets += new
        numbers |= {key: new[own] for key, own in part.items() if own in new}
    rows: list[tuple[int, int]] = []
    last = 0
    for key in sorted(numbers):
        while key - last > FURTHEST:
            last += FURTHEST
            rows.append((last, 0))
        rows.append((key, numbers[key]))
        last = key
    keys, own_sets = (np.asarray([row[i] for row in rows]) for i in (0, 1))
    return Lexicon(
        bits,
        ending_set,
        keys.astype(np.uint32),
        own_sets.astype(np.uint16),
        np.cumsum([0, *map(len, sets)]).astype(np.int32),
        np.asarray([place for own in sets for place in own], dtype=np.int32),
    )


def with_lexicon(nlp: Language, conventions: Conventions, head: Convention, counts: Counts) -> Convention:
    """A convention with the lexicon of its training sentences. nlp: a packaged pipeline, whose encoder says
    which forms need none."""
    known = sorted(form for form, found in counts.items() if _only(found) is not None)
    told = _is_sure(nlp, conventions, head, counts, known)
    sure = {form for form, is_sure in zip(known, told, strict=True) if is_sure}
    return replace(head, lexicon=make_lexicon(counts, head.inventory.combinations, sure))


def _is_sure(
    nlp: Language, conventions: Conventions, head: Convention, counts: Counts, forms: Sequence[str]
) -> Iterable[bool]:
    """Of each form whether the network alone says what it was annotated as, by `SURE`."""
    pipe, inventory, table = tagger(nlp), head.inventory, conventions.forms(head.code)
    for start in range(0, len(forms), FORMS_AT_ONCE):
        part = forms[start : start + FORMS_AT_ONCE]
        docs = [Doc(nlp.vocab, words=[form]) for form in part]
        vectors = np.concatenate([np.asarray(rows) for rows in pipe.vectors(docs)])
        forms_rows: Floats | None = None
        if conventions.adapter is not None:
            k = len(conventions.adapter.down)
            own = [np.zeros(k, np.float32) if table is None else table.vector(form) for form in part]
            forms_rows = np.stack(own).astype(np.float32)
        (logits,) = conventions.logits(head.code, [vectors], forms_rows)
        found = inventory.find([logits])[0]
        margin = _margins(logits, inventory.starts)
        for form, best, least in zip(part, found.tolist(), margin.tolist(), strict=True):
            yield best >= 0 and inventory.combinations[best] == _only(counts[form]) and least > SURE


def _only(found: Mapping[Label, int]) -> Label | None:
    """The one fully known label of a form; None if it has none, or several."""
    known = [label for label in found if label[1]]
    return known[0] if len(known) == 1 else None


def _margins(logits: Floats, starts: np.ndarray) -> Floats:
    """float32 ``(n,)``: of the field where it is least, by how much the best value is ahead of the next."""
    least = np.full(len(logits), math.inf, dtype=np.float32)
    for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        if b - a > 1:
            best = np.partition(logits[:, a:b], b - a - 2, axis=1)
            least = np.minimum(least, best[:, -1] - best[:, -2])
    return least

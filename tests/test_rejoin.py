"""Blanks put back by what gold sentences say of neighbours: probabilities by hand, and what is left out."""

from __future__ import annotations

import pytest

from mminibert.data.blanks import SURE, Blanks, Sample, are_sure, most_likely, share_right
from mminibert.data.rejoin import Rejoiner, rejoin
from mminibert.data.segmented import Segmented


def text(written: str, tokens: str, words: dict[int, tuple[str, ...]] | None = None) -> Segmented:
    """The tokens, with blanks between in `tokens`, as they are found in the text from the left."""
    bounds, at = [], 0
    for form in tokens.split():
        start = written.index(form, at)
        at = start + len(form)
        bounds.append((start, at))
    return Segmented(written, tuple(bounds), words or {})


def sample(written: str, tokens: str) -> Sample:
    found = text(written, tokens)
    return found.forms, found.blanks


NOUNS = ("Haus", "Tal", "Weg", "Baum", "Dach", "Feld", "Rad", "Wald", "Berg", "Fluss")
GOLD = [text(f'Das "{noun}", gut, ja.', f'Das " {noun} " , gut , ja .') for noun in NOUNS]
SPREAD = text("Das Dorf , ja .", "Das Dorf , ja .")


def test_a_pair_counts_more_than_its_kinds() -> None:
    """By hand: each estimate is smoothed by the next coarser one, the coarsest by a blank."""
    blanks = Blanks([sample("a b", "a b"), sample("a-c", "a - c")])
    single = (2 + 1) / (3 + 1)  # `a` on the left has a blank once of twice, `b` on the right once of once
    kinds = (1 + single) / (1 + 1)  # a letter and a letter
    token = (2 + kinds) / (2 + 1)  # `a` and a letter, a letter and `b`
    assert blanks(["a", "b"]) == [(1 + token) / (1 + 1)]
    single = (1 + 1) / (3 + 1)
    token = (single / (1 + 1)) / (2 + 1)
    assert blanks(["a", "-"]) == [token / (1 + 1)]
    assert most_likely(blanks(["b", "-", "a"])) == [False, False]  # by their kinds
    assert most_likely(blanks(["x", "?", "1"])) == [True, True]  # of which nothing is known


def test_opening_and_closing_quotes_are_told_apart() -> None:
    rejoiner = Rejoiner(GOLD)
    assert rejoiner.rejoined(text('Ein " Ort " , ja .', 'Ein " Ort " , ja .')).text == 'Ein "Ort", ja.'


def test_share_right_is_that_of_sentences_held_out() -> None:
    """What is unlike all others is wrong: it is not learned from when it is asked."""
    samples = [sample("a.", "a .")] * 19
    assert share_right(samples) == 1
    assert share_right([*samples, sample("x-y", "x - y")]) == 19 / 21
    assert share_right([]) == 0


def test_tokenized_text_is_rejoined_and_other_text_left() -> None:
    found = [*((gold, "spaces") for gold in GOLD), (SPREAD, "spaces"), (SPREAD, "unsaid")]
    kept, counts = rejoin(found, Rejoiner(GOLD), usual=0.0, put_back=True)
    assert counts == {"spaces": 10, "rejoined": 2}
    assert [sentence.text for sentence in kept[10:]] == ["Das Dorf, ja."] * 2
    assert kept[10].forms == SPREAD.forms
    assert kept[:10] == GOLD


def test_blanks_all_over_that_are_usual_are_text_as_it_is() -> None:
    found = [*((gold, "spaces") for gold in GOLD), (SPREAD, "spaces")]
    assert Rejoiner(GOLD).share_spread(found) == 1 / 11
    kept, counts = rejoin(found, Rejoiner(GOLD), usual=1 / 11, put_back=True)
    assert (kept[10], counts) == (SPREAD, {"spaces": 11})


def test_dev_is_never_rejoined() -> None:
    found = [(GOLD[0], "spaces"), (SPREAD, "text"), (SPREAD, "unsaid")]
    kept, counts = rejoin(found, Rejoiner(GOLD), usual=0.0, put_back=False)
    assert (kept, counts) == ([GOLD[0]], {"spaces": 1, "tokenized": 1, "unsaid": 1})


def test_blanks_that_are_often_wrong_are_not_put_back() -> None:
    """A name is written with a hyphen that no other sentence has: two of the many pairs held out."""
    gold = [text("Ulm-Ost, gut, ja.", "Ulm - Ost , gut , ja ."), *GOLD]
    rejoiner = Rejoiner(gold)
    assert rejoiner.right < 0.995
    kept, counts = rejoin([(SPREAD, "unsaid")], rejoiner, usual=0.0, put_back=True)
    assert (kept, counts) == ([], {"unsaid": 1})


def test_sentences_with_a_doubtful_blank_are_left_out() -> None:
    """Of `Ulm - Ost` the gold sentences say that it is written in two ways."""
    wide, narrow = text("Ulm - Ost", "Ulm - Ost"), text("Ulm-Ost", "Ulm - Ost")
    rejoiner = Rejoiner([*GOLD * 3, *[wide, narrow] * 2])
    assert rejoiner.right == 1  # of those that are sure
    kept, counts = rejoin([(wide, "unsaid"), (SPREAD, "unsaid")], rejoiner, usual=0.0, put_back=True)
    assert ([sentence.text for sentence in kept], counts) == (["Das Dorf, ja."], {"unsure": 1, "rejoined": 1})


def test_sure_is_what_is_likely_or_unlikely_enough() -> None:
    assert are_sure([SURE, 1 - SURE, 0.0, 1.0])
    assert not are_sure([1.0, SURE - 0.01])
    assert not are_sure([1 - SURE + 0.01])


def test_a_sentence_without_anything_to_glue_is_no_tokenized_text() -> None:
    plain = text("Das Dorf", "Das Dorf")
    kept, counts = rejoin([(plain, "text"), (SPREAD, "text")], Rejoiner(GOLD), usual=0.0, put_back=True)
    assert (kept[0], counts) == (plain, {"text": 1, "rejoined": 1})


def known(sentences: list[Segmented]) -> list[tuple[Segmented, str]]:
    return [(sentence, "text") for sentence in sentences]


@pytest.mark.parametrize("multiword", [1, 9])
def test_text_with_words_for_multiword_tokens_is_left_out(multiword: int) -> None:
    """`an dem` are rather words of `am` than neighbours, few multiword tokens or many."""
    gold = [text("Am Dorf, ja.", "Am Dorf , ja .", {0: ("An", "dem")})] * multiword + GOLD * 3
    words = text("an dem Dorf", "an dem Dorf")
    found = [*known(gold), (words, "unsaid"), (SPREAD, "unsaid")]
    kept, counts = rejoin(found, Rejoiner(gold), usual=0.0, put_back=True)
    assert (counts["unjoined"], counts["rejoined"]) == (1, 1)
    assert len(kept) == len(found) - 1


def test_where_all_multiword_tokens_are_lost_a_word_tells_of_one() -> None:
    """`s` is never a token of its own; where files have multiword tokens, these are known."""
    gold = [text(f"{noun}s, ja.", f"{noun}s , ja .", {0: (noun, "s")}) for noun in NOUNS] + GOLD * 3
    rejoiner = Rejoiner(gold)
    assert rejoiner.caught == 1
    host, plain = text("Dorf s , ja .", "Dorf s , ja ."), SPREAD
    found = [*known(gold), (host, "unsaid"), (plain, "unsaid")]
    kept, counts = rejoin(found, rejoiner, usual=0.0, put_back=True)
    assert (counts["unjoined"], counts["rejoined"], kept[-1].text) == (1, 1, "Das Dorf, ja.")
    ranged = text("Dorfs , ja .", "Dorfs , ja .", {0: ("Dorf", "s")})
    kept, counts = rejoin([*found, (ranged, "unsaid")], rejoiner, usual=0.0, put_back=True)
    assert (counts["unjoined"], counts["rejoined"]) == (0, 3)


def test_text_whose_lost_multiword_tokens_are_not_known_is_left_out() -> None:
    """Each is of words that no other has: held out, none is known."""
    pairs = [(noun, noun[::-1].lower()) for noun in NOUNS]
    gold = [text(f"{a}{b}, ja.", f"{a}{b} , ja .", {0: (a, b)}) for a, b in pairs] + GOLD * 3
    rejoiner = Rejoiner(gold)
    assert rejoiner.caught == 0
    kept, counts = rejoin([*known(gold), (SPREAD, "unsaid")], rejoiner, usual=0.0, put_back=True)
    assert (counts["unjoined"], len(kept)) == (1, len(gold))

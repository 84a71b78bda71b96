"""Sentences as text: by SpaceAfter, by `# text`, or not; the text is the sentence's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.data.conllu import Range, Sentence, Word
from mminibert.data.segmented import Segmented, merged, segmented, splits_words

FORM = st.text("abZ9.,'-ü語", min_size=1, max_size=5)
TOKENS = st.lists(st.tuples(FORM, st.booleans(), st.integers(1, 3)), min_size=1, max_size=12)


def sentence(*tokens: tuple[str, bool, tuple[str, ...]], comments: tuple[str, ...] = ()) -> Sentence:
    """tokens: form, space after, words; a range of those with several words."""
    words: list[Word] = []
    ranges: list[Range] = []
    for form, space, forms in tokens:
        misc = "_" if space else "SpaceAfter=No"
        if len(forms) > 1:
            ranges.append(Range(len(words) + 1, len(words) + len(forms), form, misc))
        for part in forms:
            own = misc if len(forms) == 1 else "_"
            words.append(Word(len(words) + 1, part, "_", "X", "_", "_", "_", "_", "_", own))
    return Sentence(Path("x.conllu"), 1, comments, tuple(words), tuple(ranges))


def parse(text: str, *, said: str | None = None, comments: tuple[str, ...] = ()) -> Sentence:
    """`~` after a token without a blank, `+` between the words of a multiword token: `a+el=al`."""
    tokens = []
    for part in text.split():
        bare = part.removesuffix("~")
        words, _, form = bare.rpartition("=") if "+" in bare else ("", "", bare)
        forms = tuple(words.split("+")) if words else (form,)
        tokens.append((form, bare == part, forms))
    said_comment = () if said is None else (f"# text = {said}",)
    return sentence(*tokens, comments=(*comments, *said_comment))


def known(found: Sentence, *, lang: str = "en", infer: bool = False) -> tuple[Segmented, str]:
    text, how = segmented(found, lang, infer=infer)
    assert text is not None
    return text, how


@given(TOKENS)
def test_text_is_that_of_the_sentence(tokens: list[tuple[str, bool, int]]) -> None:
    made = sentence(*((form, space, (form,) if n == 1 else ("x",) * n) for form, space, n in tokens))
    text, how = known(made)
    assert text.text == made.text
    assert text.forms == tuple(form for form, _, _ in tokens)
    assert text.blanks == tuple(space for _, space, _ in tokens[:-1])
    assert text.words == {i: ("x",) * n for i, (_, _, n) in enumerate(tokens) if n > 1}
    assert how == ("unsaid" if all(space for _, space, _ in tokens) else "spaces")


@given(TOKENS, st.lists(st.booleans(), min_size=12, max_size=12))
def test_any_blanks_can_be_put_between_tokens(
    tokens: list[tuple[str, bool, int]], blanks: list[bool]
) -> None:
    text, _ = known(sentence(*((form, space, (form,)) for form, space, _ in tokens)))
    changed = text.with_blanks(blanks[: len(tokens) - 1])
    assert changed.forms == text.forms
    assert changed.blanks == tuple(blanks[: len(tokens) - 1])
    assert "".join(changed.text.split()) == "".join(text.forms)
    with pytest.raises(ValueError, match="expected one less"):
        text.with_blanks([True] * len(tokens))


@pytest.mark.parametrize(
    ("found", "text", "forms", "how"),
    [
        (parse("Ja~ ."), "Ja.", "Ja .", "spaces"),
        (parse("Ja .", said="Ja."), "Ja.", "Ja .", "text"),
        (parse("Ja .", said="Ja ."), "Ja .", "Ja .", "spaces"),  # it is said that there is a blank
        (parse("Ja~ . .", said="Ja . ."), "Ja. .", "Ja . .", "spaces"),  # SpaceAfter goes first
        (parse("Ja , nein~ .", said="Jo, nein."), None, "", "unaligned"),
        (parse("Ja ."), "Ja .", "Ja .", "unsaid"),
        (parse("Ja  .", said="Ja \u00a0."), "Ja .", "Ja .", "spaces"),
    ],
)
def test_how_the_text_is_known(found: Sentence, text: str | None, forms: str, how: str) -> None:
    got, by = segmented(found, "de", infer=False)
    assert by == how
    assert (got.text if got else None) == text
    assert got is None or got.forms == tuple(forms.split())


def test_multiword_tokens_that_lost_their_ranges_are_found_by_the_text() -> None:
    lost = parse("von dem Haus in das Tal .", said="vom Haus ins Tal.")
    assert segmented(lost, "de", infer=False) == (None, "unaligned")
    text, how = known(lost, infer=True)
    assert how == "text"
    assert text.forms == ("vom", "Haus", "ins", "Tal", ".")
    assert text.words == {0: ("von", "dem"), 2: ("in", "das")}


def test_ranges_that_are_there_stay_in_aligned_text() -> None:
    text, how = known(parse("von+dem=vom Haus .", said="vom Haus."))
    assert (how, text.forms, text.words) == ("text", ("vom", "Haus", "."), {0: ("von", "dem")})


@pytest.mark.parametrize(
    ("found", "lang", "gap"),
    [
        (parse("Ja~ ."), "de", " "),
        (parse("Ja~ .~"), "de", ""),
        (parse("は~ い"), "ja", ""),
        (parse("Ja .", said="Ja."), "de", " "),
    ],
)
def test_what_stands_before_the_next_sentence(found: Sentence, lang: str, gap: str) -> None:
    assert known(found, lang=lang)[0].gap == gap


def test_paragraphs_begin_where_the_file_says_so() -> None:
    assert known(parse("Ja~ .", comments=("# newpar id = 1",)))[0].paragraph
    assert not known(parse("Ja~ ."))[0].paragraph


def test_glued_words_become_a_multiword_token() -> None:
    text, _ = known(parse("zrobił~ em~ to~ , a+b=ab~ c~ d 1~ x"))
    joined = merged(text)
    assert joined.text == text.text
    assert joined.forms == ("zrobiłemto", ",", "abcd", "1", "x")
    assert joined.words == {0: ("zrobił", "em", "to"), 2: ("a", "b", "c", "d")}


def test_treebanks_that_glue_letters_are_told_from_those_with_multiword_tokens() -> None:
    one, glued = known(parse("a+b=ab"))[0], known(parse("a~ b"))[0]
    assert splits_words([one] * 6 + [glued])
    assert not splits_words([one] * 5 + [glued])
    assert not splits_words([])

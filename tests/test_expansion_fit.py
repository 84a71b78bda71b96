"""Expansions learned from occurrences, against words, counts and alignments made by hand."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from mminibert.data.word_ends import word_ends
from mminibert.runtime.expansions import Entry
from mminibert.systems.expansion_fit import Occurrence, fit_expansions

VERBS = ("dar", "hacer", "poner", "decir", "traer", "llevar", "comprar", "mandar", "pintar", "cantar")


def words_of(*lines: str, convention: str | None = "es_gsd") -> list[Occurrence]:
    """``form word word ...`` a line; a form alone is a single word."""
    return [(convention, form, tuple(words) or None) for form, *words in map(str.split, lines)]


def spanish() -> list[Occurrence]:
    one = [f"{verb}lo {verb} lo" for verb in VERBS]
    two = [f"{verb[:-2]}{'áéí'['aei'.index(verb[-2])]}rselo {verb} se lo" for verb in VERBS]
    return words_of(*one, *two, "polo", "malo", "suelo", "cielo", "hielo", "pelo", "vuelo", "modelo")


def test_forms_are_always_mostly_or_rarely_multiword_tokens_by_their_counts() -> None:
    counts = {"du": (99, 1), "des": (60, 40), "sis": (10, 30), "se": (1, 99)}
    occurrences: list[Occurrence] = []
    for form, (multi, single) in counts.items():
        occurrences += [("fr_gsd", form, (form[0], form[1:]))] * multi + [("fr_gsd", form, None)] * single
    table = fit_expansions(occurrences).lexicon[""]
    assert {form: entry.kind for form, entry in table.items()} == {
        "du": "always",
        "des": "mostly",
        "sis": "rarely",
    }


def test_the_most_frequent_words_of_a_form_count_whatever_its_case() -> None:
    occurrences = words_of("am an dem", "Am An dem", "am a m", "a", "am an dem", convention="de_gsd")
    assert fit_expansions(occurrences).expand("AM", (), 0.0) == ("AN", "DEM")


def test_unseen_forms_are_expanded_by_what_their_pieces_became() -> None:
    learned = fit_expansions(spanish())
    assert learned.expand("Cenárselo", (5, 7), 0.9) == ("Cenar", "se", "lo")
    assert learned.expand("beberlo", (5,), 0.9) == ("beber", "lo")


def test_an_affix_expands_a_form_without_splits_unless_single_words_have_it_too() -> None:
    learned = fit_expansions(spanish())
    assert learned.expand("cenarlo", (), 0.5) == ("cenar", "lo")
    assert learned.expand("ciervelo", (), 1.0) is None


def test_words_that_no_letter_stands_for_are_learned() -> None:
    nouns = ("בית", "גן", "עיר", "כפר", "שוק")
    learned = fit_expansions(words_of(*(f"ב{noun} ב ה_ {noun}" for noun in nouns), convention="he_htb"))
    assert learned.expand("בספר", (1,), 0.9) == ("ב", "ה_", "ספר")


def test_a_letter_shared_by_chance_tells_nothing_of_other_pieces_with_it() -> None:
    nouns = ("ספר", "בית", "דוד", "שיר", "קול")
    his = [f"{noun}ו {noun}_ _של_ _הוא" for noun in nouns]
    the = [f"ה{noun} ה {noun}" for noun in nouns]
    learned = fit_expansions(words_of(*his, *the, convention="he_htb"))
    assert learned.expand("סיפורו", (5,), 0.9) == ("סיפור_", "_של_", "_הוא")
    assert learned.expand("הורד", (1,), 0.9) == ("ה", "ורד")


def test_words_that_a_treebank_hides_are_counted() -> None:
    forms = ("देहाची _ _", "त्याच्या _ _", "चितेवर _ _", "रात्रीच्या _ _")
    learned = fit_expansions(words_of(*forms, convention="mr_ufal"))
    assert learned.expand("सरणावर", (3,), 0.9) == ("_", "_")


def test_a_mark_inside_of_forms_is_found() -> None:
    learned = fit_expansions(
        words_of("ի՞նչ ինչ ՞", "ե՞րբ երբ ՞", "ո՞վ ով ՞", "ու՜ր ուր ՜", "l'un l' un", convention="hy_armtdp")
    )
    assert learned.marks == "՞"
    assert learned.expand("Ինչո՞ւ", (), 0.9) == ("Ինչու", "՞")


def test_a_convention_keeps_what_differs_in_it_if_it_is_seen_often_enough() -> None:
    ours = words_of(*["del de el"] * 9, *["al a el"] * 9, convention="es_gsd")
    theirs = words_of(*["del"] * 3, *["al a l"] * 3, "no", convention="es_ancora")
    learned = fit_expansions(ours + theirs)
    assert set(learned.lexicon["es_ancora"]) == {"del", "al"}
    assert learned.expand("del", (2,), 1.0, "es_ancora") is None
    assert learned.expand("al", (), 1.0, "es_ancora") == ("a", "l")
    assert learned.expand("al", (), 1.0) == learned.expand("al", (), 1.0, "es_gsd") == ("a", "el")
    fewer = fit_expansions(ours + theirs[1:3] + theirs[4:])
    assert "es_ancora" not in fewer.lexicon or "del" not in fewer.lexicon["es_ancora"]


def test_text_of_no_convention_tells_of_the_language_alone() -> None:
    rebuilt = words_of(*["no em o"] * 20, convention=None)
    learned = fit_expansions(rebuilt + words_of(*["no en o"] * 3, convention="pt_gsd"))
    assert learned.expand("no", (), 1.0, "pt_gsd") == ("en", "o")
    assert learned.expand("no", (), 1.0, "pt_bosque") == ("em", "o")


def test_a_convention_without_multiword_tokens_has_none() -> None:
    learned = fit_expansions(
        words_of("katanya kata nya") + words_of("katanya", "adanya", convention="id_gsd")
    )
    assert learned.without == {"id_gsd"}
    assert learned.expand("adanya", (3,), 1.0, "id_gsd") is None


def test_forms_seen_once_that_the_edits_give_are_not_stored() -> None:
    learned = fit_expansions([*spanish(), *words_of("darlo dar lo", "vámonos vamos nos")])
    assert set(learned.lexicon[""]) == {"darlo", "vámonos", "decírselo"}  # twice; alone; alone in -ir
    assert learned.lexicon[""]["vámonos"] == Entry("always", ("vamos", "nos"))


def test_what_was_learned_from_has_its_words_again() -> None:
    learned = fit_expansions(spanish())
    for _, form, words in spanish():
        assert (
            learned.expand(form, word_ends(form, words) if words else (), float(words is not None)) == words
        )


def test_what_cannot_be_written_is_left_out() -> None:
    learned = fit_expansions([("x", "a\tb", ("a", "b")), ("x", "cd", ("c", "")), ("x", "ef", ("e", "f"))] * 2)
    assert set(learned.lexicon[""]) == {"ef"}
    assert type(learned).from_text(learned.to_text()) == learned


@given(st.randoms(use_true_random=False))
def test_the_order_of_occurrences_does_not_matter(rng: random.Random) -> None:
    shuffled = [*spanish(), *words_of("darlo da rlo", "polo p olo", convention=None)]
    in_order = fit_expansions(shuffled)
    rng.shuffle(shuffled)
    assert fit_expansions(shuffled).to_text() == in_order.to_text()

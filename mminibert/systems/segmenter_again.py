"""How treebanks of a profile cut text, learned anew on the networks of a trained segmenter."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from spacy.vocab import Vocab

from ..data.attached import as_written
from ..data.lock import only_run
from ..data.running_text import read_running_text
from ..data.segmented import Segmented
from ..files import atomic_path
from ..packaging.segmenter_part import SegmenterPart
from ..project.profile import Profile
from ..runtime.languages import language_of
from ..runtime.segmenter import Segmenter
from .new_segmentation import with_segmentation

__all__ = ["learn_again"]


def learn_again(profile: Profile, codes: Collection[str], say: Callable[[str], None]) -> None:
    """Replace what the profile's segmenter knows of these treebanks alone by what their training sentences
    show, as they are and as text is written (`as_written`); and, where these are all of a language, what it
    knows of that. All other text is segmented as before, to the bit.

    Raises FileNotFoundError without a segmenter, ValueError for treebanks that it did not learn from; then it
    stays as it was.
    """
    path = profile.segmenter
    with only_run(path.parent):
        if not path.exists():
            raise FileNotFoundError(f"no {path}; run the step `segment` first")
        part = SegmenterPart.read(path)
        if wrong := sorted(set(codes) - set(part.treebanks)):
            known = ", ".join(part.treebanks)
            raise ValueError(
                f"{path}: got {', '.join(wrong)}, expected some of what it learned from: {known}"
            )
        others = {language_of(code) for code in part.treebanks if code not in codes}
        sentences: dict[str, list[Segmented]] = {}
        for text in read_running_text(profile.assets / "ud", list(codes)):
            found = as_written(text.learned)
            for code in (text.ltcode, *([text.lang] if text.lang not in others else [])):
                sentences.setdefault(code, []).extend(found)
        for code, found in sentences.items():
            made = with_segmentation(part, code, found)
            assert made is not None
            # What multiword tokens consist of is told by treebank, not by language.
            part = made if code in codes else replace(made, expansions=part.expansions)
            say(f"{code}: {len(found):,} sentences")
        segmenter = Segmenter(Vocab())
        segmenter.learned(part.model, part.expansions)
        with atomic_path(path) as temporary:
            temporary.write_bytes(segmenter.to_bytes())

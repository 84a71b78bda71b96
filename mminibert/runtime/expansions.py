"""What a multiword token expands to: a lexicon of forms, and edits of its pieces for forms that it lacks.

The edits are a decision list: each end of a piece is rewritten by the entry with the longest context, as by
the affix rules of lemmatizers and of UDPipe 1 (https://ufal.mff.cuni.cz/udpipe/1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

__all__ = [
    "KEEP",
    "WHOLE",
    "Edit",
    "Entry",
    "Expansions",
    "back_context",
    "fold",
    "front_context",
    "pieces_of",
]

Kind = Literal["always", "mostly", "rarely", "never"]
LONGEST_CONTEXT = 12  # letters


@dataclass(frozen=True, slots=True)
class Entry:
    """What the lexicon has of a form: how often it is a multiword token, and its words (none if never)."""

    kind: Kind
    words: tuple[str, ...]

    def chosen(self, p: float) -> bool:
        """Whether the form is a multiword token where context says so with the probability p."""
        match self.kind:
            case "always":
                return True
            case "mostly":
                return p >= 0.5
            case "rarely":
                return p > 0.5
            case "never":
                return False


@dataclass(frozen=True, slots=True)
class Edit:
    """One end of a piece: ``cut`` characters give way to ``texts``.

    Of these the one next to what stays is joined to it, the others are words of their own.
    """

    cut: int
    texts: tuple[str, ...]


KEEP = Edit(0, ("",))
WHOLE = 255  # as a cut: the piece, however long it is


@dataclass(frozen=True, slots=True)
class Expansions:
    """The multiword tokens of one language.

    ``lexicon`` has tables of forms in lower case (`fold`): that of ``""`` is the language's, that of a
    convention has what differs in it. ``without`` names conventions that have no multiword tokens.
    ``default`` is the convention where none is told. ``marks`` are characters that stand inside of a form and
    are words after it (Armenian ``ի՞նչ`` is ``ինչ`` and ``՞``). ``fronts`` and ``backs`` are edits of pieces
    by the context of their ends (`front_context`, `back_context`).
    """

    lexicon: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    fronts: Mapping[str, Edit] = field(default_factory=dict)
    backs: Mapping[str, Edit] = field(default_factory=dict)
    marks: str = ""
    without: frozenset[str] = frozenset()
    default: str = ""

    def expand(
        self, form: str, splits: Sequence[int], p: float, convention: str | None = None
    ) -> tuple[str, ...] | None:
        """The syntactic words of a surface token, two or more, or None if it is a single word.

        ``splits`` are positions in the form at which a word ends, as far as any were seen; those that are
        not inside are ignored. ``p`` is the probability by context, from 0 to 1, that the token is a
        multiword token. It decides unless training text has the form always or never as one; at 0.5 a known
        form's majority does. An unknown convention counts as none. Upper case of the form's first or of all
        letters is given back.
        """
        convention = convention or self.default
        if convention in self.without:
            return None
        folded = fold(form)
        entry = self.entry(folded, convention)
        if entry is not None:
            return _in_case(form, folded, entry.words) if entry.chosen(p) else None
        words = self.rewrite(form, splits) if p >= 0.5 else (form,)
        return words if len(words) > 1 else None

    def entry(self, folded: str, convention: str | None) -> Entry | None:
        """What the lexicon has of a form in lower case, in the convention if that differs there."""
        own = self.lexicon.get(convention or "", {}).get(folded)
        return own or self.lexicon.get("", {}).get(folded)

    def rewrite(self, form: str, splits: Sequence[int]) -> tuple[str, ...]:
        """The words, one or more, that marks and edits make of a form, whatever the lexicon has."""
        inner = [char for char in form if char in self.marks]
        if inner and len(inner) < len(form):
            return ("".join(char for char in form if char not in self.marks), *inner)
        folded = pieces_of(fold(form), splits)
        words: list[str] = []
        for i, piece in enumerate(pieces_of(form, splits)):
            front = _longest(self.fronts, front_context(folded, i))
            back = _longest(self.backs, back_context(folded, i))
            own = _edited(piece, front, back)
            words += own if own == [piece] else _in_case(piece, folded[i], own)
        return tuple(words) or (form,)

    def to_text(self) -> str:
        """Lines under headings, of fields between tabs; equal for equal expansions. `from_text` reads it."""
        lines = [
            f"[marks {self.marks}]",
            f"[without {' '.join(sorted(self.without))}]",
            f"[default {self.default}]",
        ]
        for convention, table in sorted(self.lexicon.items()):
            for kind in get_args(Kind):
                rows = sorted((form, entry.words) for form, entry in table.items() if entry.kind == kind)
                lines += [f"[{kind} {convention}]", *(_line(*row) for row in rows)] if rows else []
        for name, edits in (("front", self.fronts), ("back", self.backs)):
            lines.append(f"[{name} ]")
            lines += [
                "\t".join((context, str(edit.cut), *edit.texts)) for context, edit in sorted(edits.items())
            ]
        return "\n".join(lines)

    @classmethod
    def from_text(cls, text: str) -> Expansions:
        """What `to_text` wrote. Raises ValueError, with the line, if it is anything else."""
        lexicon: dict[str, dict[str, Entry]] = {}
        edits: dict[str, dict[str, Edit]] = {"front": {}, "back": {}}
        told = {"marks": "", "without": "", "default": ""}
        name = about = ""
        for number, line in enumerate(text.split("\n"), 1):
            first, *rest = line.split("\t")
            try:
                if not rest:
                    name, about = _heading(line)
                    if name in told:
                        told[name] = about
                elif name in edits:
                    edits[name][first] = Edit(int(rest[0]), tuple(rest[1:]))
                elif name in get_args(Kind):
                    words = () if name == "never" else tuple(rest)
                    if not all(words):
                        raise ValueError(f"{line!r:.60} has an empty word")
                    lexicon.setdefault(about, {})[first or "".join(rest)] = Entry(name, words)  # type: ignore[arg-type]
                else:
                    raise ValueError(f"{line!r:.60} is under no heading that has lines")
            except ValueError as error:
                raise ValueError(f"line {number} of the expansions of multiword tokens: {error}") from error
        return cls(
            lexicon,
            edits["front"],
            edits["back"],
            told["marks"],
            frozenset(told["without"].split()),
            told["default"],
        )


def fold(form: str) -> str:
    """The form in lower case, except characters that would become several (``İ``), so that positions stay."""
    return "".join(low if len(low := char.lower()) == 1 else char for char in form)


def pieces_of(form: str, splits: Sequence[int]) -> list[str]:
    """The form cut at those of the positions that are inside of it."""
    bounds = sorted({0, *(at for at in splits if 0 < at < len(form)), len(form)})
    return [form[start:end] for start, end in pairwise(bounds)]


def front_context(pieces: Sequence[str], i: int) -> str:
    """What decides how the i-th piece begins: its place, its letters, then its end."""
    return f"{_place(len(pieces), i)}{pieces[i]}|"[:LONGEST_CONTEXT]


def back_context(pieces: Sequence[str], i: int) -> str:
    """What decides how the i-th piece ends: place, last letter, next piece's first, the rest backwards."""
    own = f"{pieces[i][::-1]}|"
    after = pieces[i + 1][0] if i + 1 < len(pieces) else ""
    return f"{_place(len(pieces), i)}{own[0]}{after}{own[1:]}"[:LONGEST_CONTEXT]


def _place(pieces: int, i: int) -> str:
    if pieces == 1:
        return "="
    return "<" if i == 0 else ">" if i == pieces - 1 else "-"


def _longest(edits: Mapping[str, Edit], context: str) -> Edit:
    for end in range(len(context), 0, -1):
        if (edit := edits.get(context[:end])) is not None:
            return edit
    return KEEP


def _edited(piece: str, front: Edit, back: Edit) -> list[str]:
    """The words of a piece; where both edits would cut the same letters, the back alone counts."""
    kept = len(piece) - min(back.cut, len(piece))
    if min(front.cut, len(piece)) > kept:
        front = KEEP
    stem = piece[:kept][front.cut :]
    words = [*front.texts[:-1], front.texts[-1] + stem + back.texts[0], *back.texts[1:]]
    return [word for word in words if word]


def _in_case(form: str, folded: str, words: Sequence[str]) -> tuple[str, ...]:
    """The words in the form's case: its own letters if it is only cut, else that of its first or of all."""
    if "".join(words) == folded:
        ends = [0]
        for word in words:
            ends.append(ends[-1] + len(word))
        return tuple(form[start:end] for start, end in pairwise(ends))
    if form == folded or not words:
        return tuple(words)
    if form.isupper() and len(form) > 1:
        return tuple(word.upper() for word in words)
    first = words[0]
    return (first[0].upper() + first[1:] if form[0] != folded[0] else first, *words[1:])


def _line(form: str, words: tuple[str, ...]) -> str:
    """A row of the lexicon; the form is left out where it is its words one after the other."""
    return "\t".join(("" if "".join(words) == form else form, *(words or ("",))))


def _heading(line: str) -> tuple[str, str]:
    name, blank, about = line[1:-1].partition(" ")
    if not (line.startswith("[") and line.endswith("]") and blank):
        raise ValueError(f"{line!r:.60} is neither a heading nor fields between tabs")
    if name not in ("marks", "without", "default", "front", "back", *get_args(Kind)):
        raise ValueError(
            f"the heading {name!r:.60} is not known; install the pipeline's package and mminibert again"
        )
    return name, about

"""A segmenter's settings: in a pipeline's config, and stored with what it has learned."""

from __future__ import annotations

from typing import NamedTuple

from .languages import language_of

__all__ = ["SegmenterSettings"]


class SegmenterSettings(NamedTuple):
    """See `Segmenter`."""

    language: str | None = None
    line_breaks: bool = False

    def over(self, stored: SegmenterSettings, then: SegmenterSettings | None) -> SegmenterSettings:
        """Of a config: the stored settings, but where it says another thing than then, when these were
        stored. then: None if an earlier release stored them, which did not keep it: there it was the language
        of the pipeline, or none."""
        if then is None:
            lang = None if stored.language is None else language_of(stored.language)
            then = SegmenterSettings(self.language if self.language in (None, lang) else None)
        return SegmenterSettings(
            stored.language if self.language == then.language else self.language,
            stored.line_breaks if self.line_breaks == then.line_breaks else self.line_breaks,
        )

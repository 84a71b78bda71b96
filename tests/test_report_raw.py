"""The report's figures from raw text against averages made by hand."""

from __future__ import annotations

from html import unescape
from typing import Any
from xml.etree import ElementTree

import pytest
from test_report import rows_of

from mminibert.evaluation.report import build_report
from mminibert.evaluation.report_html import by_segments, to_html
from mminibert.evaluation.report_markdown import to_markdown

PAPER = {
    "UPOS": {code: {"mminibert": 90.0, "mbert": 1.0} for code in ("af_x", "ar_padt", "zh_x", "af_pud")},
    "UFeats": {"af_x": {"mminibert": 80.0}, "el_x": {"mbert": 1.0}},
}
UDPIPE = {
    code: {
        "raw Words": 99.0,
        "raw Sentences": sentences,
        "raw UPOS": 94.0,
        "raw UFeats": 93.0,
        "gold UPOS": 1.0,
    }
    for code, sentences in {"af_x": 80.0, "el_x": 70.0, "zh_x": 60.0, "ar_padt": 50.0}.items()
}
del UDPIPE["el_x"]["raw UFeats"]


def scored(words: float, upos: float, *, convention: str | None = None) -> dict[str, Any]:
    """On gold words UPOS is 0.9 and UFeats are 0.8."""
    raw = {"Tokens": words + 0.01, "Sentences": words / 2, "Words": words, "UPOS": upos, "UFeats": upos - 0.1}
    return {
        "convention": convention,
        "tokenizer": convention,
        "gold_words": {"UPOS": 0.9, "UFeats": 0.8, "FEATS": 0.7},
        "raw_text": {name: {"precision": 0.0, "recall": 0.0, "f1": value} for name, value in raw.items()},
    }


def record(lang: str, train: int, **modes: dict[str, Any]) -> dict[str, Any]:
    return {
        **{"lang": lang, "script": "Latin", "gold_sha256": "g", "words": 100, "seconds": 2.0},
        "model": {"name": "xx_test", "version": "1.0", "sha256": "m" * 64, "teacher": None},
        "train": {"words": train, "quality": "gold"},
        "dev_in_training": False,
        **next(iter(modes.values())),
        "modes": modes,
    }


RECORDS = {
    "af_x": record("af", 9, given=scored(0.96, 0.88), default=scored(0.96, 0.86), found=scored(0.92, 0.80)),
    "el_x": record("el", 9, given=scored(0.98, 0.84), default=scored(0.98, 0.84), found=scored(0.98, 0.84)),
    "zh_x": record("zh", 9, given=scored(0.88, 0.80), found=scored(0.70, 0.60)),
    "ar_padt": record("ar", 9, given=scored(0.5, 0.4), found=scored(0.5, 0.4)),
    "af_pud": record("af", 0, default=scored(0.9, 0.8), found=scored(0.8, 0.7)),
    "qaf_mixed": record("qaf", 0, found=scored(0.6, 0.5)),
}


@pytest.fixture
def report() -> dict[str, Any]:
    return build_report([{"mminibert": RECORDS}], PAPER, command="c", udpipe=UDPIPE)


def average(report: dict[str, Any], group: str, mode: str | None) -> dict[str, Any]:
    (found,) = (a for a in report["raw"]["averages"] if (a["group"], a["mode"]) == (group, mode))
    metrics: dict[str, Any] = found["metrics"]
    return metrics


def test_a_treebank_by_hand(report: dict[str, Any]) -> None:
    rows = {row["ltcode"]: row for row in report["raw"]["treebanks"]}
    assert rows["af_x"]["figures"] == {
        "Tokens": {"ours": pytest.approx(97.0)},
        "Words": {"ours": pytest.approx(96.0), "udpipe": 99.0},
        "Sentences": {"ours": pytest.approx(48.0), "udpipe": 80.0},
        "UPOS": {"ours": pytest.approx(88.0), "udpipe": 94.0, "paper": 90.0, "lost": pytest.approx(2.0)},
        "UFeats": {"ours": pytest.approx(78.0), "udpipe": 93.0, "paper": 80.0, "lost": pytest.approx(2.0)},
    }
    assert rows["af_x"]["modes"]["found"]["UPOS"]["lost"] == pytest.approx(10.0)
    # Its test set is not UDPipe's.
    assert rows["ar_padt"]["figures"]["UPOS"].keys() == {"ours", "paper", "lost"}
    assert {code for code, row in rows.items() if not row["trained"]} == {"af_pud", "qaf_mixed"}


def test_averages_by_hand(report: dict[str, Any]) -> None:
    found = average(report, "udpipe", "given")
    assert found["Words"] == {"treebanks": 3, "ours": pytest.approx((96 + 98 + 88) / 3), "udpipe": 99.0}
    assert found["Sentences"]["udpipe"] == pytest.approx((80 + 70 + 60) / 3)
    # The paper has no figure of el_x, and UFeats of af_x alone.
    assert found["UPOS"] == {
        "treebanks": 2,
        "ours": pytest.approx((88 + 80) / 2),
        **{"udpipe": 94.0, "paper": 90.0},
        "lost": pytest.approx((2 + 10) / 2),
    }
    assert found["UFeats"]["treebanks"] == 1
    spaced = average(report, "blanks", "given")
    assert spaced["Words"] == {"treebanks": 2, "ours": pytest.approx(97.0), "udpipe": 99.0}
    # zh_x has no default, and stands with what is given.
    default = average(report, "udpipe", "default")["Words"]["ours"]
    assert default == pytest.approx((96 + 98 + 88) / 3)
    assert average(report, "udpipe", "found")["Words"]["ours"] == pytest.approx((92 + 98 + 70) / 3)
    foreign = average(report, "foreign", "default")
    assert foreign["Words"] == {"treebanks": 2, "ours": pytest.approx((90 + 60) / 2)}
    assert foreign["UPOS"]["treebanks"] == 1
    assert foreign["UFeats"] == {
        "treebanks": 2,
        "ours": pytest.approx((70 + 40) / 2),
        "lost": pytest.approx((10 + 40) / 2),
    }


def test_tables(report: dict[str, Any]) -> None:
    text = to_markdown(report)
    lines = rows_of(text, "Raw text\n")
    assert list(lines)[2:8] == [
        *(f"mean of all with UDPipe's figures, {mode} (3/2/1)" for mode in ("given", "default", "found")),
        *(f"mean of these with blanks between words, {mode} (2/1)" for mode in ("given", "default", "found")),
    ]
    assert list(lines)[8:] == ["af_x", "ar_padt", "el_x", "zh_x"]
    assert lines["af_x"][1:] == [
        *("97.00", "96.00", "99.00", "48.00", "80.00"),
        *("88.00", "94.00", "90.00", "2.00"),
        *("78.00", "93.00", "80.00", "2.00"),
    ]
    assert lines["el_x"][8:] == ["-", "6.00", "74.00", "-", "-", "6.00"]
    foreign = rows_of(text, "Raw text of treebanks that were not trained on")
    assert list(foreign)[2:] == [
        "mean of these, default (2/1)",
        "mean of these, found (2/1)",
        *("af_pud", "qaf_mixed"),
    ]
    assert foreign["af_pud"][1:6] == ["91.00", "90.00", "-", "45.00", "-"]
    page = to_html(report)
    tree = ElementTree.fromstring(
        page[page.index("<body>") : page.index("</body>") + 7].replace("&", "&amp;")
    )
    tables = [table for table in tree.findall(".//table") if table.find(".//th[.='Tokens']") is not None]
    cells = [
        {unescape(row[0].text or ""): [cell.text for cell in row[1:]] for row in table.findall("tbody/tr")}
        for table in tables
    ]
    assert cells[0]["el_x"] == [cell.replace("-", "–") for cell in lines["el_x"][1:]]
    assert cells[1]["af_pud"][:5] == ["91.00", "90.00", "–", "45.00", "–"]
    assert [list(rows) for rows in cells] == [list(lines)[2:], list(foreign)[2:]]


def test_plots(report: dict[str, Any]) -> None:
    svg = by_segments(report, "Words")
    assert "af_x" in svg and "zh_x" in svg and "ar_padt" not in svg and "af_pud" not in svg
    assert svg.index("zh_x") < svg.index("af_x") < svg.index("el_x")  # from the lowest
    page = to_html(report)
    assert "Words found in raw text" in page and "Sentences found in raw text" in page


def test_a_pipeline_without_conventions_and_older_records() -> None:
    raw = {"Words": {"f1": 0.9}, "UPOS": {"f1": 0.8}, "UFeats": {"f1": 0.7}}
    older = {**RECORDS["af_x"], "modes": {}, "raw_text": raw}
    report = build_report([{"mminibert": {"af_x": older}}], PAPER, command="c", udpipe=UDPIPE)
    found = average(report, "udpipe", None)
    assert found["Words"] == {"treebanks": 1, "ours": pytest.approx(90.0), "udpipe": 99.0}
    assert rows_of(to_markdown(report), "Raw text\n")["af_x"][1:6] == ["-", "90.00", "99.00", "-", "80.00"]
    assert by_segments(report, "Sentences") == ""


def test_without_scores_from_raw_text_there_is_no_such_part() -> None:
    bare = {**RECORDS["af_x"], "modes": {}, "raw_text": None}
    report = build_report([{"mminibert": {"af_x": bare}}], PAPER, command="c", udpipe=UDPIPE)
    assert report["raw"] is None
    assert "Raw text" not in to_markdown(report) + to_html(report)

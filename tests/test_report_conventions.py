"""The report's figures of conventions against averages made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_report import record, rows_of

from mminibert.evaluation.report import build_report, paper_treebanks
from mminibert.evaluation.report_html import by_gain, to_html
from mminibert.evaluation.report_markdown import to_markdown
from mminibert.evaluation.report_sources import read_paper, read_udpipe

ROOT = Path(__file__).parents[1]
PAPER = read_paper(ROOT / "configs" / "paper")
UDPIPE = {
    "af_afribooms": {"gold UPOS": 95.0, "gold UFeats": 94.0, "raw UPOS": 94.0, "raw UFeats": 93.0},
    "ar_padt": {"gold UPOS": 95.0, "gold UFeats": 94.0, "raw UPOS": 94.0, "raw UFeats": 93.0},
    "fi_ftb": {"gold UPOS": 90.0, "raw UPOS": 89.0},
    "xy_new": {"gold UPOS": 10.0},
}


def in_modes(dev: bool | None = False, **modes: tuple[str | None, float, float]) -> dict[str, Any]:
    """A record whose modes have these conventions, UPOS and UFeats."""
    found = {}
    for mode, (convention, upos, ufeats) in modes.items():
        whole = record(upos, ufeats)
        found[mode] = {
            "convention": convention,
            "gold_words": whole["gold_words"],
            "raw_text": whole["raw_text"],
        }
    most = next(iter(found.values()))
    return {**record(0.0, 0.0), **most, "modes": found, "dev_in_training": dev}


RECORDS = {
    "af_afribooms": in_modes(
        True,
        given=("af_afribooms", 0.96, 0.9),
        default=("af_afribooms", 0.96, 0.9),
        found=(None, 0.95, 0.9),
    ),
    "ar_padt": in_modes(given=("ar_padt", 0.9, 0.8), default=("ar_padt", 0.9, 0.8), found=(None, 0.8, 0.8)),
    "fi_ftb": in_modes(given=("fi_ftb", 0.9, 0.8), default=("fi_tdt", 0.8, 0.6), found=(None, 0.7, 0.6)),
    "fi_pud": in_modes(default=("fi_tdt", 0.94, 0.9), found=(None, 0.9, 0.8)),
    "qtd_sagt": in_modes(None, found=(None, 0.6, 0.5)),
    # Of the paper's averages, and here without a convention of its own.
    "el_gdt": in_modes(default=("el_gud", 0.6, 0.5), found=(None, 0.3, 0.2)),
}


@pytest.fixture
def report() -> dict[str, Any]:
    return build_report([{"mminibert": RECORDS}], PAPER, command="c", udpipe=UDPIPE)


def test_averages_by_hand(report: dict[str, Any]) -> None:
    assert {"af_afribooms", "ar_padt", "fi_ftb", "el_gdt"} <= paper_treebanks(PAPER)
    average = report["conventions"]["averages"]["paper"]
    assert average["treebanks"] == ["af_afribooms", "ar_padt", "el_gdt", "fi_ftb"]
    upos = {mode: scores["gold UPOS"] for mode, scores in average["modes"].items()}
    assert upos == {
        "given": pytest.approx((96 + 90 + 60 + 90) / 4),
        "default": pytest.approx((96 + 90 + 60 + 80) / 4),
        "found": pytest.approx((95 + 80 + 30 + 70) / 4),
    }
    assert average["modes"]["default"]["raw UFeats"] == pytest.approx((80 + 70 + 40 + 50) / 4)
    foreign = report["conventions"]["averages"]["foreign"]
    assert foreign["treebanks"] == ["el_gdt", "fi_pud", "qtd_sagt"]
    assert list(foreign["modes"]) == ["default", "found"]
    assert foreign["modes"]["default"]["gold UPOS"] == pytest.approx((60 + 94 + 60) / 3)
    assert foreign["modes"]["found"]["gold UPOS"] == pytest.approx((30 + 90 + 60) / 3)
    # The system's own columns are those of the most that is known.
    assert report["averages"]["packaged"]["systems"]["mminibert"]["gold UPOS"] == pytest.approx(upos["given"])


def test_udpipe_by_hand(report: dict[str, Any]) -> None:
    """Of ar_padt the test sets differ, of fi_ftb there is no figure of UFeats."""
    upos, ufeats = (report["conventions"]["udpipe"][f"gold {metric}"] for metric in ("UPOS", "UFeats"))
    assert upos == {
        "treebanks": 2,
        "modes": {
            "given": pytest.approx(93.0),
            "default": pytest.approx(88.0),
            "found": pytest.approx(82.5),
        },
        "udpipe": pytest.approx(92.5),
        "minus_udpipe": pytest.approx(0.5),
    }
    assert (ufeats["treebanks"], ufeats["minus_udpipe"]) == (1, pytest.approx(-4.0))


def test_tables(report: dict[str, Any]) -> None:
    text = to_markdown(report)
    upos = rows_of(text, "Conventions, UPOS")
    assert list(upos)[2:5] == [
        "mean of the paper's treebanks (4)",
        "mean of those of UDPipe (2)",
        "mean of those not trained on (3)",
    ]
    assert upos["af_afribooms*"][1:7] == ["af_afribooms", "96.00", "96.00", "95.00", "95.00", "+1.00"]
    assert upos["af_afribooms*"][7:] == ["86.00", "86.00", "85.00"]
    assert upos["ar_padt"][5:7] == ["-", "-"]
    assert upos["fi_ftb"][1:7] == ["fi_tdt", "90.00", "80.00", "70.00", "90.00", "+0.00"]
    assert upos["fi_pud"][1:7] == ["fi_tdt", "-", "94.00", "90.00", "-", "-"]
    assert upos["qtd_sagt?"][1:5] == ["", "-", "-", "60.00"]
    assert upos["mean of those of UDPipe (2)"][2:7] == ["93.00", "88.00", "82.50", "92.50", "+0.50"]
    ufeats = rows_of(text, "Conventions, UFeats")
    assert ufeats["mean of those of UDPipe (1)"][2:7] == ["90.00", "90.00", "90.00", "94.00", "-4.00"]
    page = to_html(report)
    assert '<tr><td>fi_pud</td><td class="text">fi_tdt</td>' in page
    cells = page[page.index("<td>af_afribooms*</td>") :].split("</tr>")[0]
    assert "<td>95.00</td><td>+1.00</td><td>86.00</td><td>86.00</td><td>85.00</td></tr>" in cells + "</tr>"
    assert "What a treebank gains when its convention is given" in page


def test_plot_of_the_gain(report: dict[str, Any]) -> None:
    gains = {row["ltcode"]: row["gain"] for row in report["conventions"]["treebanks"]}
    assert gains["fi_ftb"]["gold UPOS"] == pytest.approx(20.0)
    assert gains["fi_pud"] is None
    svg = by_gain(report)
    assert "fi_ftb" in svg and "af_afribooms" in svg and "fi_pud" not in svg


def test_several_runs_are_averaged() -> None:
    other = {**RECORDS, "fi_ftb": in_modes(given=("fi_ftb", 0.8, 0.8), default=("fi_tdt", 0.7, 0.6))}
    report = build_report([{"mminibert": RECORDS}, {"mminibert": other}], PAPER, command="c")
    (row,) = (row for row in report["conventions"]["treebanks"] if row["ltcode"] == "fi_ftb")
    assert list(row["modes"]) == ["given", "default"]  # the second run has no other
    assert row["modes"]["given"]["gold UPOS"] == pytest.approx(85.0)
    assert row["modes"]["default"]["raw UPOS"] == pytest.approx(65.0)
    assert row["default"] == "fi_tdt"


def test_without_conventions_there_is_no_such_part() -> None:
    report = build_report([{"mminibert": {"af_afribooms": record(0.9, 0.8)}}], PAPER, command="c")
    assert report["conventions"] is None
    assert "Conventions" not in to_markdown(report) + to_html(report)


def test_udpipes_figures() -> None:
    found = read_udpipe(ROOT / "docs" / "results" / "udpipe_2.3.tsv")
    assert found["af_afribooms"] == {
        **{"gold UPOS": 95.3, "gold UFeats": 94.9, "gold Lemmas": 96.7, "raw Lemmas": 96.5},
        **{"raw UPOS": 95.2, "raw UFeats": 94.8, "raw Words": 99.8, "raw Sentences": 98.2},
    }
    assert "gold UFeats" not in found["ko_kaist"] and "gold UPOS" in found["ko_kaist"]

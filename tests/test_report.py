"""The report's numbers against averages made by hand, and what it says where a cell is missing."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from mminibert.evaluation.report import build_report, paper_treebanks
from mminibert.evaluation.report_html import to_html
from mminibert.evaluation.report_markdown import to_markdown
from mminibert.evaluation.report_sources import read_paper, read_results, read_table7

PAPER = Path(__file__).parents[1] / "configs" / "paper"


def record(
    upos: float, ufeats: float, *, gold: str = "g", model: str = "m", **changes: Any
) -> dict[str, Any]:
    raw = {
        name: {"precision": 0.0, "recall": 0.0, "f1": value}
        for name, value in (
            *(("Tokens", 0.95), ("Sentences", 0.5), ("Words", 0.9)),
            *(("UPOS", upos - 0.1), ("UFeats", ufeats - 0.1)),
        )
    }
    return {
        "lang": "xx",
        "script": "Latin",
        "model": {"name": "xx_test", "version": "1.0", "sha256": model * 64, "teacher": "a small encoder"},
        "gold_sha256": gold,
        "train": {"words": 1234, "quality": "silver"},
        "sentences": 10,
        "words": 100,
        "seconds": 2.0,
        "words_per_second": 50.0,
        "gold_words": {"UPOS": upos, "UFeats": ufeats, "FEATS": ufeats - 0.05},
        "raw_text": raw,
        **changes,
    }


RESULTS = {
    "mbert": {
        "af_afribooms": record(0.98, 0.95, raw_seconds=1.0),
        "hy_armtdp": record(0.90, 0.80, seconds=8.0, raw_seconds=2.0),
        "xy_new": record(0.70, 0.60, raw_seconds=1.0),
        "cs_pud": record(0.5, 0.5),
    },
    "mminibert": {
        "af_afribooms": record(0.96, 0.91, raw_seconds=1.0),
        "hy_armtdp": record(0.85, 0.70),
        "xy_new": record(0.80, 0.75),
    },
}


@pytest.fixture
def report() -> dict[str, Any]:
    return build_report([RESULTS], read_paper(PAPER), command="python scripts/report.py a b")


def rows_of(markdown: str, title: str) -> dict[str, list[str]]:
    """The cells of the table below a heading that begins with `title`, by their first cell."""
    section = markdown.split(f"## {title}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({len(line) for line in lines}) == 1, "columns are aligned"
    return {row[0]: row for row in cells}


def test_several_runs_are_averaged_and_their_deviation_stated() -> None:
    other = {
        "mbert": RESULTS["mbert"],
        "mminibert": {
            "af_afribooms": record(0.90, 0.91, model="n"),
            "hy_armtdp": record(0.89, 0.70, model="n"),
        },
    }
    report = build_report([RESULTS, other], read_paper(PAPER), command="c")
    row = next(row for row in report["treebanks"] if row["ltcode"] == "af_afribooms")
    assert row["systems"]["mminibert"]["gold UPOS"] == pytest.approx(93.0)
    assert row["systems"]["mminibert"]["raw UPOS"] == pytest.approx(83.0)
    # The only treebank of the paper's averages: 96 and 90, so 3 from their mean, and n - 1 is 1.
    average = report["averages"]["paper"]
    assert average["treebanks"] == ["af_afribooms"]
    assert average["systems"]["mminibert"]["gold UPOS"] == pytest.approx(93.0)
    assert average["deviations"]["mminibert"]["gold UPOS"] == pytest.approx(18**0.5)
    assert average["deviations"]["mbert"]["gold UPOS"] == pytest.approx(0.0)
    # Only one run has xy_new as well.
    assert "mminibert" not in report["averages"]["all"]["deviations"]
    assert len(report["models"]["mminibert"]) == 2
    text = to_markdown(report)
    assert "Means over 2 runs" in text
    cells = rows_of(text, "Macro average, treebanks of the paper's averages that every system has")
    assert cells["mminibert"][2] == "93.00 ± 4.24"
    assert "Means over 2 runs" in to_html(report)
    other["mminibert"]["af_afribooms"] = record(0.90, 0.91, gold="another")
    with pytest.raises(ValueError, match="af_afribooms: two runs of mminibert"):
        build_report([RESULTS, other], {}, command="c")


def test_one_run_has_no_deviation(report: dict[str, Any]) -> None:
    assert report["runs"] == 1
    assert all(average["deviations"] == {} for average in report["averages"].values())
    assert "±" not in to_markdown(report)


def test_average_of_all_systems_treebanks_by_hand(report: dict[str, Any]) -> None:
    average = report["averages"]["all"]
    assert average["treebanks"] == ["af_afribooms", "hy_armtdp", "xy_new"]  # cs_pud has no student
    assert average["systems"]["mbert"]["gold UPOS"] == pytest.approx((98 + 90 + 70) / 3)
    assert average["systems"]["mminibert"]["gold UFeats"] == pytest.approx((91 + 70 + 75) / 3)
    assert average["systems"]["mminibert"]["raw UPOS"] == pytest.approx((86 + 75 + 70) / 3)
    assert average["systems"]["mbert"]["gold FEATS"] == pytest.approx((90 + 75 + 55) / 3)
    assert average["differences"]["student minus teacher"]["gold UPOS"] == pytest.approx((-2 - 5 + 10) / 3)
    # Words by seconds of the whole, not the mean of the speeds.
    assert average["words_per_second"] == {"mbert": 300 / 12, "mminibert": 300 / 6}
    assert average["raw_words_per_second"] == {"mbert": 300 / 4, "mminibert": None}  # one was not timed


def test_average_of_the_papers_treebanks_by_hand(report: dict[str, Any]) -> None:
    average = report["averages"]["paper"]
    # hy_armtdp is in the paper's tables, but its BERT cell in table 8 is not known.
    assert average["treebanks"] == ["af_afribooms"]
    assert average["systems"]["mbert"]["gold UPOS"] == pytest.approx(98)
    assert average["paper"]["UPOS"] == {"treebanks": 1, "mbert": 97.49, "mminibert": 96.08}
    # The paper's mBERT figure of hy_armtdp is empty in table 8 but not in table 9.
    both = report["averages"]["all"]["paper"]
    assert both["UPOS"]["treebanks"] == 1
    assert both["UFeats"]["mbert"] == pytest.approx((96.53 + 51.08) / 2)


def test_paper_tables() -> None:
    paper = read_paper(PAPER)
    assert len(paper_treebanks(paper)) == 70  # as many as the paper averages over
    assert paper["UPOS"]["am_att"] == {"mbert": 3.28, "mmeta_lstm": 5.6, "mminibert": 3.16}
    assert "en_ewt" not in paper["UFeats"]


def test_systems_not_run_are_none_and_said_to_be(report: dict[str, Any]) -> None:
    assert report["systems"] == ["mbert", "mminibert"]
    average = report["averages"]["all"]
    assert average["systems"]["minibert"] is None
    assert average["differences"]["distilled minus not distilled"] is None
    markdown = to_markdown(report)
    assert "Not run: bert, meta_lstm, mmeta_lstm, minibert." in markdown
    table = rows_of(markdown, "Macro average, all")
    assert table["minibert"][2:] == ["not run"] * 9
    assert table["mminibert - minibert"][2:9] == ["not run"] * 7
    assert table["mminibert - mbert"][2:4] == ["+1.00", "+0.33"]
    gold, raw = ["86.00", "78.33", "73.33"], ["90.00", "50.00", "76.00", "68.33"]
    assert table["mbert"][2:] == [*gold, *raw, "25", "75"]
    assert table["paper mbert"][2:] == ["", "", "", "", "", "97.49", "73.81", "", ""]


def test_missing_cells_of_treebanks(report: dict[str, Any]) -> None:
    table = rows_of(to_markdown(report), "UPOS")
    facts = ["xx", "Latin", "silver", "1,234"]
    assert table["af_afribooms"][1:] == [
        *facts,
        *("98.00", "88.00", "96.00", "86.00", "-2.00", "97.49", "96.08"),
    ]
    assert table["cs_pud"][1:] == [
        *facts,
        *("50.00", "40.00", "not run", "not run", "not run", "97.13", "97.00"),
    ]
    assert table["xy_new"][-2:] == ["-", "-"]


def test_report_names_teacher_command_and_models(report: dict[str, Any]) -> None:
    markdown = to_markdown(report)
    assert "Teacher: a small encoder." in markdown
    assert "`python scripts/report.py a b`" in markdown
    assert "include segmentation errors" in markdown
    assert f"- mbert: xx_test 1.0 (sha256 {'m' * 12})" in markdown
    mixed = {"mbert": {"a_a": record(0.5, 0.5), "a_b": record(0.5, 0.5, model="n")}}
    assert "- mbert: results of 2 different models: " in to_markdown(build_report([mixed], {}, command="c"))
    many = {"mbert": {f"a_{name}": record(0.5, 0.5, model=name) for name in "abcd"}}
    line = "- mbert: results of 4 different models, named in the JSON"
    assert line in to_markdown(build_report([many], {}, command="c")).splitlines()


def test_no_treebank_in_common() -> None:
    results = {"mbert": {"a_a": record(0.5, 0.5)}, "mminibert": {"b_b": record(0.5, 0.5)}}
    report = build_report([results], read_paper(PAPER), command="c")
    assert report["averages"]["all"]["treebanks"] == []
    assert rows_of(to_markdown(report), "Macro average, all")["mbert"][2:] == ["not run"] * 9


def write(folder: Path, results: dict[str, dict[str, Any]]) -> None:
    for system, records in results.items():
        (folder / system).mkdir(parents=True)
        for ltcode, content in records.items():
            (folder / system / f"{ltcode}.json").write_text(json.dumps(content))


def test_read_results(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the evaluation first"):
        read_results(tmp_path)
    write(tmp_path, RESULTS)
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "minibert").mkdir()
    for left_over in (".tmp-0-en_a.json", "._en_a.json"):
        (tmp_path / "mbert" / left_over).write_text('{"gold')
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text("{}")
    assert read_results(tmp_path) == RESULTS
    (tmp_path / "mbert" / "cs_pud.json").write_text('{"gold')
    with pytest.raises(ValueError, match=r"cs_pud\.json: damaged .*; run `evaluate` again"):
        read_results(tmp_path)


def test_scores_on_different_gold_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"mbert": {"a_a": record(0.5, 0.5)}, "mminibert": {"a_a": record(0.5, 0.5, gold="h")}})
    with pytest.raises(ValueError, match="a_a: mbert and mminibert were scored on different gold files"):
        read_results(tmp_path)


def test_script_writes_both_files_and_prints_the_report(tmp_path: Path) -> None:
    path = Path(__file__).parents[1] / "scripts" / "report.py"
    spec = importlib.util.spec_from_file_location("script_tabulate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = typer.Typer()
    app.command()(module.main)
    arguments = [str(tmp_path), str(tmp_path / "out"), "--paper", str(PAPER)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "run the evaluation first" in str(result.exception)

    write(tmp_path, RESULTS)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert (tmp_path / "out" / "report.md").read_text() in result.output
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["averages"]["all"]["treebanks"] == ["af_afribooms", "hy_armtdp", "xy_new"]


def test_a_system_that_was_not_run_on_raw_text() -> None:
    results = {**RESULTS, "mbert": {k: {**r, "raw_text": None} for k, r in RESULTS["mbert"].items()}}
    report = build_report([results], read_paper(PAPER), command="report")
    average = report["averages"]["all"]
    assert average["systems"]["mbert"]["gold UPOS"] == pytest.approx((98 + 90 + 70) / 3)
    assert "raw UPOS" not in average["systems"]["mbert"]
    assert average["differences"]["student minus teacher"]["gold UPOS"] == pytest.approx((-2 - 5 + 10) / 3)
    markdown = to_markdown(report)
    assert rows_of(markdown, "Macro average, all")["mbert"][5:9] == ["not run"] * 4
    assert rows_of(markdown, "UPOS")["xy_new"][5:9] == ["70.00", "not run", "80.00", "70.00"]


def test_the_page_has_every_cell_and_needs_no_network(report: dict[str, Any]) -> None:
    page = to_html({**report, "table7": read_table7(PAPER)})
    parser = ElementTree.fromstring(
        page[page.index("<body>") : page.index("</body>") + 7].replace("&", "&amp;")
    )
    tables = parser.findall(".//table")
    cells = {
        row[0]: row[1:]
        for row in ([("".join(c.itertext())).strip() for c in tr] for tr in tables[3].findall("tbody/tr"))
    }
    # words, labels, then gold, raw, paper and raw less paper of mbert and of mminibert
    assert cells["af_afribooms"] == [
        *("1,234", "silver"),
        *("98.00", "88.00", "97.49", "-9.49"),
        *("96.00", "86.00", "96.08", "-10.08"),
    ]
    assert cells["cs_pud"][-3:] == ["not run", "97.00", "–"]
    assert cells["xy_new"][4:6] == ["–", "–"]
    systems = {"".join(tr[0].itertext()): tr for tr in tables[0].findall("tbody/tr")}
    assert "".join(systems["meta_lstm"][1].itertext()) == "not run"
    assert ["".join(td.itertext()) for td in systems["mbert"][1:3]] == ["86.00", "78.33"]
    table7 = [["".join(td.itertext()) for td in tr] for tr in tables[1].findall("tbody/tr")]
    assert table7[0] == ["mbert", "no", "94.50", "98.00", "91.00", "95.00"]
    assert table7[2] == ["minibert", "no", "90.20", "–", "85.50", "–"]
    assert len(parser.findall(".//figure")) == 3
    for attribute in ("src=", "<link", "@import", "url(http"):
        assert attribute not in page
    assert page == to_html({**report, "table7": read_table7(PAPER)})

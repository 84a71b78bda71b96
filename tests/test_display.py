"""Tagged Docs as HTML: what is shown, that text stays text, and what a browser makes of it."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from annotators import loaded, make_pipeline
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from typer.testing import CliRunner

import mminibert
from mminibert.cli import app
from mminibert.data.docs_conllu import doc_to_conllu
from mminibert.display.page import UNSURE, fragment, page

HOSTILE = (
    "abc <script>document.title='owned'</script> <img src=x onerror=\"document.title='owned'\"> "
    "</textarea></style></pre><svg onload=document.title='owned'> {{ 7 * 7 }} &amp; bad."
)
VOID = {"meta", "br"}


class Read(HTMLParser):
    """Elements, attributes, and the text of each class; tags that do not match are a fault."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[tuple[str, str]] = []
        self.feed(source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("class") or tag))
            self.texts.append((self._open[-1][1], ""))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            kind = self._open[-1][1]
            at = max(i for i, (name, _) in enumerate(self.texts) if name == kind)
            self.texts[at] = kind, self.texts[at][1] + data

    def of(self, kind: str) -> list[str]:
        return [text.strip() for name, text in self.texts if name.split()[0] == kind]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("display") / "pipeline")


@pytest.fixture(scope="module")
def nlp(pipeline: Path) -> Language:
    nlp = loaded(pipeline)
    nlp.get_pipe("morphologizer").confidences = True  # type: ignore[attr-defined]
    nlp.tokenizer.language = "en_x"  # type: ignore[union-attr]
    return nlp


def test_words_and_their_annotation_are_shown(nlp: Language) -> None:
    doc = nlp("abc bad. ace cab")
    doc[0].lemma_ = "the lemma"
    doc[0].set_morph("Case=Nom|Number=Sing")  # type: ignore[attr-defined]
    found = Read(fragment([doc]))
    assert found.of("word") == [token.text for token in doc]
    assert found.of("found") == ["en · en_x"] * len(list(doc.sents))
    assert found.of("pre") == [doc_to_conllu(doc).strip()]
    parts = [form for token in doc for form, _, _ in token._.ud_words or ()]
    assert found.of("part") == parts and parts[-2:] == ["c", "ab"]
    rows = found.of("row")
    assert rows[0].endswith("Case=Nom · Number=Sing")
    assert found.of("b")[:2] == ["abc", "the lemma"]
    sure = [f"UPOS is {100 * token._.pos_confidence:.1f}% sure" for token in doc]
    assert [row for row in rows if row.startswith("UPOS")] == sure
    words = [value for name, value in found.attributes if name == "class" and value.startswith("word ")]
    unsure = [token._.pos_confidence < UNSURE for token in doc]
    assert [value.endswith(" unsure") for value in words] == unsure and len(set(unsure)) == 2


def test_a_doc_that_nothing_is_known_of_is_shown(nlp: Language) -> None:
    found = Read(fragment([Language().make_doc("abc bad")]))
    assert found.of("word") == ["abc", "bad"] and found.of("found") == [""]
    assert Read(fragment([nlp(" ")])).of("p") == ["There is no word in it."]


def test_notebooks_show_the_fragment(nlp: Language) -> None:
    doc = nlp("abc")
    shown = mminibert.render(doc)
    assert shown == shown._repr_html_() == fragment([doc])


@given(text=st.one_of(st.just(HOSTILE), st.text(st.sampled_from("ab <>&\"'/{}%-#=\n"), max_size=30)))
def test_text_stays_text(nlp: Language, text: str) -> None:
    doc = nlp(text)
    words = [token.text for token in doc if not token.is_space]
    made = Read(page(title=text, models=("auto", "en"), text=text, shown=fragment([doc])))
    assert made.of("word") == [word.strip() for word in words]
    assert made.of("textarea") == [text.strip()]
    assert (made.tags["script"], made.tags["style"], made.tags["img"], made.tags["svg"]) == (1, 2, 0, 0)
    assert not [
        name for name, _ in made.attributes if name.startswith("on") or name in ("src", "href", "style")
    ]


# The command, and a browser


def show(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["show", *arguments])
    assert not done.exception, done.output
    return done.output


def test_the_command_writes_a_page(pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "x.html"
    arguments = ["--html", str(output), "--model", str(pipeline), "--convention", "en_y"]
    assert show("cab abc", *arguments) == f"{output}\n"
    made = Read(output.read_text(encoding="utf-8"))
    assert made.of("word") == ["cab", "abc"] and made.tags["form"] == 0
    assert made.of("found") == ["en · en_y"]
    again = CliRunner().invoke(app, ["show", "bad", *arguments])
    assert isinstance(again.exception, FileExistsError)
    done = CliRunner().invoke(app, ["show", "-", *arguments, "--force"], input="bad")
    assert Read(output.read_text(encoding="utf-8")).of("word") == ["bad"], done.output


def dom(address: str) -> str:
    """Of a page, after its scripts ran. As root Chromium needs --no-sandbox."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000"]
    done = subprocess.run([browser, *options, "--dump-dom", address], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8")


def test_a_browser_takes_style_and_script_of_ours_and_no_other(pipeline: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.html"
    show(HOSTILE, "--html", str(output), "--model", str(pipeline))
    shown = Read(dom(output.as_uri()))
    assert "owned" not in shown.of("title")[0] or shown.of("title")[0].startswith("abc <script>")
    assert (shown.tags["script"], shown.tags["img"], shown.tags["svg"]) == (1, 0, 0)
    assert ("hidden", "") not in shown.attributes  # the button, which the script shows
    forged = tmp_path / "forged.html"
    source = output.read_text(encoding="utf-8")
    forged.write_text(source.replace("<h1", "<script>document.title = 'owned'</script><h1"), encoding="utf-8")
    assert Read(dom(forged.as_uri())).of("title") == shown.of("title")

"""What the segmenter learns from: losses by another computation, gradients, and going on after a break."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import segmenters
import torch
from segmenters import sentence
from torch.nn import functional

from mminibert.models.segmenter import convolved
from mminibert.runtime.units import NOTHING, SENTENCE, Gap
from mminibert.systems.segmenter_data import Units, running
from mminibert.systems.segmenter_fit import FitSettings, SegmenterFit
from mminibert.systems.segmenter_sampling import Stretch, with_line_breaks


def one_by_one(fit: SegmenterFit, batch: list) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """Cross-entropies of single labels by name, of each unit and each stretch by itself."""
    losses: dict[str, list[torch.Tensor]] = {name: [] for name in ("ends", "multiword", "stops", "inside")}
    seen: set[tuple[int, int]] = set()
    for source, where, code, gaps in batch:
        text = source.running
        ids, vectors = text.units[where].tolist(), []
        for id, inside in zip(ids, text.inside[where], strict=True):
            unit = segmenters.flat(fit.alphabet, [fit.units.texts[id]])
            logits, vector = fit.net.of_characters(unit, torch.tensor([code]))
            vectors.append(vector)
            if (id, code) not in seen:  # each counts once in a batch
                seen.add((id, code))
                losses["inside"] += [-logits[i].log_softmax(0)[label] for i, label in enumerate(inside)]
        labels = fit.net.of_units(
            torch.stack(vectors, 1),
            torch.from_numpy(gaps.astype(np.int64))[None],
            torch.from_numpy(source.pairs[where])[None],
            torch.tensor([code]),
        )[0]
        for i in range(len(ids)):
            at = where.start + i
            losses["ends"].append(-labels[i, :3].log_softmax(0)[text.ends[at]])
            losses["multiword"].append(-labels[i, 3:5].log_softmax(0)[text.multiword[at]])
            if text.stops[at] >= 0:
                losses["stops"].append(-labels[i, 5:7].log_softmax(0)[text.stops[at]])
    yield from losses.items()


def test_losses() -> None:
    fit = segmenters.fit(20, sequence=12)
    fit.net.eval()
    batch = fit.sample()
    with torch.no_grad():
        found = fit.losses(batch)
        for name, expected in one_by_one(fit, batch):
            assert len(expected) > 3
            torch.testing.assert_close(found[name], torch.stack(expected).mean(), atol=1e-5, rtol=1e-4)


def test_nothing_is_learned_of_padding() -> None:
    """Its units are seen by the last ones of the stretch that is filled up, hence the tolerance."""
    fit = segmenters.fit(20, sequence=40)
    fit.net.eval()
    long = fit.sample()[0]
    source, where, code, gaps = long
    short = Stretch(source, slice(where.start, where.start + 20), code, gaps[:20])
    with torch.no_grad():
        together = fit.losses([long, short])["ends"]
        alone = [fit.losses([part])["ends"] for part in (long, short)]
    torch.testing.assert_close(together, (40 * alone[0] + 20 * alone[1]) / 60, atol=0, rtol=0.01)


def test_loss_of_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits of units add up over the first three of each stretch here."""
    fit = segmenters.fit(20)
    fit.net.eval()
    batch = fit.sample()
    batch = [
        Stretch(source, slice(where.start, where.start + 3), code, gaps[:3])
        for source, where, code, gaps in batch
    ]

    class Three:
        def integers(self, low: int, high: int) -> int:
            return 3 if low == 1 else 0

    monkeypatch.setattr(fit, "random", Three())
    with torch.no_grad():
        expected = []
        for source, where, *_ in batch:
            logits = torch.zeros(len(fit.languages))
            for id in source.running.units[where]:
                logits += fit.net.of_spelling(segmenters.flat(fit.alphabet, [fit.units.texts[id]]))[0]
            expected.append(functional.cross_entropy(logits, torch.tensor(source.language)))
        torch.testing.assert_close(
            fit._of_languages(batch), torch.stack(expected).mean(), atol=1e-5, rtol=1e-4
        )


def test_every_weight_has_a_gradient() -> None:
    fit = segmenters.fit(20)
    batch = fit.sample()
    losses = fit.losses(batch)
    torch.stack(list(losses.values())).sum().backward()
    for name, values in fit.net.named_parameters():
        gradient = values.grad
        assert gradient is not None, name
        assert bool((gradient.to_dense() != 0).any()), name
    assert float(fit.net.pairs.weight[0].detach().abs().max()) == 0


def test_half_precision_gives_nearly_the_same_losses() -> None:
    fit = segmenters.fit(20)
    fit.net.eval()
    batch = fit.sample()
    state = fit.random.bit_generator.state
    full = fit.losses(batch)
    fit.random.bit_generator.state = state
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = fit.losses(batch)
    for name, expected in full.items():
        torch.testing.assert_close(half[name], expected, rtol=0.02, atol=0.002)
        assert half[name].dtype == torch.float32


@pytest.mark.parametrize("fast", [False, True])
def test_steps_are_in_half_precision_where_it_is_fast(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mminibert.systems.segmenter_fit.has_fast_bf16", lambda: fast)
    fit = segmenters.fit(5)
    losses, enabled = fit.losses, []

    def watched(batch: list[Stretch]) -> dict[str, torch.Tensor]:
        enabled.append(torch.is_autocast_enabled("cpu"))
        return losses(batch)

    monkeypatch.setattr(fit, "losses", watched)
    fit.step()
    assert enabled == [fast]


def test_rare_characters_are_read_by_their_category() -> None:
    """Those in fewer than three units of the text at hand, whatever other text there is and however often it
    is written otherwise; what that alone has counts too."""
    units = Units()
    text = running([sentence(("aé", True, ()), ("aé", True, ()), ("Aé1", True, ()))], units)
    running([sentence(("xyz", True, ())) for _ in range(9)], units)
    assert SegmenterFit({"es_x": text}, units, FitSettings()).alphabet.known == "AaÉé"


def test_codes_and_shares() -> None:
    fit = segmenters.fit(20, exponent=0.5)
    assert fit.codes == ("es", "vi", "zh", "es_toy", "vi_toy", "zh_toy") and fit.languages == (
        "es",
        "vi",
        "zh",
    )
    sizes = np.sqrt([len(fit.texts[code]) for code in ("es_toy", "vi_toy", "zh_toy")])
    of_codes = np.asarray([source.code for source in fit.sampler.sources])
    shares = [fit.sampler.shares[of_codes == fit.codes.index(code)].sum() for code in fit.codes[3:]]
    np.testing.assert_allclose(shares, sizes / sizes.sum())
    given = {code for _ in range(20) for _, _, code, _ in fit.sample()}
    assert given == set(range(6))  # now of a language, now of a treebank


def test_text_is_also_written_otherwise() -> None:
    fit = segmenters.fit(20)
    found: dict[str, set[str]] = {}
    for stretch in (one for _ in range(300) for one in fit.sample()):
        text = "".join(fit.units.texts[id] for id in stretch.source.running.units[stretch.where])
        found.setdefault(fit.codes[stretch.source.code], set()).add(text)
    spanish, chinese = found["es_toy"], found["zh_toy"]
    assert {"upper", "lower", "mixed"} == {
        "upper" if text.isupper() else "lower" if text.islower() else "mixed" for text in spanish
    }
    assert any("爱" in text for text in chinese)  # in the toy language as it is
    assert all(text == text.lower() for text in chinese)


def test_line_breaks_are_put_in() -> None:
    fit = segmenters.fit(2)
    gaps, ends = np.full(4000, Gap.BLANK, dtype=np.int32), np.zeros(4000, dtype=np.int32)
    ends[9::10] = SENTENCE
    gaps[::7] = Gap.NONE
    kinds = [with_line_breaks(gaps, ends, fit.random) for _ in range(60)]
    unchanged = sum((found == gaps).all() for found in kinds)
    assert 25 < unchanged < 47
    for found in kinds:
        within = (gaps == Gap.NONE) & (ends == NOTHING)
        assert (found[within] == Gap.NONE).all()
        assert set(found[ends == NOTHING].tolist()) <= {Gap.NONE, Gap.BLANK, Gap.LINE}
    after = np.concatenate(kinds)[np.tile(ends, 60) == SENTENCE]
    assert {Gap.LINE, Gap.PARAGRAPH} <= set(after.tolist())
    # Scripts without blanks have line breaks as well.
    unparted = after[np.tile(gaps, 60)[np.tile(ends, 60) == SENTENCE] == Gap.NONE]
    assert {Gap.LINE, Gap.PARAGRAPH} <= set(unparted.tolist())


def test_neighbours_side_by_side_are_a_convolution() -> None:
    """Values and gradients of PyTorch's own."""
    torch.manual_seed(0)
    for kernel, dilation in ((1, 1), (3, 1), (3, 4), (5, 1)):
        layer = torch.nn.Conv1d(6, 4, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        rows = torch.randn(2, 9, 6, requires_grad=True)
        weights = torch.randn(2, 9, 4)
        results = []
        for found in (convolved(layer, rows), layer(rows.mT).mT):
            inputs = (rows, *layer.parameters())
            results.append([found, *torch.autograd.grad((found * weights).sum(), inputs)])
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_fit_that_was_broken_off_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    def toy() -> SegmenterFit:
        return segmenters.fit(30, units=3_000, sequences=4, warmup=5)

    whole = toy()
    whole.fit(lambda line: None)

    broken, steps = toy(), 0
    step = broken.step

    def until_killed() -> dict[str, float]:
        nonlocal steps
        steps += 1
        if steps == 10:
            raise KeyboardInterrupt
        return step()

    broken.step = until_killed  # type: ignore[method-assign]
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        broken.fit(lambda line: None, path, every=0)
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]

    lines: list[str] = []
    resumed = toy()
    resumed.fit(lines.append, path, every=0)
    assert lines[0].startswith("goes on after 1,1") and "min left" in lines[-1]
    assert resumed.steps == whole.steps > 20
    for name, values in whole.net.state_dict().items():
        assert torch.equal(values, resumed.net.state_dict()[name]), name
    assert resumed.model().to_bytes() == whole.model().to_bytes()

    again = toy()
    again.fit(lines.append, path)  # there is nothing left to do
    assert again.steps == whole.steps


def test_a_checkpoint_of_other_text(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    segmenters.fit(3).save(path)
    other = segmenters.fit(3)
    other.codes = (*other.codes, "de")
    with pytest.raises(ValueError, match=r"checkpoint.pt is of other treebanks; remove it"):
        other.load(path)


def test_time_is_a_limit_too() -> None:
    fit = segmenters.fit(3, seconds=0.001)
    fit.fit(lambda line: None)
    assert fit.steps == 1 and fit.done >= 1

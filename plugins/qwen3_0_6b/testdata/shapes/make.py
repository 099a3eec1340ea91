"""Makes the checkpoints in this folder and what mlx-lm's qwen3 computes on them: random weights, unusual dimensions.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 numpy && python make.py

The tiny checkpoint has friendly sizes; these have odd widths, heads that no vector length divides, one kv head, every
weight type, shards, a stray copy of the tied head, a stretched rope. All arithmetic is float32.
"""

import json
import pathlib

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3

BASE = dict(architectures=["Qwen3ForCausalLM"], model_type="qwen3", hidden_act="silu", attention_bias=False, max_position_embeddings=256,
            rope_theta=1e4, rope_scaling=None)
SHAPES = {
    "untied_bf16": dict(rows=70, dtype=mx.bfloat16, config=dict(
        vocab_size=61, hidden_size=48, intermediate_size=37, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3, head_dim=10,
        rms_norm_eps=1e-5, tie_word_embeddings=False)),
    "one_kv_head_f16": dict(rows=70, dtype=mx.float16, stray=True, config=dict(
        vocab_size=64, hidden_size=40, intermediate_size=100, num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=1, head_dim=16,
        rms_norm_eps=1e-3, rope_theta=5e5, tie_word_embeddings=True)),
    "sharded_f32": dict(rows=70, dtype=mx.float32, shards=3, config=dict(
        vocab_size=33, hidden_size=33, intermediate_size=11, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3, head_dim=6,
        rms_norm_eps=1e-6, tie_word_embeddings=False)),
    "yarn_bf16": dict(rows=200, dtype=mx.bfloat16, config=dict(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
        rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64))),
}


def initial(name, shape, rng):
    if len(shape) == 1:
        return 1 + 0.3 * rng.standard_normal(shape)
    return rng.standard_normal(shape) / np.sqrt(shape[-1])


def save(folder, tensors, shards):
    if shards == 1:
        mx.save_safetensors(str(folder / "model.safetensors"), tensors)
        return
    where = {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(sorted(tensors.items())[i::shards])
        mx.save_safetensors(str(folder / file), part)
        where |= dict.fromkeys(part, file)
    total = sum(t.nbytes for t in tensors.values())
    (folder / "model.safetensors.index.json").write_text(json.dumps(dict(metadata=dict(total_size=total), weight_map=where), indent=0))


def make(name, spec):
    folder = pathlib.Path(__file__).parent / name
    folder.mkdir(exist_ok=True)
    config = BASE | spec["config"]
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    rng = np.random.default_rng(list(name.encode()))
    shapes = {k: v.shape for k, v in tree_flatten(model.parameters())}
    tensors = {k: mx.array(initial(k, s, rng)).astype(spec["dtype"]) for k, s in sorted(shapes.items())}
    model.load_weights([(k, v.astype(mx.float32)) for k, v in tensors.items()])

    ids = mx.array(rng.integers(0, config["vocab_size"], spec["rows"]))
    h = model.model.embed_tokens(ids[None])
    out = {"input_ids": ids.astype(mx.int64), "embeddings": h[0]}
    for i, layer in enumerate(model.layers):
        h = layer(h, "causal", None)
        out[f"layer.{i}"] = h[0]
    out["final"] = model.model.norm(h)[0]
    out["logits"] = model(ids[None])[0]
    mx.save_safetensors(str(folder / "golden.safetensors"), out)

    if spec.get("stray"):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    save(folder, tensors, spec.get("shards", 1))


for name, spec in SHAPES.items():
    make(name, spec)

"""Makes the checkpoints in this folder and what mlx-lm's qwen3 computes on them: random weights, unusual dimensions.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 numpy ml_dtypes && python make.py

The tiny checkpoint has friendly sizes; these have odd widths, heads that no vector length divides, one kv head, every
weight type, shards, a stray copy of the tied head, a stretched rope, biases, FP8 in blocks that end inside rows and columns, which
is dequantized by numpy. All arithmetic is float32.
"""

import json
import pathlib
import sys

import mlx.core as mx
import numpy as np
from mlx_lm.models import qwen3

sys.path.append(str(pathlib.Path(__file__).resolve().parents[4] / "cuda/golden"))
import shapes  # noqa: E402

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
    "biased_fp8": dict(rows=70, block=(20, 24), scale=np.float32, config=dict(
        attention_bias=True, vocab_size=37, hidden_size=45, intermediate_size=50, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
        head_dim=14, rms_norm_eps=1e-6, tie_word_embeddings=True)),
}


for folder, spec, rng in shapes.folders(__file__, SHAPES):
    config, block = BASE | spec["config"], spec.get("block")
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    if config["attention_bias"]:
        shapes.give_biases(model)
    if block:
        tensors, plain = shapes.invent_fp8(shapes.of(model), rng, block, spec["scale"])
        config = shapes.fp8(config, block)
    else:
        tensors = shapes.invent(shapes.of(model), rng, spec["dtype"])
        plain = shapes.wide(tensors)
    model.load_weights(list(plain.items()))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    shapes.write(folder / "golden.safetensors", shapes.golden(model, mx.array(rng.integers(0, config["vocab_size"], spec["rows"]))))
    if spec.get("stray"):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    shapes.save(folder, tensors, spec.get("shards", 1))

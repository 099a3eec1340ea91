"""Makes the checkpoints in this folder and what mlx-lm's qwen3 computes on them: random weights, unusual dimensions.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 numpy ml_dtypes && python make.py

The tiny checkpoints have the published block and friendly sizes; these have odd widths, FP8 in blocks that end inside rows and
columns, scales in both types, some matrices left in bf16, shards, a stray copy of the tied head, a stretched rope of the
published base, biases (which mlx-lm's attention is given here). FP8 is made by ml_dtypes, dequantized by numpy in float32, and all arithmetic after it is mlx's in float32.
"""

import json
import pathlib
import sys

import ml_dtypes
import mlx.core as mx
import numpy as np
from mlx_lm.models import qwen3

sys.path.append(str(pathlib.Path(__file__).resolve().parents[4] / "cuda/golden"))
import shapes  # noqa: E402

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


for folder, spec, rng in shapes.folders(__file__, SHAPES):
    config, block = BASE | spec["config"], spec.get("block")
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    if config["attention_bias"]:
        shapes.give_biases(model)
    if block:
        tensors, plain = shapes.invent_fp8(shapes.of(model), rng, block, spec["scale"], spec.get("keep", ()))
        config = shapes.fp8(config, block)
    else:
        tensors = {k: shapes.initial(k, s, rng).astype(np.float16) for k, s in sorted(shapes.of(model).items())}
        plain = {k: mx.array(w.astype(np.float32)) for k, w in tensors.items()}
    model.load_weights(list(plain.items()))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    out = shapes.golden(model, mx.array(rng.integers(0, config["vocab_size"], spec["rows"])))
    shapes.write(folder / "golden.safetensors", {k: np.array(t) for k, t in out.items()})
    if spec.get("stray"):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    shapes.save(folder, tensors, spec.get("shards", 1))

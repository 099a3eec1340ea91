"""Makes the checkpoints in this folder and what mlx-lm's qwen3_moe computes on them: random weights, unusual dimensions.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 numpy ml_dtypes && python make.py

The tiny checkpoint has experts in every layer and friendly sizes; these have dense layers by either key, odd widths and
numbers of experts, weights that are not normalized, all experts at once, experts joined as transformers 5 saves them with
its spelling of config.json, every weight type and shards. All arithmetic is float32.
"""

import json
import pathlib
import sys

import mlx.core as mx
from mlx_lm.models import qwen3_moe

sys.path.append(str(pathlib.Path(__file__).resolve().parents[4] / "cuda/golden"))
import shapes  # noqa: E402

BASE = dict(architectures=["Qwen3MoeForCausalLM"], model_type="qwen3_moe", hidden_act="silu", attention_bias=False, max_position_embeddings=256,
            rope_theta=1e4, rope_scaling=None, rms_norm_eps=1e-6)
SHAPES = {
    "dense_between_bf16": dict(rows=70, dtype=mx.bfloat16, config=dict(
        vocab_size=61, hidden_size=40, intermediate_size=37, num_hidden_layers=6, num_attention_heads=6, num_key_value_heads=3, head_dim=10,
        num_experts=6, num_experts_per_tok=3, moe_intermediate_size=19, norm_topk_prob=False, decoder_sparse_step=2, mlp_only_layers=[3, 9],
        tie_word_embeddings=True)),
    "all_experts_f16": dict(rows=70, dtype=mx.float16, config=dict(
        vocab_size=64, hidden_size=33, intermediate_size=1, num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=1, head_dim=16,
        num_experts=5, num_experts_per_tok=5, moe_intermediate_size=23, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[],
        rope_theta=5e5, rms_norm_eps=1e-3, tie_word_embeddings=False)),
    "joined_f32": dict(rows=70, dtype=mx.float32, shards=3, joined=True, config=dict(
        vocab_size=33, hidden_size=24, intermediate_size=31, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
        num_experts=13, num_experts_per_tok=2, moe_intermediate_size=11, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[0],
        tie_word_embeddings=False)),
}


def published(tensors, joined):
    """mlx-lm keeps experts as switch_mlp.X.weight (experts, out, in); the release keeps each alone, transformers 5 joins gate and up."""
    out = {}
    for name, t in tensors.items():
        if ".switch_mlp." not in name:
            out[name] = t
            continue
        prefix, matrix = name.removesuffix(".weight").split(".switch_mlp.")
        if not joined:
            out |= {f"{prefix}.experts.{e}.{matrix}.weight": t[e] for e in range(t.shape[0])}
        elif matrix == "gate_proj":
            out[f"{prefix}.experts.gate_up_proj"] = mx.concatenate([t, tensors[name.replace("gate_proj", "up_proj")]], axis=1)
        elif matrix == "down_proj":
            out[f"{prefix}.experts.down_proj"] = t
    return out


def spelled(config, joined):
    if not joined:
        return config
    config = dict(config, num_local_experts=config["num_experts"], rope_parameters=dict(rope_type="default", rope_theta=config["rope_theta"]))
    return {k: v for k, v in config.items() if k not in ("num_experts", "rope_theta", "rope_scaling")}


for folder, spec, rng in shapes.folders(__file__, SHAPES):
    config, joined = BASE | spec["config"], spec.get("joined", False)
    (folder / "config.json").write_text(json.dumps(spelled(config, joined), indent=1))
    model = qwen3_moe.Model(qwen3_moe.ModelArgs.from_dict(config))
    tensors = shapes.invent(shapes.of(model), rng, spec["dtype"])
    model.load_weights(list(shapes.wide(tensors).items()))
    shapes.write(folder / "golden.safetensors", shapes.golden(model, mx.array(rng.integers(0, config["vocab_size"], spec["rows"]))))
    shapes.save(folder, published(tensors, joined), spec.get("shards", 1))

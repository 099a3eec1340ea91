"""Makes the checkpoints in this folder and what mlx-lm's qwen3_next computes on them: random weights, unusual dimensions.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 numpy ml_dtypes && python make.py

The tiny checkpoint has friendly sizes and the published pattern of layers; these have key heads that share other numbers of value
heads, of other dims than the keys, other convolutions, patterns, dense layers, routers that do not normalize, every spelling
and weight type, shards, a tied head with a stray copy, a stretched rope. mlx-lm computes the recurrent form, in float32.
"""

import json
import pathlib
import sys

import mlx.core as mx
import numpy as np
from mlx_lm.models import qwen3_next

sys.path.append(str(pathlib.Path(__file__).resolve().parents[4] / "cuda/golden"))
import shapes  # noqa: E402

BASE = dict(architectures=["Qwen3NextForCausalLM"], model_type="qwen3_next", hidden_act="silu", attention_bias=False,
            max_position_embeddings=256, rope_theta=1e4, rope_scaling=None, decoder_sparse_step=1, mlp_only_layers=[],
            tie_word_embeddings=False, norm_topk_prob=True, rms_norm_eps=1e-6)
SHAPES = {
    "wide_values_bf16": dict(rows=150, dtype=mx.bfloat16, config=dict(
        vocab_size=61, hidden_size=48, intermediate_size=40, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=3, head_dim=20,
        partial_rotary_factor=0.5, full_attention_interval=3, linear_num_key_heads=2, linear_num_value_heads=6, linear_key_head_dim=12,
        linear_value_head_dim=20, linear_conv_kernel_dim=3, num_experts=5, num_experts_per_tok=3, moe_intermediate_size=19,
        shared_expert_intermediate_size=33, norm_topk_prob=False, rms_norm_eps=1e-5)),
    "some_dense_f32": dict(rows=130, dtype=mx.float32, shards=3, stray=True, config=dict(
        vocab_size=33, hidden_size=30, intermediate_size=37, num_hidden_layers=5, num_attention_heads=3, num_key_value_heads=1, head_dim=14,
        partial_rotary_factor=1.0, full_attention_interval=2, linear_num_key_heads=3, linear_num_value_heads=3, linear_key_head_dim=16,
        linear_value_head_dim=6, linear_conv_kernel_dim=2, num_experts=4, num_experts_per_tok=1, moe_intermediate_size=9,
        shared_expert_intermediate_size=5, decoder_sparse_step=2, mlp_only_layers=[3], tie_word_embeddings=True)),
    "split_fused_f16": dict(rows=90, dtype=mx.float16, split=True, fused=True, config=dict(
        vocab_size=40, hidden_size=36, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
        partial_rotary_factor=0.25, full_attention_interval=2, linear_num_key_heads=1, linear_num_value_heads=4, linear_key_head_dim=7,
        linear_value_head_dim=9, linear_conv_kernel_dim=5, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=10,
        shared_expert_intermediate_size=12, rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64))),
}


def published(model):
    """The names and shapes a published checkpoint has for the parameters of a model of mlx-lm."""
    for name, shape in shapes.of(model).items():
        if ".switch_mlp." in name:
            for e in range(shape[0]):
                yield name.replace(".switch_mlp.", f".experts.{e}."), shape[1:]
        elif name.endswith("conv1d.weight"):
            yield name, (shape[0], 1, shape[1])
        else:
            yield name, shape


def initial(name, shape, rng):
    if name.endswith("A_log"):
        return np.log(rng.uniform(0.1, 8, shape))
    if name.endswith("linear_attn.norm.weight"):
        return 1 + 0.3 * rng.standard_normal(shape)
    if len(shape) == 1:
        return 0.3 * rng.standard_normal(shape)
    return rng.standard_normal(shape) / np.sqrt(shape[-1])


def split(tensors, c):
    """Cuts the projections of the delta rule as newer checkpoints have them."""
    hk, dk, r = c["linear_num_key_heads"], c["linear_key_head_dim"], c["linear_num_value_heads"] // c["linear_num_key_heads"]
    dv, hidden = c["linear_value_head_dim"], c["hidden_size"]
    for name in [n for n in tensors if n.endswith("in_proj_qkvz.weight")]:
        base = name.removesuffix("qkvz.weight")
        parts = mx.split(tensors.pop(name).reshape(hk, -1, hidden), [dk, 2 * dk, 2 * dk + r * dv], axis=1)
        q, k, v, z = (p.reshape(-1, hidden) for p in parts)
        b, a = (p.reshape(-1, hidden) for p in mx.split(tensors.pop(base + "ba.weight").reshape(hk, -1, hidden), 2, axis=1))
        tensors |= {base + "qkv.weight": mx.concatenate([q, k, v]), base + "z.weight": z, base + "b.weight": b, base + "a.weight": a}


def fuse(tensors, experts):
    """Puts the experts of a layer into one tensor, as transformers 5 does."""
    for name in [n for n in tensors if n.endswith("experts.0.up_proj.weight")]:
        base = name.removesuffix("0.up_proj.weight")
        gate, up, down = ([tensors.pop(f"{base}{e}.{n}_proj.weight") for e in range(experts)] for n in ("gate", "up", "down"))
        tensors[base + "gate_up_proj"] = mx.stack([mx.concatenate(p) for p in zip(gate, up)])
        tensors[base + "down_proj"] = mx.stack(down)


for folder, spec, rng in shapes.folders(__file__, SHAPES):
    config = BASE | spec["config"]
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    model = qwen3_next.Model(qwen3_next.ModelArgs.from_dict(config))
    tensors = shapes.invent(dict(published(model)), rng, spec["dtype"], initial)
    model.load_weights(list(model.sanitize(shapes.wide(tensors)).items()))
    shapes.write(folder / "golden.safetensors", shapes.golden(model, mx.array(rng.integers(0, config["vocab_size"], spec["rows"])),
                                                              lambda layer, h: None if layer.is_linear else "causal"))
    if spec.get("stray"):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    if spec.get("split"):
        split(tensors, config)
    if spec.get("fused"):
        fuse(tensors, config["num_experts"])
    shapes.save(folder, tensors, spec.get("shards", 1))

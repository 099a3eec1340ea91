"""Makes the checkpoints in this folder and what mlx-lm's glm4_moe_lite computes on them: random weights, unusual dimensions.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 numpy ml_dtypes && python make.py

The tiny checkpoint has friendly sizes, one dense layer and one group; these have odd ranks and heads, values longer and shorter than
keys, queries that are not compressed, biases, groups of experts, two shared experts, weights that are not normalized, a stretched
rope that scales scores too, experts joined as transformers 5 saves them with its spelling of config.json, a layer behind the last,
every weight type and shards. All arithmetic is float32; mlx-lm has rms_norm_eps in the norms of latents.
"""

import json
import pathlib
import sys

import mlx.core as mx
from mlx_lm.models import glm4_moe_lite
from mlx_lm.models.base import create_attention_mask

sys.path.append(str(pathlib.Path(__file__).resolve().parents[4] / "cuda/golden"))
import shapes  # noqa: E402

BASE = dict(architectures=["Glm4MoeLiteForCausalLM"], model_type="glm4_moe_lite", hidden_act="silu", attention_bias=False, max_position_embeddings=256,
            rope_theta=1e4, rope_scaling=None, rms_norm_eps=1e-5, tie_word_embeddings=False, num_nextn_predict_layers=0)
SHAPES = {
    "groups_f16": dict(rows=70, dtype=mx.float16, config=dict(
        vocab_size=64, hidden_size=33, intermediate_size=21, num_hidden_layers=4, num_attention_heads=5, num_key_value_heads=5, first_k_dense_replace=2,
        q_lora_rank=None, kv_lora_rank=13, qk_nope_head_dim=7, qk_rope_head_dim=6, v_head_dim=19, attention_bias=True,
        n_routed_experts=12, n_group=4, topk_group=2, num_experts_per_tok=3, moe_intermediate_size=17, n_shared_experts=2, norm_topk_prob=False,
        routed_scaling_factor=0.7)),
    "yarn_bf16": dict(rows=200, dtype=mx.bfloat16, config=dict(
        vocab_size=40, hidden_size=48, intermediate_size=60, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3, first_k_dense_replace=0,
        q_lora_rank=20, kv_lora_rank=24, qk_nope_head_dim=16, qk_rope_head_dim=32, v_head_dim=5, rms_norm_eps=1e-3,
        n_routed_experts=5, n_group=1, topk_group=1, num_experts_per_tok=5, moe_intermediate_size=11, n_shared_experts=1, norm_topk_prob=True,
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64, mscale=1.0, mscale_all_dim=0.7))),
    "joined_f32": dict(rows=70, dtype=mx.float32, shards=3, joined=True, config=dict(
        vocab_size=33, hidden_size=24, intermediate_size=31, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4, first_k_dense_replace=1,
        q_lora_rank=9, kv_lora_rank=10, qk_nope_head_dim=3, qk_rope_head_dim=2, v_head_dim=4, attention_bias=True, num_nextn_predict_layers=1,
        n_routed_experts=6, n_group=3, topk_group=1, num_experts_per_tok=2, moe_intermediate_size=13, n_shared_experts=1, norm_topk_prob=True,
        rope_theta=5e5)),
}


def initial(name, shape, rng):
    if name.endswith("e_score_correction_bias"):
        return 0.3 * rng.random(shape)  # above 0: mlx-lm gives groups that are left out a score of 0, the reference minus infinity
    if name.endswith("bias"):
        return 0.3 * rng.standard_normal(shape)
    return shapes.initial(name, shape, rng)


def published(model, config):
    """The release's names and shapes for mlx-lm's, which keeps experts stacked and the matrix of keys and values in two parts."""
    out = {}
    for name, shape in shapes.of(model).items():
        if ".switch_mlp." in name:
            prefix, matrix = name.split(".switch_mlp.")
            out |= {f"{prefix}.experts.{e}.{matrix}": shape[1:] for e in range(shape[0])}
        elif ".embed_q." in name:
            out[name.replace("embed_q", "kv_b_proj")] = (
                config["num_attention_heads"] * (config["qk_nope_head_dim"] + config["v_head_dim"]), config["kv_lora_rank"])
        elif ".unembed_out." not in name:
            out[name] = shape
    return out


def join(tensors, experts):
    out = {k: v for k, v in tensors.items() if ".experts." not in k}
    for prefix in sorted({k.split(".experts.")[0] for k in tensors if ".experts." in k}):
        stack = lambda matrix: mx.stack([tensors[f"{prefix}.experts.{e}.{matrix}.weight"] for e in range(experts)])
        out[f"{prefix}.experts.gate_up_proj"] = mx.concatenate([stack("gate_proj"), stack("up_proj")], axis=1)
        out[f"{prefix}.experts.down_proj"] = stack("down_proj")
    return out


def spelled(config):
    """As transformers 5 writes it."""
    dense, layers = config["first_k_dense_replace"], config["num_hidden_layers"]
    config = dict(config, rope_parameters=dict(rope_type="default", rope_theta=config["rope_theta"]), rope_interleave=True,
                  mlp_layer_types=["dense"] * dense + ["sparse"] * (layers - dense), qk_head_dim=config["qk_nope_head_dim"] + config["qk_rope_head_dim"])
    return {k: v for k, v in config.items() if k not in ("first_k_dense_replace", "rope_theta", "rope_scaling")}


for folder, spec, rng in shapes.folders(__file__, SHAPES):
    config, joined = BASE | spec["config"], spec.get("joined", False)
    (folder / "config.json").write_text(json.dumps(spelled(config) if joined else config, indent=1))
    model = glm4_moe_lite.Model(glm4_moe_lite.ModelArgs.from_dict(config))
    tensors = shapes.invent(published(model, config), rng, spec["dtype"], initial)
    model.load_weights(list(model.sanitize(shapes.wide(tensors)).items()))
    shapes.write(folder / "golden.safetensors", shapes.golden(model, mx.array(rng.integers(0, config["vocab_size"], spec["rows"])),
                                                              lambda layer, h: create_attention_mask(h, None, return_array=True)))
    if joined:
        tensors = join(tensors, config["n_routed_experts"])
    if config["num_nextn_predict_layers"]:
        tensors[f"model.layers.{config['num_hidden_layers']}.eh_proj.weight"] = mx.zeros((config["hidden_size"], 2 * config["hidden_size"]))
    shapes.save(folder, tensors, spec.get("shards", 1))

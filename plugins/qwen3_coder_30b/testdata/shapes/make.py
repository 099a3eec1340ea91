"""Makes the checkpoints in this folder and what mlx-lm's qwen3_moe computes on them: random weights, unusual dimensions.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 numpy && python make.py

The tiny checkpoint has experts in every layer and friendly sizes; these have dense layers by either key, odd widths and
numbers of experts, weights that are not normalized, all experts at once, experts joined as transformers 5 saves them with
its spelling of config.json, every weight type and shards. All arithmetic is float32.
"""

import json
import pathlib

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3_moe

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


def initial(name, shape, rng):
    if len(shape) == 1:
        return 1 + 0.3 * rng.standard_normal(shape)
    return rng.standard_normal(shape) / np.sqrt(shape[-1])


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
    config, joined = BASE | spec["config"], spec.get("joined", False)
    (folder / "config.json").write_text(json.dumps(spelled(config, joined), indent=1))
    model = qwen3_moe.Model(qwen3_moe.ModelArgs.from_dict(config))
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
    save(folder, published(tensors, joined), spec.get("shards", 1))


for name, spec in SHAPES.items():
    make(name, spec)

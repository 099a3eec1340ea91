"""Makes the quantised checkpoints in plugins/*/testdata/quantised and what mlx-lm and mlx-vlm compute on the numbers that their packages make of
the codes: random weights, small dimensions, all formats in few models.

    pip install torch compressed-tensors==0.20.1 nvidia-modelopt==0.47.0 'mlx[cpu]==0.32.4' mlx-lm==0.32.2 transformers pillow requests tqdm \
        numpy ml_dtypes && pip install --no-deps mlx-vlm==0.7.10 autoawq==0.2.9 && python cuda/golden/quantised.py

compressed-tensors, AutoAWQ, ModelOpt, mlx-lm and mlx-vlm quantise, pack and name; GPTQ and FP8 with static scales are written by numpy from their
formats. Factors that a package rounds to half precision are kept so; products are those of float32.
"""

import copy
import json
import pathlib
import sys
import types

import ml_dtypes
import mlx.core as mx
import numpy as np
import torch
from awq.modules.linear.gemm import WQLinear_GEMM
from awq.utils.packing_utils import dequantize_gemm
from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
from compressed_tensors.compressors.naive_quantized.base import NaiveQuantizationCompressor
from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from mlx.utils import tree_flatten
from mlx_lm.models import glm4_moe_lite, qwen3, qwen3_moe, qwen3_next
from mlx_lm.models.base import create_attention_mask
from mlx_lm.utils import quantize_model
from mlx_vlm.models.qwen3_vl import qwen3_vl
from mlx_vlm.utils import skip_multimodal_module
from modelopt.torch.quantization.qtensor import FP8QTensor, NVFP4QTensor
from PIL import Image

here = pathlib.Path(__file__).resolve().parent
sys.path.append(str(here))
import shapes  # noqa: E402

shapes.NAMES |= {np.dtype(np.int32): "I32", np.dtype(np.int8): "I8", np.dtype(np.uint8): "U8", np.dtype(np.uint32): "U32"}
bf16, e4m3 = ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn
SCALE = {"int": lambda bits: 2 ** (bits - 1) - 1, "float": {8: 448.0, 4: 6.0}.get}


def plain(t):
    """A numpy array of a tensor of torch or mlx."""
    if isinstance(t, np.ndarray):
        return t
    if isinstance(t, mx.array):
        return np.array(t.astype(mx.float32)).astype(bf16) if t.dtype == mx.bfloat16 else np.array(t)
    t = t.detach().contiguous()
    if t.dtype == torch.bfloat16:
        return t.float().numpy().astype(bf16)
    return t.view(torch.uint8).numpy().view(e4m3) if t.dtype == torch.float8_e4m3fn else t.numpy()


# ---- formats: of a matrix in float32 the tensors of its module, and the numbers they stand for


def compressed(kind, bits, of="int", group=None, symmetric=True, strategy=None):
    strategy = strategy or ("group" if group else "channel")

    def make(w, rng):
        w = torch.tensor(w)
        args = QuantizationArgs(num_bits=bits, type=of, symmetric=symmetric, strategy=strategy, group_size=group)
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        parts = w.reshape(w.shape[0], -1, group or w.shape[1])
        state = {"weight": w, "weight_scale": (parts.abs().amax(-1) / SCALE[of](bits)).to(torch.bfloat16).float()}
        if strategy == "tensor":
            state["weight_scale"] = (w.abs().max() / SCALE[of](bits)).reshape(1)
        if strategy == "tensor_group":
            state["weight_global_scale"] = (448 * 6 / w.abs().max()).reshape(1)
            state["weight_scale"] = (state["weight_scale"] * state["weight_global_scale"]).to(torch.float8_e4m3fn).float()
        if not symmetric:
            low, high = parts.amin(-1), parts.amax(-1)
            state["weight_scale"] = (high - low) / (2**bits - 1)
            state["weight_zero_point"] = torch.clamp(torch.round(-low / state["weight_scale"]) - 2 ** (bits - 1), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)
        packed = kind.compress(dict(state), scheme)
        if kind is NVFP4PackedCompressor:  # whose own numbers are rounded to bf16, twice
            codes = packed["weight_packed"].numpy()
            codes = np.stack([codes & 15, codes >> 4], -1).reshape(w.shape)
            e2m1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
            exact = e2m1[codes] * np.repeat(packed["weight_scale"].float().numpy() / packed["weight_global_scale"].numpy(), 16, 1)
            again = kind.decompress(dict(packed), scheme)["weight"].float().numpy()
            assert np.abs(exact - again).max() < 0.01 * np.abs(again).max()
        else:
            exact = kind.decompress(dict(packed), scheme)["weight"].float().numpy()
        return {k: plain(v) for k, v in packed.items()}, exact

    return make


def mxfp4(w, rng):
    args = QuantizationArgs(num_bits=4, type="float", symmetric=True, strategy="group", group_size=32, scale_dtype=torch.uint8, zp_dtype=torch.uint8)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    scale = 2.0 ** torch.floor(torch.log2(torch.tensor(w).reshape(w.shape[0], -1, 32).abs().amax(-1)) - 2)
    packed = MXFP4PackedCompressor.compress({"weight": torch.tensor(w), "weight_scale": scale}, scheme)
    return {k: plain(v) for k, v in packed.items()}, MXFP4PackedCompressor.decompress(dict(packed), scheme)["weight"].float().numpy()


def awq(group):
    def make(w, rng):
        parts = torch.tensor(w).reshape(w.shape[0], -1, group)
        scales = ((parts.amax(-1) - parts.amin(-1)) / 15).half().float()
        zeros = torch.clamp(torch.round(-parts.amin(-1) / scales), 0, 15)
        line = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
        line.weight.data = (torch.clamp(torch.round(parts / scales[..., None]) + zeros[..., None], 0, 15) - zeros[..., None]).mul(scales[..., None]).reshape(w.shape)
        m = WQLinear_GEMM.from_linear(line, 4, group, False, scales.T.contiguous(), zeros.T.contiguous())
        tensors = {k: plain(getattr(m, k)) for k in ("qweight", "qzeros", "scales")}
        return tensors, dequantize_gemm(m.qweight, m.qzeros, m.scales.float(), 4, group).T.numpy()

    return make


def words(codes, bits):
    each = 32 // bits
    codes = codes.reshape(*codes.shape[:-1], -1, each).astype(np.uint64)
    return (codes << (np.arange(each, dtype=np.uint64) * np.uint64(bits))).sum(-1).astype(np.uint32).view(np.int32)


def gptq(bits, group, symmetric=True, ordered=True):
    def make(w, rng):
        out, width = w.shape
        groups = np.arange(width) // group
        g = groups if ordered else rng.permutation(groups)
        q, z, s = np.zeros((width, out), int), np.zeros((width // group, out), int), np.zeros((width // group, out), np.float16)
        for i in range(width // group):
            part = w[:, g == i]
            if symmetric:
                s[i], z[i] = np.abs(part).max(1) / (2 ** (bits - 1) - 1), 2 ** (bits - 1)
            else:  # no zero is 0, but some are 16, which is written 15: what is carried goes into the next
                s[i] = (part.max(1) - part.min(1)) / (2**bits - 1)
                z[i] = np.clip(np.round(-part.min(1) / s[i].astype(np.float32)), 0, 2**bits - 1)
            q[g == i] = np.clip(np.round(part.T / s[i].astype(np.float32)) + z[i], 0, 2**bits - 1)
        packed = (words(z, bits).view(np.uint32) - np.uint32({4: 0x11111111, 8: 0x01010101}[bits])).view(np.int32)
        exact = (q - z[g]).astype(np.float32) * s[g].astype(np.float32)
        return {"qweight": np.ascontiguousarray(words(q.T, bits).T), "qzeros": packed, "scales": s, "g_idx": g.astype(np.int32)}, exact.T

    return make


def nvfp4(w, rng):
    q, scale, second = NVFP4QTensor.quantize(torch.tensor(w), 16)
    exact = q.dequantize(dtype=torch.float32, scale=scale, double_scale=second, block_sizes={-1: 16})
    return {"weight": plain(q._quantized_data), "weight_scale": plain(scale), "weight_scale_2": plain(second.float().reshape(())),
            "input_scale": np.array(2, np.float32)}, exact.numpy()


def fp8(w, rng):
    scale = torch.tensor(w).abs().max() / 448
    q, scale = FP8QTensor.quantize(torch.tensor(w), scale)
    return {"weight": plain(q._quantized_data), "weight_scale": plain(scale.float().reshape(())), "input_scale": np.array(1, np.float32)}, \
        plain(q._quantized_data).astype(np.float32) * float(scale)


def static_fp8(scale_name, shape):
    def make(w, rng):
        scale = np.abs(w).max(1, keepdims=True) / 448 if shape == "row" else np.full(shape, np.abs(w).max() / 448)
        scale = scale.astype(np.float32)
        w8 = np.clip(w / (scale if shape == "row" else scale.reshape(-1)[0]), -448, 448).astype(e4m3)
        return {"weight": w8, scale_name: scale, "input_scale": np.array([1], np.float32)}, w8.astype(np.float32) * (scale if shape == "row" else scale.reshape(-1)[0])

    return make


int4, int4_channel = compressed(PackedQuantizationCompressor, 4, group=128), compressed(PackedQuantizationCompressor, 4)
int4_small, int4_zeros = compressed(PackedQuantizationCompressor, 4, group=32), compressed(PackedQuantizationCompressor, 4, group=32, symmetric=False)
int3, int6 = compressed(PackedQuantizationCompressor, 3, group=32), compressed(PackedQuantizationCompressor, 6, group=32, symmetric=False)
int8_packed, int8 = compressed(PackedQuantizationCompressor, 8), compressed(NaiveQuantizationCompressor, 8)
fp8_row, fp8_one = compressed(NaiveQuantizationCompressor, 8, of="float"), compressed(NaiveQuantizationCompressor, 8, of="float", strategy="tensor")
ct_nvfp4 = compressed(NVFP4PackedCompressor, 4, of="float", group=16, strategy="tensor_group")


def by(**formats):
    """The format of the first word that a name has; two words joined by __ must both be there."""
    return lambda name: next((f for word, f in formats.items() if all("." + w + "." in name or w in name.split(".") for w in word.split("__"))), None)


# ---- families


def dense(config):
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    return types.SimpleNamespace(model=model, names=shapes.of(model), mask=lambda layer, h: "causal", initial=shapes.initial)


def apart(names):
    """The release's names of experts that mlx-lm has together."""
    for name, shape in names.items():
        if ".switch_mlp." in name:
            yield from ((name.replace(".switch_mlp.", f".experts.{e}."), shape[1:]) for e in range(shape[0]))
        else:
            yield name, shape


def mixture(config):
    model = qwen3_moe.Model(qwen3_moe.ModelArgs.from_dict(config))
    return types.SimpleNamespace(model=model, names=dict(apart(shapes.of(model))), mask=lambda layer, h: "causal", initial=shapes.initial)


def next_initial(name, shape, rng):
    if name.endswith("A_log"):
        return np.log(rng.uniform(0.1, 8, shape))
    if len(shape) == 1:
        return name.endswith("linear_attn.norm.weight") + 0.3 * rng.standard_normal(shape)
    return rng.standard_normal(shape) / np.sqrt(shape[-1])


def hybrid(config):
    model = qwen3_next.Model(qwen3_next.ModelArgs.from_dict(config))
    names = {n: (s[0], 1, s[1]) if n.endswith("conv1d.weight") else s for n, s in apart(shapes.of(model))}
    return types.SimpleNamespace(model=model, names=names, mask=lambda layer, h: None if layer.is_linear else "causal", initial=next_initial)


def latent_initial(name, shape, rng):
    return 0.3 * rng.random(shape) if name.endswith("bias") else shapes.initial(name, shape, rng)


def latent(config):
    model = glm4_moe_lite.Model(glm4_moe_lite.ModelArgs.from_dict(config))
    both = (config["num_attention_heads"] * (config["qk_nope_head_dim"] + config["v_head_dim"]), config["kv_lora_rank"])
    names = {n.replace("embed_q", "kv_b_proj"): both if ".embed_q." in n else s for n, s in apart(shapes.of(model)) if ".unembed_out." not in n}
    return types.SimpleNamespace(model=model, names=names, mask=lambda layer, h: create_attention_mask(h, None, return_array=True), initial=latent_initial)


QWEN3 = dict(architectures=["Qwen3ForCausalLM"], model_type="qwen3", hidden_act="silu", attention_bias=False, max_position_embeddings=256, rope_theta=1e4,
             rms_norm_eps=1e-6, vocab_size=32, hidden_size=128, intermediate_size=64, num_attention_heads=2, num_key_value_heads=1, head_dim=32,
             tie_word_embeddings=True)
MOE = dict(architectures=["Qwen3MoeForCausalLM"], model_type="qwen3_moe", hidden_act="silu", attention_bias=False, max_position_embeddings=256, rope_theta=1e4,
           rms_norm_eps=1e-6, vocab_size=40, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=32,
           num_experts=3, num_experts_per_tok=2, moe_intermediate_size=64, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[0],
           tie_word_embeddings=False)
NEXT = dict(architectures=["Qwen3NextForCausalLM"], model_type="qwen3_next", hidden_act="silu", attention_bias=False, max_position_embeddings=256, rope_theta=1e4,
            rms_norm_eps=1e-6, vocab_size=40, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=32,
            partial_rotary_factor=0.5, full_attention_interval=2, linear_num_key_heads=1, linear_num_value_heads=2, linear_key_head_dim=16,
            linear_value_head_dim=32, linear_conv_kernel_dim=3, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=32,
            shared_expert_intermediate_size=32, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], tie_word_embeddings=False)
GLM = dict(architectures=["Glm4MoeLiteForCausalLM"], model_type="glm4_moe_lite", hidden_act="silu", attention_bias=False, max_position_embeddings=256, rope_theta=1e4,
           rms_norm_eps=1e-5, vocab_size=40, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
           first_k_dense_replace=1, q_lora_rank=32, kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32, n_routed_experts=3, n_group=1,
           topk_group=1, num_experts_per_tok=2, moe_intermediate_size=32, n_shared_experts=1, norm_topk_prob=True, routed_scaling_factor=1.8,
           num_nextn_predict_layers=0, tie_word_embeddings=False)


def groups(*all):
    return {f"group_{i}": dict(targets=["Linear"], format=form, weights=dict(num_bits=bits)) for i, (form, bits) in enumerate(all)}


CT = dict(quant_method="compressed-tensors", quantization_status="compressed", sparsity_config={}, transform_config={}, kv_cache_scheme=None)
CHECKPOINTS = {
    # each module in another format; that up_proj of the second layer is plain is said nowhere
    "qwen3_0_6b/compressed": (dense, QWEN3 | dict(num_hidden_layers=2), by(
        layers__0__q_proj=int4, layers__0__k_proj=int4_zeros, layers__0__v_proj=int8, layers__0__o_proj=fp8_row, layers__0__gate_proj=fp8_one,
        layers__0__up_proj=ct_nvfp4, layers__0__down_proj=int4_channel, layers__1__q_proj=int8_packed, layers__1__k_proj=mxfp4, layers__1__v_proj=int3,
        layers__1__o_proj=int6, layers__1__gate_proj=int4, layers__1__down_proj=ct_nvfp4),
        dict(quantization_config=CT | dict(format="mixed-precision", ignore=["lm_head"], config_groups=groups(
            ("pack-quantized", 4), ("pack-quantized", 3), ("pack-quantized", 6), ("pack-quantized", 8), ("int-quantized", 8), ("float-quantized", 8),
            ("nvfp4-pack-quantized", 4), ("mxfp4-pack-quantized", 4))))),
    "qwen3_0_6b/gptq": (dense, QWEN3 | dict(num_hidden_layers=1), by(
        q_proj=gptq(4, 128), k_proj=gptq(4, 32, symmetric=False), v_proj=gptq(4, 32, symmetric=False, ordered=False), o_proj=gptq(4, 32, ordered=False),
        gate_proj=gptq(4, 128), up_proj=gptq(8, 128), down_proj=gptq(8, 32, symmetric=False)),
        dict(quantization_config=dict(quant_method="gptq", bits=4, group_size=128, desc_act=True, sym=True, checkpoint_format="gptq", lm_head=False,
                                      dynamic={"+:.*(up|down)_proj": dict(bits=8)}))),
    "qwen3_0_6b/awq": (dense, QWEN3 | dict(num_hidden_layers=1), by(q_proj=awq(128), k_proj=awq(128), v_proj=awq(64), o_proj=awq(32), gate_proj=awq(128),
                                                                    up_proj=awq(32), down_proj=awq(32)),
        dict(quantization_config=dict(quant_method="awq", bits=4, group_size=128, zero_point=True, version="gemm", modules_to_not_convert=None))),
    # what is quantised is in hf_quant_config.json alone
    "qwen3_0_6b/modelopt": (dense, QWEN3 | dict(num_hidden_layers=1), by(q_proj=nvfp4, k_proj=fp8, v_proj=nvfp4, o_proj=fp8, gate_proj=nvfp4, up_proj=nvfp4), {}),
    "qwen3_0_6b/static_fp8": (dense, QWEN3 | dict(num_hidden_layers=1), by(
        q_proj=static_fp8("weight_scale", ()), k_proj=static_fp8("weight_scale_inv", ()), v_proj=static_fp8("weight_scale_inv", (1,)),
        o_proj=static_fp8("weight_scale", "row"), gate_proj=static_fp8("weight_scale_inv", "row"), up_proj=static_fp8("weight_scale", (1,))),
        dict(quantization_config=dict(quant_method="fp8", fmt="e4m3", activation_scheme="static", weight_block_size=None, ignored_layers=["lm_head"]))),
    "qwen3_coder_30b/compressed": (mixture, MOE, by(experts=int4_small, self_attn=int4_zeros, layers__0__mlp=int8),
        dict(quantization_config=CT | dict(format="pack-quantized", ignore=["lm_head"], config_groups=groups(("pack-quantized", 4))))),
    "qwen3_coder_next/compressed": (hybrid, NEXT, by(experts=fp8_row, shared_expert=fp8_row, q_proj=fp8_row, k_proj=fp8_row, v_proj=fp8_row, o_proj=fp8_row,
                                                     in_proj_qkvz=fp8_row, out_proj=fp8_row),
        dict(quantization_config=CT | dict(format="float-quantized", ignore=["re:.*mlp.gate$", "lm_head"], config_groups=groups(("float-quantized", 8))))),
    "glm_4_7_flash/compressed": (latent, GLM, by(experts=ct_nvfp4, shared_experts=ct_nvfp4, self_attn=ct_nvfp4, layers__0__mlp=ct_nvfp4),
        dict(quantization_config=CT | dict(format="nvfp4-pack-quantized", ignore=["lm_head"], config_groups=groups(("nvfp4-pack-quantized", 4))))),
}
# affine, in two sizes of groups, with single modules in more bits; and small floats
MLX = {
    "qwen3_0_6b/mlx": (dense, QWEN3 | dict(num_hidden_layers=2), dict(group_size=64, bits=4),
                       lambda path, m: {"group_size": 32, "bits": 8} if "down_proj" in path else {"group_size": 128, "bits": 4} if "gate" in path else "v_proj" not in path),
    "qwen3_0_6b/mlx_floats": (dense, QWEN3 | dict(num_hidden_layers=1), dict(group_size=32, bits=4, mode="mxfp4"),
                              lambda path, m: {"group_size": 16, "bits": 4, "mode": "nvfp4"} if "mlp" in path else
                              {"group_size": 32, "bits": 8, "mode": "mxfp8"} if "q_proj" in path else {"group_size": 64, "bits": 8} if "v_proj" in path else True),
    "qwen3_coder_30b/mlx": (mixture, MOE, dict(group_size=32, bits=4), None),
    "qwen3_coder_next/mlx": (hybrid, NEXT, dict(group_size=32, bits=4), None),
    "glm_4_7_flash/mlx": (latent, GLM, dict(group_size=32, bits=4), None),
}
ROWS = 12


def folder_of(name):
    plugin, folder = name.split("/")
    path = here.parents[1] / "plugins" / plugin / "testdata/quantised" / folder
    path.mkdir(parents=True, exist_ok=True)
    return path, np.random.default_rng(list(name.encode()))


def write_golden(folder, family, rng):
    ids = mx.array(rng.integers(0, family.model.args.vocab_size, ROWS))
    golden = shapes.golden(family.model, ids, family.mask)
    shapes.write(folder / "golden.safetensors", {k: mx.contiguous(t) for k, t in golden.items()})


def quantised(name, make, config, rule, more):
    folder, rng = folder_of(name)
    family, tensors, numbers = make(config), {}, {}
    for key, shape in sorted(family.names.items()):
        w = np.asarray(family.initial(key, shape, rng), np.float32)
        form = rule(key) if len(shape) == 2 and key.endswith(".weight") and not key.endswith("norm.weight") else None
        if form is None or ".gate." in key and "_proj" not in key:
            tensors[key] = w.astype(bf16)
            numbers[key] = tensors[key].astype(np.float32)
            continue
        module, numbers[key] = form(w, rng)
        tensors |= {key.removesuffix("weight") + k: t for k, t in module.items()}
    if name.endswith("modelopt"):
        tensors |= {"model.layers.0.self_attn.k_proj.k_scale": np.array(1, np.float32), "model.layers.0.self_attn.v_proj.v_scale": np.array(1, np.float32)}
        (folder / "hf_quant_config.json").write_text(json.dumps(dict(producer=dict(name="modelopt", version="0.47.0"), quantization=dict(
            quant_algo="MIXED_PRECISION", kv_cache_quant_algo="FP8", exclude_modules=["lm_head"])), indent=1))
    (folder / "config.json").write_text(json.dumps(config | more, indent=1))
    family.model.load_weights(list(sanitized(family.model, {k: mx.array(w) for k, w in numbers.items()}).items()))
    write_golden(folder, family, rng)
    shapes.write(folder / "model.safetensors", tensors)


def sanitized(model, tensors):
    return model.sanitize(tensors) if hasattr(model, "sanitize") else tensors


def wide(tensors, config):
    """Numbers of the tensors of a quantised model of mlx."""
    said, out = config["quantization"], {}
    for name, t in tensors.items():
        base, kind = name.rsplit(".", 1)
        if kind in ("scales", "biases") and base + ".scales" in tensors:
            continue
        if base + ".scales" in tensors:
            how = said[base] if base in said else said
            mode = how.get("mode", "affine")
            rest = [tensors[base + ".scales"], tensors.get(base + ".biases")]
            if mode == "affine":
                rest = [r.astype(mx.float32) for r in rest]
            t = mx.dequantize(t, *rest, group_size=how["group_size"], bits=how["bits"], mode=mode)
        out[name] = t.astype(mx.float32)
    return out


def of_mlx(name, make, config, how, predicate):
    folder, rng = folder_of(name)
    family = make(config)
    tensors = {k: mx.array(np.asarray(family.initial(k, s, rng), np.float32)).astype(mx.bfloat16) for k, s in sorted(family.names.items())}
    family.model.load_weights(list(sanitized(family.model, tensors).items()))
    model, config = quantize_model(family.model, config, how["group_size"], how["bits"], mode=how.get("mode", "affine"), quant_predicate=predicate)
    config["quantization_config"] = config["quantization"]  # as mlx-lm writes it
    tensors = dict(tree_flatten(model.parameters()))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    family = make(config)
    family.model.load_weights(list(wide(tensors, config).items()))
    write_golden(folder, family, rng)
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)


# ---- a model that sees, whose tower packages leave as it is

VL = dict(architectures=["Qwen3VLForConditionalGeneration"], model_type="qwen3_vl", image_token_id=3, video_token_id=4, vision_start_token_id=1,
          vision_end_token_id=2, tie_word_embeddings=True,
          text_config=dict(model_type="qwen3_vl_text", hidden_act="silu", attention_bias=False, max_position_embeddings=256, rms_norm_eps=1e-6, vocab_size=32,
                           hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=32, rope_theta=1e4,
                           rope_scaling=dict(rope_type="default", mrope_section=[6, 5, 5], mrope_interleaved=True)),
          vision_config=dict(model_type="qwen3_vl", hidden_act="gelu_pytorch_tanh", in_channels=3, depth=2, hidden_size=16, intermediate_size=16, num_heads=2,
                             out_hidden_size=64, patch_size=6, temporal_patch_size=2, spatial_merge_size=2, num_position_embeddings=9, deepstack_visual_indexes=[0]))


def vl_model(numbers=None):
    config = copy.deepcopy(VL)  # the model changes what it is given
    config["text_config"]["tie_word_embeddings"] = True
    model = qwen3_vl.Model(qwen3_vl.ModelConfig.from_dict(config))
    if numbers:
        model.load_weights(list(numbers.items()))
    return model


def vl_published(name):
    return name.replace("language_model.model.", "model.language_model.").replace("vision_tower.", "model.visual.")


def vl_golden(folder, model, rng):
    """A picture of 24 x 12 pixels, which are eight patches and two tokens, between some text."""
    p, m = VL["vision_config"]["patch_size"], VL["vision_config"]["spatial_merge_size"]
    picture = rng.integers(0, 256, (24, 12, 3), dtype=np.uint8)
    Image.fromarray(picture).save(folder / "picture.png")
    (folder / "preprocessor_config.json").write_text(json.dumps(dict(patch_size=p, temporal_patch_size=2, merge_size=m, image_mean=[0.5] * 3, image_std=[0.5] * 3,
                                                                     size=dict(shortest_edge=1, longest_edge=1 << 16))))
    x = (np.asarray(picture, np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    gh, gw = x.shape[0] // p, x.shape[1] // p
    x = x.reshape(gh // m, m, p, gw // m, m, p, 3).transpose(0, 3, 1, 4, 6, 2, 5)
    pixels, grids = mx.array(np.repeat(x[:, :, :, :, :, None], 2, axis=5).reshape(gh * gw, -1)), mx.array([[1, gh, gw]])
    ids = mx.array([[5, 6, 1] + [3] * (gh * gw // (m * m)) + [2] + [int(i) for i in rng.integers(5, 32, 5)]])
    tower, language = model.vision_tower, model.language_model
    features, deepstack = tower(pixels, grids)
    seen = ids == 3
    h = qwen3_vl.masked_scatter(language.model.embed_tokens(ids), mx.broadcast_to(seen[..., None], (*ids.shape, features.shape[1])), features)
    positions, _ = language.get_rope_index(ids, grids, None, None)
    out = {"input_ids": ids[0].astype(mx.int64), "embeddings": h[0]}
    for i, layer in enumerate(language.model.layers):
        out[f"input.{i}"] = h[0]
        h = layer(h, "causal", None, positions)
        out[f"layer.{i}"] = h[0]
        if i < len(deepstack):
            h = language.model._deepstack_process(h, seen, deepstack[i])
    h = language.model.norm(h)
    out["final"], out["logits"] = h[0], language.model.embed_tokens.as_linear(h)[0]
    shapes.write(folder / "golden.safetensors", {k: mx.contiguous(t) for k, t in out.items()})


def vl_initial(rng):
    for name, shape in sorted(shapes.of(vl_model()).items()):
        w = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else (not name.endswith("bias")) + 0.3 * rng.standard_normal(shape)
        yield name, w.astype(np.float32)


def vl_compressed(name):
    folder, rng = folder_of(name)
    tensors, numbers = {}, {}
    for key, w in vl_initial(rng):
        if "_proj." in key and "language_model" in key:
            module, numbers[key] = int4_small(w, rng)
            tensors |= {vl_published(key).removesuffix("weight") + k: t for k, t in module.items()}
            continue
        numbers[key] = w.astype(bf16).astype(np.float32)
        tensors[vl_published(key)] = (w.transpose(0, 4, 1, 2, 3) if key.endswith("patch_embed.proj.weight") else w).astype(bf16)
    ignore = ["re:.*lm_head", "re:visual.*", "re:model.visual.*"]
    (folder / "config.json").write_text(json.dumps(VL | dict(quantization_config=CT | dict(format="pack-quantized", ignore=ignore, config_groups=groups(
        ("pack-quantized", 4)))), indent=1))
    vl_golden(folder, vl_model({k: mx.array(w) for k, w in numbers.items()}), rng)
    shapes.write(folder / "model.safetensors", tensors)


def vl_mlx(name):
    folder, rng = folder_of(name)
    model = vl_model({k: mx.array(w).astype(mx.bfloat16) for k, w in vl_initial(rng)})
    model, config = quantize_model(model, copy.deepcopy(VL), 32, 4, quant_predicate=lambda path, m: not skip_multimodal_module(path))
    config["quantization_config"] = config["quantization"]
    tensors = dict(tree_flatten(model.parameters()))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    vl_golden(folder, vl_model(wide(tensors, config)), rng)
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)


for name, args in CHECKPOINTS.items():
    if len(sys.argv) < 2 or sys.argv[1] in name:
        quantised(name, *args)
for name, args in MLX.items():
    if len(sys.argv) < 2 or sys.argv[1] in name:
        of_mlx(name, *args)
for name, make in {"qwen3_vl_2b/compressed": vl_compressed, "qwen3_vl_2b/mlx": vl_mlx}.items():
    if len(sys.argv) < 2 or sys.argv[1] in name:
        make(name)

"""Makes the modules in this folder: random weights as compressed-tensors and MLX quantise them, with what the packages make of them again, and
as AWQ, GPTQ and ModelOpt lay them out, written and read by numpy from their published formats.

    pip install torch compressed-tensors==0.20.1 'mlx[cpu]==0.32.4' safetensors numpy ml_dtypes && python make.py

All factors are F32, so that the packages' products are those of f32.
"""

import json
import pathlib

import ml_dtypes
import mlx.core as mx
import numpy as np
import torch
from compressed_tensors.compressors.mxfp8.base import MXFP8QuantizationCompressor
from compressed_tensors.compressors.naive_quantized.base import NaiveQuantizationCompressor
from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(8)
configs = {}


def save(name, config, tensors, expected):
    configs[name] = config
    tensors = {"m." + k: torch.as_tensor(v).contiguous() for k, v in tensors.items()}
    tensors["expected"] = torch.as_tensor(np.asarray(expected, np.float32)).contiguous()
    save_file(tensors, here / (name + ".safetensors"))


def weights(out, width):
    return torch.tensor(rng.standard_normal((out, width)).astype(np.float32))


def compressed(name, kind, out, width, bits, group=None, symmetric=True, of="int", strategy=None, more={}):
    w = weights(out, width)
    strategy = strategy or ("group" if group else "channel")
    args = QuantizationArgs(num_bits=bits, type=of, symmetric=symmetric, strategy=strategy, group_size=group)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    parts = w.reshape(out, -1, group or width)
    most = 2 ** (bits - 1) - 1 if of == "int" else {8: 448.0, 4: 6.0}[bits]
    state = {"weight": w}
    if strategy == "tensor":
        state["weight_scale"] = (w.abs().max() / most).reshape(1)
    elif symmetric:
        state["weight_scale"] = parts.abs().amax(-1) / most
    else:
        low, high = parts.amin(-1), parts.amax(-1)
        state["weight_scale"] = (high - low) / (2**bits - 1)
        state["weight_zero_point"] = torch.clamp(torch.round(-low / state["weight_scale"]) - 2 ** (bits - 1), -2 ** (bits - 1), 2 ** (bits - 1) - 1).to(torch.int8)
    state.update({k: f(state) for k, f in more.items()})
    packed = kind.compress(state, scheme)
    again = kind.decompress(packed, scheme)["weight"]
    save(name, {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": bits}}}}}, packed, again.float())


compressed("ct_int4", PackedQuantizationCompressor, 24, 128, 4, 32)
compressed("ct_int4_zeros", PackedQuantizationCompressor, 20, 96, 4, 32, symmetric=False)
compressed("ct_int8_packed", PackedQuantizationCompressor, 9, 70, 8)
compressed("ct_int3", PackedQuantizationCompressor, 11, 96, 3, 32)
compressed("ct_int6_zeros", PackedQuantizationCompressor, 13, 128, 6, 64, symmetric=False)
compressed("ct_int8", NaiveQuantizationCompressor, 9, 70, 8)
compressed("ct_int8_group", NaiveQuantizationCompressor, 9, 64, 8, 32)
compressed("ct_fp8_channel", NaiveQuantizationCompressor, 9, 70, 8, of="float")
compressed("ct_fp8_tensor", NaiveQuantizationCompressor, 9, 70, 8, of="float", strategy="tensor")
compressed("ct_nvfp4", NVFP4PackedCompressor, 10, 64, 4, 16, of="float", strategy="tensor_group",
           more={"weight_global_scale": lambda s: (448 * 6 / s["weight"].abs().max()).reshape(1),
                 "weight_scale": lambda s: (s["weight_scale"] * (448 * 6 / s["weight"].abs().max())).to(torch.float8_e4m3fn).float()})


def words(codes, bits):
    """Codes along the last dimension as words of 32 bits, low first."""
    each = 32 // bits
    codes = codes.reshape(*codes.shape[:-1], -1, each).astype(np.uint64)
    return (codes << (np.arange(each, dtype=np.uint64) * np.uint64(bits))).sum(-1).astype(np.uint32).view(np.int32)


def awq():
    width, out, group = 64, 24, 32
    q, z = rng.integers(0, 16, (width, out)), rng.integers(0, 16, (width // group, out))
    s = rng.uniform(0.01, 0.1, (width // group, out)).astype(np.float16)
    order = [0, 2, 4, 6, 1, 3, 5, 7]  # output of each nibble of a word
    lay = lambda x: words(x.reshape(x.shape[0], -1, 8)[:, :, order].reshape(x.shape), 4)
    expected = (q - np.repeat(z, group, 0)).astype(np.float32) * np.repeat(s, group, 0).astype(np.float32)
    save("awq", {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm"}},
         {"qweight": lay(q), "qzeros": lay(z), "scales": s}, expected.T)


def gptq(name, bits, form, ordered, width=64):
    out, group = 32, 16
    q, z = rng.integers(0, 2**bits, (width, out)), rng.integers(0, 2**bits, (-(-width // group), out))
    s = rng.uniform(0.01, 0.1, z.shape).astype(np.float16)
    g = np.arange(width) // group if ordered else rng.permutation(np.arange(width) // group)
    packed = words(z, bits)
    if form == "gptq":  # zeros are kept one less, as whole words: what is borrowed is borrowed across fields
        packed = (packed.view(np.uint32) - np.uint32({2: 0x55555555, 4: 0x11111111, 8: 0x01010101}[bits])).view(np.int32)
    expected = (q - z[g]).astype(np.float32) * s[g].astype(np.float32)
    save(name, {"quantization_config": {"quant_method": "gptq", "bits": bits, "group_size": group, "checkpoint_format": form}},
         {"qweight": words(q.T, bits).T, "qzeros": packed, "scales": s, "g_idx": g.astype(np.int32)}, expected.T)


def modelopt():
    out, width = 9, 64
    codes = rng.integers(0, 16, (out, width)).astype(np.uint8)
    e2m1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0.0, -.5, -1, -1.5, -2, -3, -4, -6], np.float32)
    scale = rng.uniform(0.5, 400, (out, width // 16)).astype(ml_dtypes.float8_e4m3fn)
    by = np.float32(3e-5)
    factors = scale.astype(np.float32) * by
    save("modelopt_nvfp4", {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}},
         {"weight": codes[:, ::2] | codes[:, 1::2] << 4, "weight_scale": torch.tensor(scale.view(np.uint8)).view(torch.float8_e4m3fn), "weight_scale_2": torch.tensor(by),
          "input_scale": torch.tensor(np.float32(2))}, e2m1[codes] * np.repeat(factors, 16, 1))
    w = rng.uniform(-400, 400, (out, width)).astype(ml_dtypes.float8_e4m3fn)
    save("modelopt_fp8", {"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}},
         {"weight": torch.tensor(w.view(np.uint8)).view(torch.float8_e4m3fn), "weight_scale": torch.tensor(np.float32(0.003)), "input_scale": torch.tensor(np.float32(1))},
         w.astype(np.float32) * np.float32(0.003))


def mlx(name, bits, group):
    w = mx.array(weights(12, 128).numpy())
    q, scales, biases = mx.quantize(w, group_size=group, bits=bits)
    again = mx.dequantize(q, scales, biases, group_size=group, bits=bits)
    q = torch.tensor(np.array(q).view(np.int32)).view(torch.uint32)
    save(name, {"quantization": {"group_size": group, "bits": bits}, "quantization_config": {"group_size": group, "bits": bits}},
         {"weight": q, "scales": np.array(scales), "biases": np.array(biases)}, np.array(again))


awq()
gptq("gptq", 4, "gptq", True)
gptq("gptq_order", 4, "gptq", False)
gptq("gptq_v2", 4, "gptq_v2", False)
gptq("gptq8", 8, "gptq", True)
gptq("gptq2", 2, "gptq", True)
modelopt()
mlx("mlx4", 4, 64)
mlx("mlx8", 8, 32)
mlx("mlx6", 6, 128)
mlx("mlx3", 3, 64)
gptq("gptq_rest", 4, "gptq_v2", True, width=72)  # the last group has half as many
compressed("ct_mxfp8", MXFP8QuantizationCompressor, 9, 64, 8, 32, of="float", more={"weight_scale": lambda s: 2.0 ** torch.floor(torch.log2(s["weight_scale"]))})
(here / "configs.json").write_text(json.dumps(configs, indent=1) + "\n")

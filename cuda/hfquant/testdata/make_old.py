"""Makes the modules ct_old_* in this folder: what compressed-tensors wrote before 0.18, when words had whole codes only and, with columns in the order
of their activations, each column's group. After make.py:

    pip install torch compressed-tensors==0.17.1 safetensors && python make_old.py
"""

import json
import pathlib

import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
configs = json.loads((here / "configs.json").read_text())


def old(name, out, width, bits, group, symmetric=True, ordered=False):
    rng = torch.Generator().manual_seed(bits)
    w = torch.randn(out, width, generator=rng)
    args = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=group, actorder="group" if ordered else None)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    index = torch.arange(width) // group
    state = {"weight": w}
    if ordered:
        index = state["weight_g_idx"] = index[torch.randperm(width, generator=rng)].int()
    parts = torch.stack([w[:, index == g] for g in range(width // group)], 1)
    if symmetric:
        state["weight_scale"] = parts.abs().amax(-1) / (2 ** (bits - 1) - 1)
    else:
        low, high = parts.amin(-1), parts.amax(-1)
        state["weight_scale"] = (high - low) / (2**bits - 1)
        half = 2 ** (bits - 1)
        state["weight_zero_point"] = torch.clamp(torch.round(-low / state["weight_scale"]) - half, -half, half - 1).to(torch.int8)
    packed = PackedQuantizationCompressor.compress(state, scheme)
    again = PackedQuantizationCompressor.decompress(packed, scheme)["weight"]
    tensors = {"m." + k: v.contiguous() for k, v in packed.items()} | {"expected": again.float()}
    save_file(tensors, here / (name + ".safetensors"))
    configs[name] = {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": bits}}}}}


old("ct_old_int3", 11, 96, 3, 32)
old("ct_old_int5_zeros", 12, 96, 5, 32, symmetric=False)
old("ct_old_int6_zeros", 20, 96, 6, 32, symmetric=False)
old("ct_old_int7", 9, 96, 7, 32)
old("ct_old_order", 12, 96, 4, 32, ordered=True)
(here / "configs.json").write_text(json.dumps(configs, indent=1) + "\n")

"""What the scripts plugins/*/testdata/shapes/make.py have in common: invented weights, what a reference computes of them layer by layer,
and the files that package golden reads. A script says which shapes, and which names and spellings its class has."""

import json
import pathlib
import struct

import ml_dtypes
import mlx.core as mx
import mlx.nn
import numpy as np
from mlx.utils import tree_flatten

NAMES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int64): "I64", np.dtype(ml_dtypes.bfloat16): "BF16",
         np.dtype(ml_dtypes.float8_e4m3fn): "F8_E4M3"}


def folders(script, shapes):
    """For each shape its folder beside the script, what the script says of it, and random numbers of its own."""
    for name, spec in shapes.items():
        folder = pathlib.Path(script).parent / name
        folder.mkdir(exist_ok=True)
        yield folder, spec, np.random.default_rng(list(name.encode()))


def initial(name, shape, rng):
    """Vectors are near 1, as they scale in norms, and matrices keep the size of what passes through them."""
    if len(shape) == 1:
        return 1 + 0.3 * rng.standard_normal(shape)
    return rng.standard_normal(shape) / np.sqrt(shape[-1])


def give_biases(model):
    """The biases of attention that some models of mlx-lm lack."""
    for layer in model.layers:
        for proj in "q_proj", "k_proj", "v_proj", "o_proj":
            out, width = layer.self_attn[proj].weight.shape
            layer.self_attn[proj] = mlx.nn.Linear(width, out, bias=True)


def of(model):
    """The names and shapes of a model's parameters."""
    return {k: v.shape for k, v in tree_flatten(model.parameters())}


def invent(shapes, rng, dtype, initial=initial):
    return {k: mx.array(initial(k, s, rng)).astype(dtype) for k, s in sorted(shapes.items())}


def wide(tensors):
    """The same numbers in float32."""
    return {k: v.astype(mx.float32) for k, v in tensors.items()}


def quantize(w, block, scale_type):
    """w as 8-bit floats and a scale for each block, and the float32 they stand for."""
    rows, cols = (-(-n // b) for n, b in zip(w.shape, block))
    scale = np.array([[np.abs(w[i * block[0]:(i + 1) * block[0], j * block[1]:(j + 1) * block[1]]).max() / 448 for j in range(cols)]
                      for i in range(rows)]).astype(scale_type)
    each = np.repeat(np.repeat(scale.astype(np.float32), block[0], 0), block[1], 1)[:w.shape[0], :w.shape[1]]
    w8 = np.clip(w / each, -448, 448).astype(ml_dtypes.float8_e4m3fn)
    return w8, scale, w8.astype(np.float32) * each


def invent_fp8(shapes, rng, block, scale, keep=()):
    """Projections in 8-bit floats but for those kept, all else in bf16; and the float32 they stand for."""
    tensors, plain = {}, {}
    for key, shape in sorted(shapes.items()):
        w = initial(key, shape, rng)
        if len(shape) == 2 and "_proj" in key and not any(k in key for k in keep):
            tensors[key], tensors[key + "_scale_inv"], plain[key] = quantize(w, block, scale)
        else:
            tensors[key] = w.astype(ml_dtypes.bfloat16)
            plain[key] = tensors[key].astype(np.float32)
    return tensors, {k: mx.array(w) for k, w in plain.items()}


def fp8(config, block):
    """The config of what invent_fp8 made."""
    return config | dict(quantization_config=dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", weight_block_size=list(block)))


def golden(model, ids, mask=lambda layer, h: "causal"):
    """What the reference computes of a prompt: embeddings, each layer, the final state and the logits."""
    h = model.model.embed_tokens(ids[None])
    out = {"input_ids": ids.astype(mx.int64), "embeddings": h[0]}
    for i, layer in enumerate(model.model.layers):
        h = layer(h, mask(layer, h), None)
        out[f"layer.{i}"] = h[0]
    out["final"] = model.model.norm(h)[0]
    out["logits"] = model(ids[None])[0]
    return out


def write(path, tensors):
    """A safetensors file of mlx's or numpy's arrays: mlx has no 8-bit floats."""
    if all(isinstance(t, mx.array) for t in tensors.values()):
        mx.save_safetensors(str(path), tensors)
        return
    header, data = {}, b""
    for name, t in sorted(tensors.items()):
        raw = np.ascontiguousarray(t).tobytes()
        header[name] = dict(dtype=NAMES[t.dtype], shape=list(t.shape), data_offsets=[len(data), len(data) + len(raw)])
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def save(folder, tensors, shards=1):
    """The weights, in shards that take turns: a matrix and its scales come to lie in different files."""
    if shards == 1:
        write(folder / "model.safetensors", tensors)
        return
    where = {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(sorted(tensors.items())[i::shards])
        write(folder / file, part)
        where |= dict.fromkeys(part, file)
    total = sum(t.nbytes for t in tensors.values())
    (folder / "model.safetensors.index.json").write_text(json.dumps(dict(metadata=dict(total_size=total), weight_map=where), indent=0))

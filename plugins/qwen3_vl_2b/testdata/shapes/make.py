"""Makes the checkpoints in this folder and what mlx-vlm's qwen3_vl computes on them: random weights, unusual dimensions.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 pillow requests tqdm numpy ml_dtypes && pip install --no-deps mlx-vlm==0.7.10 && python make.py

The tiny checkpoint has friendly sizes; these have other patches, frames and groups, position tables that are no square or
have one entry, DeepStack from blocks out of order, from none, and more of it than decoder layers, sections of other sizes,
heads that no vector length divides, every weight type, shards and the older names. All arithmetic is float32. The pictures
have the sizes they are seen in, so nothing is resized.
"""

import copy
import json
import pathlib
import sys

import mlx.core as mx
import numpy as np
from mlx_vlm.models.qwen3_vl import qwen3_vl
from PIL import Image

sys.path.append(str(pathlib.Path(__file__).resolve().parents[4] / "cuda/golden"))
import shapes  # noqa: E402

TEXT = dict(model_type="qwen3_vl_text", hidden_act="silu", attention_bias=False, max_position_embeddings=256, rms_norm_eps=1e-6)
VISION = dict(model_type="qwen3_vl", hidden_act="gelu_pytorch_tanh", in_channels=3)
SHAPES = {
    "groups_of_nine_bf16": dict(
        dtype=mx.bfloat16, tied=False, pictures=[(36, 54), (18, 18)],
        text=dict(vocab_size=61, hidden_size=40, intermediate_size=37, num_hidden_layers=4, num_attention_heads=5, num_key_value_heads=1,
                  head_dim=16, rope_theta=1e4, rope_scaling=dict(rope_type="default", mrope_section=[3, 2, 3], mrope_interleaved=True)),
        vision=dict(depth=3, hidden_size=48, intermediate_size=37, num_heads=4, out_hidden_size=40, patch_size=6, temporal_patch_size=3,
                    spatial_merge_size=3, num_position_embeddings=50, deepstack_visual_indexes=[2, 0])),
    "no_groups_old_names_f16": dict(
        dtype=mx.float16, tied=True, old=True, pictures=[(8, 72)],
        text=dict(vocab_size=64, hidden_size=48, intermediate_size=100, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3,
                  head_dim=10, rope_theta=5e5, rope_scaling=dict(rope_type="default", mrope_section=[3, 1, 1], mrope_interleaved=True)),
        vision=dict(depth=2, hidden_size=33 * 4, intermediate_size=50, num_heads=33, out_hidden_size=48, patch_size=8, temporal_patch_size=1,
                    spatial_merge_size=1, num_position_embeddings=25, deepstack_visual_indexes=[])),
    "much_deepstack_f32": dict(
        dtype=mx.float32, tied=True, shards=3, pictures=[(20, 30), (60, 50), (10, 10)],
        text=dict(vocab_size=33, hidden_size=24, intermediate_size=11, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=3,
                  head_dim=6, rope_theta=1e4, rope_scaling=dict(rope_type="default", mrope_section=[1, 9, 0], mrope_interleaved=True)),
        vision=dict(depth=4, hidden_size=60, intermediate_size=41, num_heads=3, out_hidden_size=24, patch_size=5, temporal_patch_size=2,
                    spatial_merge_size=2, num_position_embeddings=1, deepstack_visual_indexes=[0, 1, 3, 2])),
}
IMAGE, VIDEO, START, END = 3, 4, 1, 2


def initial(name, shape, rng):
    if len(shape) == 1:
        mean = 0 if name.endswith("bias") else 1
        return mean + 0.3 * rng.standard_normal(shape)
    return rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))


def patches(picture, v):
    """(patches, channels * frames * rows * columns): groups, then the patches in each, left to right and top to bottom."""
    p, m = v["patch_size"], v["spatial_merge_size"]
    x = (np.asarray(picture, np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    gh, gw = x.shape[0] // p, x.shape[1] // p
    x = x.reshape(gh // m, m, p, gw // m, m, p, 3).transpose(0, 3, 1, 4, 6, 2, 5)  # group row, column, row, column, channel, y, x
    x = np.repeat(x[:, :, :, :, :, None], v["temporal_patch_size"], axis=5)
    return x.reshape(gh * gw, -1), [1, gh, gw]


def published(name):
    for a, b in (("language_model.model.", "model.language_model."), ("vision_tower.", "model.visual."), ("language_model.lm_head.", "lm_head.")):
        if name.startswith(a):
            return b + name[len(a):]
    raise SystemExit(name)


def old(name):
    return name.replace("model.language_model.", "language_model.model.").replace("model.visual.", "visual.")


for folder, spec, rng in shapes.folders(__file__, SHAPES):
    config = dict(architectures=["Qwen3VLForConditionalGeneration"], model_type="qwen3_vl", image_token_id=IMAGE, video_token_id=VIDEO,
                  vision_start_token_id=START, vision_end_token_id=END, tie_word_embeddings=spec["tied"],
                  text_config=TEXT | spec["text"], vision_config=VISION | spec["vision"])
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    mine = copy.deepcopy(config)  # the model changes what it is given
    mine["text_config"]["tie_word_embeddings"] = spec["tied"]
    model = qwen3_vl.Model(qwen3_vl.ModelConfig.from_dict(mine))
    tower, language = model.vision_tower, model.language_model
    tensors = {}
    for k, shape in sorted(shapes.of(model).items()):
        if k.endswith("patch_embed.proj.weight"):
            shape = (shape[0], shape[4], *shape[1:4])  # as files have it
        tensors[k] = mx.array(initial(k, shape, rng)).astype(spec["dtype"])
    model.load_weights([(k, (v.transpose(0, 2, 3, 4, 1) if k.endswith("patch_embed.proj.weight") else v).astype(mx.float32))
                        for k, v in tensors.items()])

    v, m = config["vision_config"], config["vision_config"]["spatial_merge_size"]
    ids, pixels, grids = [5, 6, 7], [], []
    for i, (height, width) in enumerate(spec["pictures"]):
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"picture{i}.png")
        rows, grid = patches(picture, v)
        pixels.append(rows), grids.append(grid)
        ids += [START] + [IMAGE] * (len(rows) // (m * m)) + [END] + list(rng.integers(5, config["text_config"]["vocab_size"], 4 + i))
    ids, grids, pixels = mx.array([[int(i) for i in ids]]), mx.array(grids), mx.array(np.concatenate(pixels))
    features, deepstack = tower(pixels, grids)
    seen = ids == IMAGE
    h = qwen3_vl.masked_scatter(language.model.embed_tokens(ids), mx.broadcast_to(seen[..., None], (*ids.shape, features.shape[1])), features)
    positions, _ = language.get_rope_index(ids, grids, None, None)
    out = {"input_ids": ids[0].astype(mx.int64), "position_ids": positions[:, 0].astype(mx.int64), "pixel_values": pixels,
           "vision.features": features, "embeddings": h[0]}
    out |= {f"vision.deepstack.{i}": d for i, d in enumerate(deepstack)}
    for i, layer in enumerate(language.model.layers):
        out[f"input.{i}"] = h[0]
        h = layer(h, "causal", None, positions)
        out[f"layer.{i}"] = h[0]
        if i < len(deepstack):
            h = language.model._deepstack_process(h, seen, deepstack[i])
    h = language.model.norm(h)
    out["final"] = h[0]
    out["logits"] = (language.model.embed_tokens.as_linear(h) if spec["tied"] else language.lm_head(h))[0]
    shapes.write(folder / "golden.safetensors", {k: mx.contiguous(t) for k, t in out.items()})

    spell = (lambda k: old(published(k))) if spec.get("old") else published
    shapes.save(folder, {spell(k): t for k, t in tensors.items()}, spec.get("shards", 1))

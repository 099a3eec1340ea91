"""Makes blocks.json: random blocks of each type, and what PyPI's gguf makes of them.

    pip install gguf==0.19.0 numpy && python make.py

Factors are such that products are numbers: any code, any 8-bit factor, halves between 2^-24 and 4 of both signs.
"""

import base64
import json
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, quants

HALVES = {  # where a block has numbers in half precision
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2],
    T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0], T.MXFP4: [], T.NVFP4: [],
}

rng = np.random.default_rng(20)
out = {}
for kind, places in HALVES.items():
    values, size = GGML_QUANT_SIZES[kind]
    n = max(4, 512 // values)
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for at in places:
        half = (rng.standard_normal(n) * 2.0 ** rng.integers(-14, 1, n)).astype(np.float16)
        half[0], half[1] = 2.0 ** -24, 0  # the smallest there is, and nothing
        blocks[:, at:at + 2] = half.view(np.uint8).reshape(n, 2)
    if kind == T.MXFP4:
        blocks[:4, 0] = 0, 1, 2, 254
    if kind == T.NVFP4:
        blocks[0, :4] = 0x00, 0x01, 0x7E, 0x7F
        blocks[1, :4] = 0x80, 0x08, 0xFF, 0x07
    wide = quants.dequantize(blocks, kind).astype("<f4")
    out[kind.name] = {"number": int(kind), "blocks": base64.b64encode(blocks.tobytes()).decode(), "values": base64.b64encode(wide.tobytes()).decode()}
(pathlib.Path(__file__).parent / "blocks.json").write_text(json.dumps(out, indent=0) + "\n")

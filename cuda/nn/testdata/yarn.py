"""Writes yarn.json: what mlx-lm makes of stretched ropes.

    pip install 'mlx[cpu]==0.32.*' mlx-lm==0.32.2 && python yarn.py
"""

import json
import pathlib

from mlx_lm.models.rope_utils import YarnRoPE

CASES = [  # theta, dim, factor, original, beta_fast, beta_slow
    (1e6, 128, 4.0, 32768, 32, 1),
    (1e4, 64, 40.0, 4096, 32, 1),
    (5e6, 128, 2.0, 262144, 32, 1),
    (1e4, 32, 4.0, 64, 32, 1),
    (1e6, 10, 16.0, 2048, 8, 2),
    (1e6, 64, 1.0, 40960, 32, 1),
]
rows = []
for theta, dim, factor, original, fast, slow in CASES:
    r = YarnRoPE(dim, base=theta, scaling_factor=factor, original_max_position_embeddings=original, beta_fast=fast, beta_slow=slow)
    rows.append(dict(theta=theta, dim=dim, factor=factor, original=original, fast=fast, slow=slow,
                     attention=r.mscale, wavelengths=[float(f) for f in r._freqs]))
pathlib.Path(__file__).with_name("yarn.json").write_text(json.dumps(rows, indent=0))

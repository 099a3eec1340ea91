"""Makes the GGUF files in this folder: keys of every type and tensors of several, as PyPI's gguf writes them, and a file in three parts.

    pip install gguf==0.19.0 numpy && python make.py
"""

import pathlib

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType as V, GGUFWriter

here = pathlib.Path(__file__).parent


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


w = GGUFWriter(here / "kinds.gguf", "kinds", endianess=0)
w.add_custom_alignment(64)
for name, value, kind in [
    ("u8", 200, V.UINT8), ("i8", -100, V.INT8), ("u16", 60000, V.UINT16), ("i16", -30000, V.INT16), ("u32", 4000000000, V.UINT32), ("i32", -2000000000, V.INT32),
    ("u64", 1 << 62, V.UINT64), ("i64", -(1 << 62), V.INT64), ("f32", 0.5, V.FLOAT32), ("f64", 1e300, V.FLOAT64), ("yes", True, V.BOOL), ("no", False, V.BOOL),
]:
    w.add_key_value("kinds." + name, value, kind)
w.add_string("kinds.text", "naïve \u2603")
w.add_array("kinds.words", ["", "one", "zwei", "\u2603"])
w.add_array("kinds.numbers", [1, -2, 3])
w.add_array("kinds.reals", [0.5, -1.25])
w.add_array("kinds.flags", [True, False, True])
w.add_tensor("vector", np.arange(5, dtype=np.float32))
w.add_tensor("matrix", np.arange(6, dtype=np.float16).reshape(2, 3))
w.add_tensor("cube", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
w.add_tensor("blocks", np.arange(2 * 34, dtype=np.uint8).reshape(1, 2 * 34), raw_dtype=GGMLQuantizationType.Q8_0)
finish(w)

w = GGUFWriter(here / "parts.gguf", "kinds", split_max_tensors=2)
w.add_uint32("kinds.u32", 7)
for i in range(5):
    w.add_tensor(f"t{i}", np.full((2, 3), i, dtype=np.float32))
finish(w)

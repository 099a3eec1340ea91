"""Makes the GGUF files in plugins/*/testdata/gguf from the checkpoints beside them, with llama.cpp's own converter.

    pip install torch transformers==5.24.0 gguf==0.19.0 safetensors numpy sentencepiece protobuf
    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36 && tar xzf llama_cpp_python-0.3.36.tar.gz
    python convert.py llama_cpp_python-0.3.36/vendor/llama.cpp

For each folder in testdata/shapes it writes shape.gguf in the checkpoint's own type, without a vocabulary, which those have none of; of
testdata/tiny the vocabulary alone, and of two plugins the whole model in Q8_0, with the tower of the one that sees in BF16. The converter knows
tokenizers by what they make of a text: those of the tiny models are told to it.
"""

import pathlib
import sys

tool = pathlib.Path(sys.argv[1]).resolve()
sys.path.insert(0, str(tool))
sys.path.insert(0, str(tool / "gguf-py"))

import convert_hf_to_gguf  # noqa: E402
from conversion import base  # noqa: E402

plugins = pathlib.Path(__file__).resolve().parents[3] / "plugins"
SPLITTERS = {"glm_4_7_flash": "glm4"}
ARGUMENTS = sys.argv[2:]  # the plugins to do; all if there are none
METHODS = {name: getattr(base.TextModel, name) for name in ("_set_vocab_gpt2", "_set_vocab_glm", "_set_vocab_qwen")}


def convert(folder, to, *options, vocabulary=True):
    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: SPLITTERS.get(to.parents[2].name, "qwen2")
    for name in METHODS:
        setattr(base.TextModel, name, METHODS[name] if vocabulary else lambda self: None)
    sys.argv = ["convert", str(folder), "--outfile", str(to), *options]
    if to.parents[2].name == "qwen3_coder_next":
        sys.argv.append("--no-mtp")  # they have no layer that guesses further tokens, which the converter takes for granted
    try:
        convert_hf_to_gguf.main()
    except (ValueError, NotImplementedError, KeyError) as e:  # dense layers between experts, other windows than two frames
        print(to, "cannot be made:", e)
        to.unlink(missing_ok=True)


for plugin in sorted(p for p in plugins.iterdir() if (p / "testdata/tiny").is_dir() and (not ARGUMENTS or p.name in ARGUMENTS)):
    out = plugin / "testdata/gguf"
    out.mkdir(exist_ok=True)
    sees = "vl" in plugin.name
    for shape in sorted(p for p in (plugin / "testdata/shapes").iterdir() if p.is_dir()):
        kind = shape.name.split("_")[-1]
        if kind not in ("f32", "f16", "bf16") or shape.name.startswith("joined"):  # it dequantises FP8, and cannot take experts in one tensor
            continue
        if not sees:  # whose shapes have other windows than the converter knows
            convert(shape, out / (shape.name + ".gguf"), "--outtype", kind, vocabulary=False)
    if sees:
        convert(plugin / "testdata/tiny", out / "tiny-Q8_0.gguf", "--outtype", "q8_0")
        convert(plugin / "testdata/tiny", out / "mmproj-tiny-BF16.gguf", "--outtype", "bf16", "--mmproj")
    convert(plugin / "testdata/tiny", out / "vocabulary.gguf", "--vocab-only")
if ARGUMENTS and "qwen3_0_6b" not in ARGUMENTS:
    sys.exit()
tiny = plugins / "qwen3_0_6b/testdata"
convert(tiny / "tiny", tiny / "gguf/tiny-Q8_0.gguf", "--outtype", "q8_0")

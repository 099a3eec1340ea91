"""Quantises the tiny models with other people's tools, whole, as their users do, for the tests Pipelines of the plugins (`make quantised`):

    pip install torch llmcompressor==0.14.* nvidia-modelopt==0.47.0 'mlx[cpu]==0.32.4' mlx-lm==0.32.2 transformers pillow requests tqdm &&
        pip install --no-deps compressed-tensors==0.20.1 mlx-vlm==0.7.10 && python cuda/golden/pipelines.py FOLDER

A tool that does not know a model, or whose groups do not divide it, is named and left out.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ |= dict(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
import torch  # noqa: E402
import transformers  # noqa: E402

plugins = pathlib.Path(__file__).resolve().parents[2] / "plugins"
to = pathlib.Path(sys.argv[1])


def load(plugin):
    kind = transformers.AutoModelForImageTextToText if "_vl_" in plugin else transformers.AutoModelForCausalLM
    return kind.from_pretrained(plugins / plugin / "testdata/tiny", dtype=torch.bfloat16)


def compressor(scheme):
    def run(plugin, out):
        from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
        from llmcompressor import oneshot
        from llmcompressor.modifiers.quantization import QuantizationModifier
        model = load(plugin)
        how = dict(targets="Linear", scheme=scheme)
        if isinstance(scheme, int):  # columns of a group of 4 bits with zeros
            weights = QuantizationArgs(num_bits=4, type="int", symmetric=False, strategy="group", group_size=scheme)
            how = dict(config_groups={"group_0": QuantizationScheme(targets=["Linear"], weights=weights)})
        oneshot(model=model, recipe=QuantizationModifier(**how, ignore=["lm_head", "re:.*visual.*", "re:.*gate$"]))
        model.save_pretrained(out, save_compressed=True)

    return run


def optimizer(config):
    def run(plugin, out):
        import modelopt.torch.quantization as mtq
        from modelopt.torch.export import export_hf_checkpoint
        model = load(plugin)
        ids = torch.randint(0, 200, (2, 64), generator=torch.Generator().manual_seed(1))
        model = mtq.quantize(model, getattr(mtq, config), lambda m: m(ids))
        with torch.inference_mode():
            export_hf_checkpoint(model, export_dir=out)

    return run


def mlx(*how):
    def run(plugin, out):
        module, tiny = "mlx_lm", plugins / plugin / "testdata/tiny"
        with tempfile.TemporaryDirectory() as copy:
            if "_vl_" in plugin:  # mlx-vlm knows the tower by the release's name alone, and reads every file of tensors
                module, tiny = "mlx_vlm", pathlib.Path(shutil.copytree(tiny, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("golden*")))
                config = json.loads((tiny / "config.json").read_text())
                config["vision_config"]["model_type"] = "qwen3_vl"
                (tiny / "config.json").write_text(json.dumps(config))
            subprocess.run([sys.executable, "-m", module, "convert", "--hf-path", str(tiny), "--mlx-path", str(out), *how], check=True)

    return run


TOOLS = {
    "llm-compressor-W4A16": compressor("W4A16"), "llm-compressor-zeros": compressor(16), "llm-compressor-W8A8": compressor("W8A8"), "llm-compressor-FP8": compressor("FP8_DYNAMIC"),
    "llm-compressor-NVFP4": compressor("NVFP4A16"), "modelopt-FP8": optimizer("FP8_DEFAULT_CFG"), "modelopt-NVFP4": optimizer("NVFP4_DEFAULT_CFG"),
    "mlx-4": mlx("-q", "--q-bits", "4", "--q-group-size", "32"), "mlx-8": mlx("-q", "--q-bits", "8", "--q-group-size", "32"),
    "mlx-mxfp4": mlx("-q", "--q-mode", "mxfp4"), "mlx-bf16": mlx("--dtype", "bfloat16"),
}
for plugin in ["qwen3_0_6b", "qwen3_4b_instruct", "qwen3_coder_30b", "qwen3_coder_next", "glm_4_7_flash", "qwen3_vl_2b"]:
    for name, tool in TOOLS.items():
        out = to / plugin / name
        if out.exists():
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            tool(plugin, out)
            print("made", out, flush=True)
        except Exception as e:  # noqa: BLE001
            shutil.rmtree(out, ignore_errors=True)
            print("left out", out, repr(e)[:300], flush=True)

"""What PyTorch and transformers do on this GPU, if they are here: the rate of bf16 products, and the shapes of Qwen3 0.6B and 4B with random weights,
each token one launch of a graph where the installed version can (a static cache, torch.compile), and without. Prints as Go's benchmarks do; ends with
77 where something is missing. On a machine without a GPU, with PIO_GPU_SMALL, it runs a tiny shape on the CPU."""

import os
import sys
import time

SMALL = bool(os.environ.get("PIO_GPU_SMALL"))
ABSENT = 77

try:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM, StaticCache
except ImportError as e:
    print(f"there is no PyTorch with transformers for {sys.executable}: {e}")
    sys.exit(ABSENT)
if not torch.cuda.is_available() and not SMALL:
    print("PyTorch finds no GPU")
    sys.exit(ABSENT)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
COMMON = dict(vocab_size=151936, num_key_value_heads=8, head_dim=128, rope_theta=1e6, max_position_embeddings=40960, tie_word_embeddings=True)
SHAPES = {
    "qwen3_0_6b": dict(COMMON, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16),
    "qwen3_4b_instruct": dict(COMMON, hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32),
}
CONTEXT, PROMPT, STEPS, SIZE = 1024, 2048, 64, 8192
if SMALL:
    tiny = dict(COMMON, vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=8, head_dim=16)
    SHAPES, CONTEXT, PROMPT, STEPS, SIZE = {"qwen3_0_6b": tiny}, 64, 32, 2, 256
LIMIT = time.monotonic() + 50


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def timed(step, steps):
    """Seconds of a step."""
    for _ in range(3):
        step()
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return (time.perf_counter() - began) / steps


def tell(name, seconds, **figures):
    print(f"Benchmarktransformers/{name} 1 {seconds * 1e9:.0f} ns/op", *(f"{x:.6g} {unit}" for unit, x in figures.items()), flush=True)


def products():
    a, b = (torch.randn(SIZE, SIZE, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    seconds = timed(lambda: a @ b, 10)
    tell("products", seconds, **{"TFLOP/s": 2 * SIZE**3 / seconds / 1e12})


@torch.inference_mode()
def model(name, shape):
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(DEVICE):
        m = Qwen3ForCausalLM(Qwen3Config(**shape)).eval()
    prompt = torch.randint(0, shape["vocab_size"], (1, PROMPT), device=DEVICE)
    seconds = timed(lambda: m(prompt, logits_to_keep=1, use_cache=True), 5)
    tell(f"{name}/bf16/prefill/rows={PROMPT}", seconds, **{"tok/s": PROMPT / seconds})

    cache = StaticCache(config=m.config, max_cache_len=CONTEXT + 128)
    m(prompt[:, :CONTEXT], past_key_values=cache, cache_position=torch.arange(min(CONTEXT, PROMPT), device=DEVICE), logits_to_keep=1)
    token = prompt[:, :1].clone()
    position = torch.tensor([min(CONTEXT, PROMPT)], device=DEVICE)

    def step(forward):
        logits = forward(input_ids=token, past_key_values=cache, cache_position=position, position_ids=position[None], use_cache=True).logits
        return logits.argmax(-1)

    best = timed(lambda: step(m), STEPS)
    tell(f"{name}/bf16/eager/batch=1", best, **{"tok/s": 1 / best})
    if DEVICE == "cuda" and time.monotonic() < LIMIT - 25:
        try:
            best = min(best, timed(lambda: step(torch.compile(m.forward, mode="reduce-overhead", fullgraph=False)), STEPS))
        except Exception as e:  # of another version, whatever it is: what there is without it was told
            print(f"{name} is not compiled: {e}", file=sys.stderr)
    tell(f"{name}/bf16/decode/batch=1", best, **{"tok/s": 1 / best})


products()
for name, shape in SHAPES.items():
    model(name, shape)

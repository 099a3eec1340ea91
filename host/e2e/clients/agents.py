#!/usr/bin/env python3
"""Runs other people's coding agents against bin/piohost, as docs/clients.md tells; `make agents` calls it.

A tiny model cannot be expected to use an agent's tools: the model is sdk/examples/scripted, whose answers are known and written in the syntax of a
model that the tests have. All else is real: the agent with the tools that it offers and runs, the protocol, the host, template, tokenizer and the
reading of calls. Each agent has a home and a folder of its own, and no way to another host. It is to write a file with its tool and to read that file
with another, and ends with what the model says once it has seen what the file says.
"""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

import run

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
WAIT = 300  # seconds at most, of one agent
TASK = "Write the word Tokyo to the file answer.txt in this folder, then read it."
ANSWER = "The file says Tokyo."
MODELS = {"coder": "qwen3_coder_30b", "hermes": "qwen3_0_6b"}  # whose words and syntax of calls
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
SYSTEM = f"{platform.system().lower()}-{MACHINE}"


def rules(work):
    """What the model answers, by what it reads: the first that is found."""
    path, seen = str(work / "answer.txt"), "(?s)" + TASK.replace(".", r"\.")
    tools = {  # by the name of the one that writes: what it is given, and what reads the file
        "apply_patch": ({"input": "*** Begin Patch\n*** Add File: answer.txt\n+Tokyo\n*** End Patch\n"}, "exec_command", {"cmd": "cat answer.txt"}),
        "Write": ({"file_path": path, "content": "Tokyo\n"}, "Read", {"file_path": path}),
        "write_file": ({"file_path": path, "content": "Tokyo\n"}, "read_file", {"file_path": path}),
        "write": ({"filePath": path, "content": "Tokyo\n"}, "read", {"filePath": path}),
        "editor": ({"path": path, "new_text": "Tokyo\n"}, "read_files", {"files": [{"path": path}]}),
        "exec_command": ({"cmd": "echo Tokyo > answer.txt"}, "exec_command", {"cmd": "cat answer.txt"}),
    }

    def offered(name):
        return r"(?s)name\W+" + name + r"\W.*"

    def call(name, arguments):
        return {"name": name, "arguments": arguments}

    result = ".*<tool_response>"
    other = "multi_agent_v1__close_agent"  # one of a namespace: that there is no such agent is its own answer
    yield {"prompt": seen + result + ".*unsupported call", "say": "A tool is not known to the agent."}
    yield {"prompt": seen + result + result + ".*Tokyo.*</tool_response>", "say": ANSWER}
    yield {"prompt": offered(other) + seen[4:] + result + ".*<tool_response>.*<tool_response>", "say": "The file says something else."}
    yield {"prompt": offered(other) + seen[4:] + result + ".*<tool_response>", "call": call("exec_command", {"cmd": "cat answer.txt"})}
    yield {"prompt": offered(other) + seen[4:] + result, "call": call(other, {"target": "nobody"})}
    for name, (_, reader, arguments) in tools.items():
        yield {"prompt": offered(name) + seen[4:] + result, "call": call(reader, arguments)}
    for name, (arguments, _, _) in tools.items():
        yield {"prompt": offered(name) + seen[4:], "call": call(name, arguments)}
    yield {"prompt": seen + r".*\*file listing\*", "say": ANSWER + "\n\nanswer.txt\n```\nTokyo\n```"}  # of aider
    yield {"say": "Hello."}


def checkpoint(folder, family, work):
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        source = run.tiny(family) / name
        if source.exists():
            shutil.copy(source, folder)
    config = {"architectures": ["ScriptedForCausalLM"], "max_position_embeddings": 262144, "vocab_size": 1000}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "script.json").write_text(json.dumps(list(rules(work))))
    return folder


class Agent:
    """One agent in a home and a folder of its own."""

    def __init__(self, name, packages, url, work):
        self.name, self.url, self.work, self.bin = name, url, work, packages / "node_modules"
        self.packages, self.home = packages, work.parent / "home"
        for folder in (self.home, self.work):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "TERM": "dumb", "DO_NOT_TRACK": "1", "CI": "1",
                    "HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",  # where nobody listens
                    "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self.run(["git", "init", "-q", "."])

    def write(self, name, text):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, command, **env):
        return subprocess.run([str(c) for c in command], cwd=self.work, env={**self.env, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=WAIT)

    def judge(self, done, said):
        """None if the file was written, read, and the answer told; else what is wrong."""
        file = self.work / "answer.txt"
        if done.returncode:
            return f"ended with {done.returncode}"
        if not file.exists() or file.read_text().strip() != "Tokyo":
            return "the file was not written"
        return None if ANSWER in said else "the last answer is not the model's"


def lines(text):
    """The objects of an output of a line each."""
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def codex(a, model, catalog=None):
    config = (f'model = "{model}"\nmodel_provider = "pio"\ncheck_for_update_on_startup = false\n{catalog or ""}[analytics]\nenabled = false\n'
              f'[model_providers.pio]\nname = "pio"\nbase_url = "{a.url}/v1"\nenv_key = "PIO_API_KEY"\nwire_api = "responses"\n')
    a.write(".codex/config.toml", config)
    done = a.run([a.bin / ".bin/codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json", TASK], PIO_API_KEY="none")
    said = [e["item"]["text"] for e in lines(done.stdout) if e["type"] == "item.completed" and e["item"]["type"] == "agent_message"]
    return done, said[-1] if said else ""


def codex_patches(a, model):
    """Codex has a tool of its own for patches for models that its catalog says can use it: one such entry gets this model's name."""
    known = json.loads(a.run([a.bin / ".bin/codex", "debug", "models"]).stdout)["models"]
    entry = next(m for m in known if m.get("apply_patch_tool_type") == "freeform" and not m.get("tool_mode"))
    entry.update(slug=model, display_name=model, default_reasoning_level=None, supported_reasoning_levels=[])
    a.write("catalog.json", json.dumps({"models": [entry]}))
    done, said = codex(a, model, f'model_catalog_json = "{a.home / "catalog.json"}"\n')
    return done, said if '"file_change"' in done.stdout else "no patch"


def claude(a, model):
    done = a.run([a.bin / f"@anthropic-ai/claude-code-{SYSTEM}/claude", "-p", "--dangerously-skip-permissions", "--output-format", "json", TASK],
                 ANTHROPIC_BASE_URL=a.url, ANTHROPIC_API_KEY="none", ANTHROPIC_MODEL=model, ANTHROPIC_DEFAULT_HAIKU_MODEL=model,
                 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", DISABLE_AUTOUPDATER="1", IS_SANDBOX="1")
    return done, json.loads(done.stdout).get("result", "")


def qwen(a, model):
    done = a.run(["node", a.bin / "@qwen-code/qwen-code/cli.js", "--auth-type", "openai", "--yolo", "-o", "json", TASK],
                 OPENAI_API_KEY="none", OPENAI_BASE_URL=a.url + "/v1", OPENAI_MODEL=model, QWEN_TELEMETRY_ENABLED="false")
    return done, json.loads(done.stdout)[-1].get("result", "")


def opencode(a, model):
    config = {"autoupdate": False, "share": "disabled", "permission": "allow", "model": f"pio/{model}", "small_model": f"pio/{model}",
              "provider": {"pio": {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": a.url + "/v1", "apiKey": "none"},
                                   "models": {model: {"limit": {"context": 200000, "output": 8000}}}}}}
    done = a.run([a.bin / f"opencode-{SYSTEM}/bin/opencode", "run", "--format", "json", TASK], OPENCODE_CONFIG_CONTENT=json.dumps(config),
                 OPENCODE_DISABLE_AUTOUPDATE="1", OPENCODE_DISABLE_MODELS_FETCH="1", OPENCODE_DISABLE_LSP_DOWNLOAD="1")
    said = [e["part"]["text"] for e in lines(done.stdout) if e["type"] == "text"]
    return done, said[-1] if said else ""


def cline(a, model):
    program = ["node", a.bin / "cline/bin/cline"]
    a.run([*program, "auth", "-p", "openai", "-k", "none", "-b", a.url + "/v1", "-m", model])
    done = a.run([*program, "--json", "--auto-approve", "true", "--timeout", str(WAIT), TASK], CLINE_TELEMETRY_DISABLED="1")
    said = [e["text"] for e in lines(done.stdout) if e["type"] == "run_result"]
    return done, said[-1] if said else ""


def aider(a, model):
    """It has no tools: an edit is a part of the answer, which it applies."""
    a.write(".aider/caches/model_prices_and_context_window.json", '{"none": {}}')  # which it would look for in the web
    done = a.run([a.packages / "bin/aider", "--model", f"openai/{model}", "--no-check-update", "--no-show-release-notes", "--no-show-model-warnings",
                  "--analytics-disable", "--yes-always", "--no-auto-commits", "--no-gitignore", "--edit-format", "whole", "--no-pretty",
                  "--message", TASK, "answer.txt"], OPENAI_API_KEY="none", OPENAI_API_BASE=a.url + "/v1", LITELLM_LOCAL_MODEL_COST_MAP="True")
    return done, done.stdout


AGENTS = {  # by the name of the line: the group of packages, what runs it, and with which model's syntax
    "codex": ("npm", codex, "hermes"), "codex, patches": ("npm", codex_patches, "coder"), "claude": ("npm", claude, "coder"),
    "qwen": ("npm", qwen, "coder"), "opencode": ("npm", opencode, "hermes"), "cline": ("npm", cline, "coder"), "aider": ("python", aider, "hermes"),
}


def attempt(name, packages, url, work):
    group, ask, model = AGENTS[name]
    a = Agent(name, packages[group], url, work)
    try:
        done, said = ask(a, model)
    except (subprocess.TimeoutExpired, OSError, ValueError, KeyError, StopIteration) as e:
        print(f"FAIL  {name}: {type(e).__name__}: {str(e)[-500:]}", flush=True)
        return False
    wrong = a.judge(done, said)
    print(f"FAIL  {name}: {wrong}; it said {said!r}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}" if wrong else f"ok    {name}", flush=True)
    return wrong is None


def install(folder):
    """The groups of packages that can be had."""
    found, npm = {}, folder / "npm"
    shutil.copytree(HERE / "agents", npm)
    if run.install("npm agents", ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=npm):
        found["npm"] = npm
    if run.venv_of(folder / "python", "aider"):
        found["python"] = folder / "python"
    return found


def main():
    """The names of some agents may be given; PIO_AGENTS is a folder in which the packages are kept from one run to the next."""
    wanted = sys.argv[1:] or list(AGENTS)
    with tempfile.TemporaryDirectory(prefix="pio-agents") as name:
        folder, kept = pathlib.Path(name), pathlib.Path(os.environ.get("PIO_AGENTS", name))
        if (kept / "npm/node_modules").exists() and (kept / "python/bin/aider").exists():
            packages = {group: kept / group for group in ("npm", "python")}
        else:
            kept.mkdir(parents=True, exist_ok=True)
            packages = install(kept)
        work = folder / "agent/work"
        models = [(model, checkpoint(folder / model, family, work), "scripted") for model, family in MODELS.items()]
        host, url = run.start(folder, models)
        try:
            good = [attempt(a, packages, url, work) for a in wanted if AGENTS[a][0] in packages]
        finally:
            host.terminate()
            host.wait(run.START)
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Runs other people's clients against bin/piohost serving two tiny models, as docs/clients.md tells; `make clients` calls it.

Packages are installed into a temporary folder, each at the version that the files beside this one pin. It takes some five minutes, most of them
to install, and ends with 1 if a client could not do what the table says that it can. A group whose packages cannot be had is left out, by name.
"""

import functools
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
INSTALL, RUN, START = 600, 300, 60  # seconds at most
LARGE = 3600  # to install what is large
PYTHON = {
    "openai-1": ["openai"],
    "openai-2": ["openai", "langchain-openai", "instructor", "pydantic-ai", "litellm", "llama-index"],
    "openai-3": ["openai", "langchain-openai", "pydantic-ai"],
    "anthropic-ollama": ["anthropic", "langchain-anthropic", "pydantic-ai-anthropic", "ollama", "langchain-ollama"],
    "lm-eval": ["lm_eval"],
}
if os.environ.get("PIO_GUIDELLM"):  # it reads its prompts through torch, which is 6 GB with what it wants
    PYTHON["guidellm"] = ["guidellm"]


def tiny(family):
    return ROOT / "plugins" / family / "testdata/tiny"


def start(folder, models, server="", **env):
    """A host on a free port with models, each an id, a folder and a plugin, and more lines for [server]; returns it and its URL when it is ready."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    entries = "".join(f'[[model]]\nid = "{name}"\npath = "{path}"\nplugin = "{plugin}"\n\n' for name, path, plugin in models)
    config = folder / "models.toml"
    config.write_text(f'[server]\nlisten = "127.0.0.1:{port}"\n{server}\n[plugins]\ndirs = ["{ROOT / "bin/plugins"}"]\n\n{entries}')
    host = subprocess.Popen([ROOT / "bin/piohost", "--config", config], stdout=subprocess.DEVNULL, stderr=open(folder / "log", "w"),
                            env={**os.environ, **env})
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START
    while time.monotonic() < deadline and host.poll() is None:
        try:
            urllib.request.urlopen(url + "/readyz", timeout=5).close()
            return host, url
        except OSError:
            time.sleep(0.1)
    host.kill()
    sys.exit("piohost does not become ready:\n" + (folder / "log").read_text())


def hub(folder, name, family):
    """A hub with one repository, as files that are served as they lie; returns what is to be shut down, and its URL."""
    commit, listing = "0" * 40, []
    for at in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        data = (tiny(family) / at).read_bytes()
        put(folder / name / "resolve" / commit / at, data)
        listing.append({"type": "file", "path": at, "size": len(data), "oid": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()})
    put(folder / "api/models" / name / "revision/main", json.dumps({"sha": commit}).encode())
    put(folder / "api/models" / name / "tree" / commit, json.dumps(listing).encode())
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def install(name, command, limit=None, **more):
    """False if the packages cannot be had, which is told."""
    try:
        done = subprocess.run(command, timeout=limit or INSTALL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    except (subprocess.TimeoutExpired, FileNotFoundError) as e:
        print(f"left out: {name}: {e}", flush=True)
        return False
    if done.returncode:
        print(f"left out: {name}: {done.stdout[-500:]}", flush=True)
    return done.returncode == 0


def run(command, **more):
    try:
        return subprocess.run(command, timeout=RUN, **more).returncode == 0
    except subprocess.TimeoutExpired as e:
        print(f"FAIL  {e}", flush=True)
        return False


def venv_of(home, name):
    """Makes an environment of the packages of python/NAME.txt, unless it was kept; False if they cannot be had."""
    if (home / "whole").exists():
        return True
    venv.create(home, with_pip=True)
    pip = [home / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", HERE / "python" / f"{name}.txt"]
    return install(f"python {name}", pip, LARGE if name == "guidellm" else None) and not (home / "whole").write_text("")


def python(folder, name, clients, url, picture):
    if not venv_of(folder / name, name):
        return True
    return run([folder / name / "bin/python", HERE / "python/check.py", url, picture, *clients], stderr=subprocess.DEVNULL if "-q" in sys.argv else None)


def node(folder, name, command, env, *programs):
    home = folder / name
    shutil.copytree(HERE / name, home, dirs_exist_ok=True)
    for program in programs:
        shutil.copy(HERE / program, home)
    if not (home / "node_modules").exists() and not install(f"npm {name}", ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=home):
        return True
    return run(command, cwd=home, env=env)


def main():
    """PIO_CLIENTS is a folder in which the packages are kept from one run to the next."""
    picture = str(tiny("qwen3_vl_2b") / "picture0.png")
    with tempfile.TemporaryDirectory(prefix="pio-clients") as name:
        folder, kept = pathlib.Path(name), pathlib.Path(os.environ.get("PIO_CLIENTS", name)).resolve()
        models, models_url = hub(folder / "hub", "Org/Tiny", "qwen3_0_6b")
        host, url = start(folder, [("tiny", tiny("qwen3_0_6b"), "qwen3_0_6b"), ("tiny-vl", tiny("qwen3_vl_2b"), "qwen3_vl_2b")], "admin = true\n",
                          HF_ENDPOINT=models_url, HF_HUB_CACHE=str(folder / "cache"), HF_HUB_OFFLINE="0", NO_PROXY="127.0.0.1")
        env = {**os.environ, "PIO_BASE_URL": url, "PIO_PICTURE": picture}
        try:
            good = [python(kept, name, clients, url, picture) for name, clients in PYTHON.items()]
            good.append(node(kept, "js", ["node", "check.mjs", url], env))
            good.append(node(kept, "node", ["node", "--test"], env))
            good.append(node(kept, "js-protocols", ["node", "check.mjs", url], env))
            newest = "js-newest", ["sh", "-c", f"node check.mjs {url} && node --test"]
            good.append(node(kept, *newest, env, "js/check.mjs", "node/openai.test.mjs"))
            if install("go", ["go", "mod", "download"], cwd=HERE):
                good.append(run(["go", "test", "-count=1", "./..."], cwd=HERE, env=env))
        finally:
            host.terminate()
            host.wait(START)
            models.shutdown()
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()

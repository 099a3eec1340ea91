"""What huggingface_hub does with a cache and a hub: library.py COMMAND REPOSITORY, with HF_ENDPOINT and HF_HUB_CACHE set. Prints JSON."""

import json
import os
import sys

from huggingface_hub import HfApi, hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import IncompleteSnapshotError

command, repo = sys.argv[1:]
if command == "download":
    print(json.dumps(snapshot_download(repo)))
elif command == "file":
    print(json.dumps(hf_hub_download(repo, "model.safetensors")))
elif command == "local":
    try:
        folder = snapshot_download(repo, local_files_only=True)
    except IncompleteSnapshotError as e:
        folder = "incomplete: " + str(e)
    print(json.dumps({"folder": folder, "weights": try_to_load_from_cache(repo, "model.safetensors")}))
elif command == "scan":
    cache = scan_cache_dir()
    print(json.dumps({
        "warnings": [str(w) for w in cache.warnings],
        "incomplete": len(getattr(cache, "incomplete_files", [])),
        "repos": {r.repo_id: {"size": r.size_on_disk, "refs": sorted(r.refs), "files": sorted(f.file_name for v in r.revisions for f in v.files)} for r in cache.repos},
    }))
elif command == "share":  # as after a download by Xet
    from huggingface_hub import constants
    from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

    blob = os.path.realpath(try_to_load_from_cache(repo, "model.safetensors"))
    print(json.dumps(publish_blob_to_shared_store(blob_path=blob, xet_hash="ab" * 32, cache_dir=constants.HF_HUB_CACHE, expected_size=os.path.getsize(blob))))
elif command == "verify":
    v = HfApi().verify_repo_checksums(repo)
    print(json.dumps({"checked": v.checked_count, "mismatches": len(v.mismatches), "missing": sorted(v.missing_paths), "extra": sorted(v.extra_paths)}))

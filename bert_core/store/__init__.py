"""Where stage outputs live: Arrow shards under sealed manifests, one writer at a time.

`fingerprint.py` names an output by what it was made from, `manifest.py` says what it holds, `workspace.py` builds
it aside and seals it, `shards.py` writes and reads Arrow IPC stream files.
"""

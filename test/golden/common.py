"""What the golden scripts share: writing a file beside the script with the hash of the script that made it."""
import hashlib
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent


def script_hash(script):
    """SHA-256 of the script with LF line endings: a test compares it, so that goldens and scripts cannot drift apart."""
    text = pathlib.Path(script).read_text(encoding="utf-8").replace("\r\n", "\n")
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def write_json(name, script, content, out=HERE):
    path = pathlib.Path(out) / name
    body = {"script": pathlib.Path(script).name, "scriptSha256": script_hash(script), **content}
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(path.name, path.stat().st_size, "bytes")


def out_folder():
    """The folder given as the only argument, else this one (test:python regenerates into a scratch folder and compares)."""
    import sys

    return pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE

"""Golden files are what their scripts make: every script of test/golden is run again and its files are compared with the committed ones. Text, ids and
shapes must be equal; numbers may differ by what another processor's summation order changes."""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from safetensors.torch import load_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
RELATIVE = 1e-4
ABSOLUTE = 1e-5


def differences(committed, made, where=""):
    """Paths at which two JSON values differ."""
    if isinstance(committed, dict) and isinstance(made, dict):
        if committed.keys() != made.keys():
            return [f"{where}: keys {sorted(committed.keys() ^ made.keys())}"]
        return [d for key in committed if key != "torch" for d in differences(committed[key], made[key], f"{where}.{key}")]
    if isinstance(committed, list) and isinstance(made, list):
        if len(committed) != len(made):
            return [f"{where}: length {len(committed)} and {len(made)}"]
        return [d for i, pair in enumerate(zip(committed, made)) for d in differences(*pair, f"{where}[{i}]")]
    if isinstance(committed, float) or isinstance(made, float):
        close = isinstance(committed, (int, float)) and isinstance(made, (int, float)) and math.isclose(committed, made, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        return [] if close else [f"{where}: {committed!r} and {made!r}"]
    return [] if committed == made else [f"{where}: {committed!r} and {made!r}"]


def tensor_differences(committed, made):
    a, b = load_file(committed), load_file(made)
    if a.keys() != b.keys():
        return [f"tensors {sorted(a.keys() ^ b.keys())}"]
    found = []
    for name, tensor in a.items():
        if tensor.shape != b[name].shape or tensor.dtype != b[name].dtype:
            found.append(f"{name}: {tensor.dtype} {list(tensor.shape)} and {b[name].dtype} {list(b[name].shape)}")
        elif tensor.is_floating_point() and not tensor.allclose(b[name], rtol=RELATIVE, atol=ABSOLUTE):
            found.append(f"{name}: {(tensor - b[name]).abs().max().item()} apart")
        elif not tensor.is_floating_point() and not tensor.equal(b[name]):
            found.append(f"{name}: other integers")
    return found


class Goldens(unittest.TestCase):
    pass


def regeneration(script):
    def test(self):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "PYTHONPATH": str(GOLDEN)}
            done = subprocess.run([sys.executable, str(script), folder], capture_output=True, text=True, env=environment, timeout=900)
            self.assertEqual(done.returncode, 0, done.stderr)
            made = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
            self.assertTrue(made, f"{script.name} wrote nothing")
            for path in made:
                name = path.relative_to(folder)
                committed = GOLDEN / name
                self.assertTrue(committed.exists(), f"{name} is not committed")
                if path.suffix == ".safetensors":
                    found = tensor_differences(committed, path)
                else:
                    found = differences(json.loads(committed.read_text("utf-8")), json.loads(path.read_text("utf-8")))
                self.assertEqual(found[:10], [], str(name))

    return test


for path in sorted(GOLDEN.glob("*.py")):
    if path.name != "common.py":
        setattr(Goldens, f"test_{path.stem}", regeneration(path))


class Coverage(unittest.TestCase):
    def test_every_golden_file_names_its_script(self):
        data = sorted(path for path in GOLDEN.iterdir() if path.suffix == ".json")
        self.assertTrue(data)
        for path in data:
            script = json.loads(path.read_text("utf-8")).get("script")
            self.assertTrue(script and (GOLDEN / script).exists(), path.name)


if __name__ == "__main__":
    unittest.main()

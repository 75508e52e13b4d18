"""The safetensors format held to its reference reader: the 64 vectors have the verdicts that vectors.json says the reference gives, ours never accepts what
it refuses, and files that this library writes are read back by it, tensor by tensor."""

import base64
import json
import pathlib
import subprocess
import tempfile
import unittest

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load

from test_transformers import NODE, HERE

VECTORS = HERE.parent / "golden" / "safetensors" / "vectors.json"


def verdict(data):
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        try:
            with safe_open(file.name, framework="numpy"):
                return "accept"
        except SafetensorError:
            return "reject"


class Vectors(unittest.TestCase):
    def test_the_reference_reader_gives_the_verdicts_that_we_say(self):
        vectors = json.loads(VECTORS.read_text("utf-8"))
        self.assertEqual(len(vectors), 64)
        for vector in vectors:
            with self.subTest(vector["name"]):
                self.assertEqual(verdict(base64.b64decode(vector["b64"])), vector["ref_safetensors_0_8_0"])
                if vector["ref_safetensors_0_8_0"] == "reject":
                    self.assertEqual(vector["ours"], "reject")


class Written(unittest.TestCase):
    def test_the_reference_reads_what_we_write_and_orders_it_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            command = [NODE, str(HERE / "ours.mjs"), "create", folder, json.dumps({"save": {"dtype": "bfloat16"}})]
            done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            data = (pathlib.Path(folder) / "model.safetensors").read_bytes()
        length = int.from_bytes(data[:8], "little")
        self.assertEqual(length % 8, 0)
        header = json.loads(data[8 : 8 + length])
        self.assertEqual(header.pop("__metadata__"), {"format": "pt"})
        self.assertEqual(list(header), sorted(header))
        tensors = load(data)
        self.assertEqual(tensors.keys(), header.keys())
        self.assertTrue(all(tensor.dtype == torch.bfloat16 for tensor in tensors.values()))


if __name__ == "__main__":
    unittest.main()

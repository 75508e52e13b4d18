"""`npm run bench -- --torch`: both sides run the same steps from the same weights and batches, and their losses agree."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NODE = os.environ.get("FERRO_NODE", "node")


class Comparison(unittest.TestCase):
    def test_losses_of_both_sides_agree(self):
        command = [NODE, "scripts/bench.mjs", "--torch", sys.executable, "--sizes", "XS", "--threads", "1", "--variants", "default,portable"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        record = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
        (run,) = record["runs"]
        self.assertTrue(run["agree"])
        self.assertEqual([side["name"].split()[0] for side in run["sides"]], ["torch", "node", "node"])
        for side in run["sides"]:
            self.assertTrue(side["available"], side)
            self.assertEqual([len(round_) for round_ in side["rounds"]], [2, 2])
            self.assertEqual(len(side["losses"][0]), 5)
            self.assertLessEqual(side["worstLossDifference"], 1e-5)
        self.assertIn("| XS | 1 |", done.stdout)


if __name__ == "__main__":
    unittest.main()

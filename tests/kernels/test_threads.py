"""The same bits from every C++ operation, whatever the number of threads.

In processes of their own: TensorFlow makes its threads once.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# Prints what identifies the bits of all results, of several threads' worth of work.
WORKER = """
import hashlib, sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
import test_custom_kernel_kl, test_outer_product
digest = hashlib.sha256()
def show(*tensors):
    for tensor in tensors:
        digest.update(tensor.numpy().tobytes())
for dtype in ("float32", "float64"):
    for n, m in ((6, 7), (40, 30)):
        samples = test_custom_kernel_kl.draw(n, m, (20_000, 3, 5_000), dtype)
        show(*test_custom_kernel_kl.both_forms(*samples))
    variables = test_outer_product.variables(130, 9_000, dtype)
    steps = test_outer_product.recorded(3, 5, 130, 9_000, dtype)
    for step, (left, right) in enumerate(steps, 1):
        show(test_outer_product.ops.thin_product(left, variables[0]))
        show(test_outer_product.apply(variables, left, right, step), *variables)
print(digest.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.usefixtures("cpp_operations")
def test_one_and_three():
    folders = (TESTS, TESTS / "kernels", TESTS.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, threads],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for threads in ("1", "3")
    ]
    digests = []
    for process in processes:
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        digests.append(output)
    assert digests[0] and digests[0] == digests[1]

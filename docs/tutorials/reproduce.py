"""
Title: Reproduce a row of the paper
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: From a flagfile to a row of a table, its figures, and a posterior to work with.
"""

"""
## One command

A launcher trains a network of the paper with one of the methods. Every row of the paper's tables has a
flagfile; this tutorial trains a small run on rendered digits, so that it ends soon. Run it from the
root of the repository.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

images = 20_000  # in tests: 300
units = "32,64"  # in tests: "4,8"
samples = 20  # in tests: 2
root = pathlib.Path("launch", "mnist.py").resolve()
workdir = pathlib.Path(tempfile.mkdtemp(), "first")
command = [
    *(sys.executable, str(root), "--method=bbh", "--dataset=embedded", "--epochs=2"),
    f"--max_train_examples={images}",
    f"--hidden_units={units}",
    f"--num_predictive_samples={samples}",
    f"--workdir={workdir}",
]
done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
print(done.stdout)

"""
The row stands beside the paper's. A line says in which settings it differs, and that a run of two epochs
is not a result.

## What a run leaves

Everything that the tables and figures show comes from these files. The same command again reads them
and trains nothing.
"""

for path in sorted(workdir.iterdir()):
    print(path.name + ("/" if path.is_dir() else ""))

"""
## The posterior

`bbh.load` gives the fitted posterior: draws of its weights, predictions, and the Keras model.
"""

import bayes_by_hypernet as bbh

posterior = bbh.load(workdir)
draws = posterior.sample(100, seed=0, names=["conv_1/kernel"])["conv_1/kernel"]
print("conv_1/kernel:", draws.shape, "standard deviation", float(draws.numpy().std()))

digits = bbh.data.load("embedded")
inside = posterior.predict(digits.test.images[:500], num_samples=samples)
outside = posterior.predict(digits.outliers[:500], num_samples=samples)
for name, prediction in (("digits", inside), ("letters", outside)):
    print(
        f"{name}: area under the CDF of the entropy {bbh.metrics.entropy_auc(prediction.mean):.3f}"
    )

"""
## The paper's length

This is the row of Table 3 with nothing changed. It takes hours without a GPU, may be interrupted, and
goes on where it was:

    python launch/mnist.py --flagfile=flags/mnist/table3_bbh_paper.flags

`python launch/report.py --runs=runs` puts finished runs on one page.
"""

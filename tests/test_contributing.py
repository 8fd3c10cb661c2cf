"""CONTRIBUTING's example of a new method is run as printed: one file and one row are enough."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny

import bayes_by_hypernet as bbh
from bayes_by_hypernet.paper import experiment, methods, networks

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text()


@pytest.fixture
def new_method(monkeypatch):
    section = TEXT.split("## Adding a method")[1].split("\n## ")[0]
    [code] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names = {"__name__": "gaussian_dropout"}
    exec(code, names)
    monkeypatch.setitem(methods.METHODS, "gaussian_dropout", names["GaussianDropout"])
    monkeypatch.setitem(networks.NETWORKS, "tiny", tiny.NETWORK)
    return names["GaussianDropout"]


def test_the_new_method_trains_resumes_loads_and_serves(new_method, tmp_path):
    config = tiny.config("gaussian_dropout")
    results = experiment.run(config, tiny.dataset, tmp_path)
    assert results["complete"] and results["method"] == "gaussian_dropout"
    assert json.loads((tmp_path / "results.json").read_text())["rate"] == 0.5
    posterior = bbh.load(tmp_path)
    assert type(posterior.method) is new_method
    x = tiny.dataset().test.images[:5]
    prediction = posterior.predict(x, num_samples=300, seed=1)
    assert prediction.mutual_information.max() > 0
    served = tf.saved_model.load(str(tmp_path / "saved_model"))
    answer = served.serve(x, tf.constant(300))
    # Standard errors of at most 0.5 / sqrt(300) = 0.029 on either side.
    np.testing.assert_allclose(answer["mean"], prediction.mean, atol=0.15)

"""Installs Bayes by Hypernet; `pip install -e .` for work on it, with `[test]` for its tests.

Tested: Python 3.11 with TensorFlow 2.21.0, Keras 3.15.1, TensorFlow Probability 0.25.0 (with
tf-keras 2.21.0) and TensorFlow Datasets 4.9.10. `requirements.txt` pins the direct dependencies of
that environment.

Only expected to work, from what these packages document: Python 3.10, 3.12 and 3.13, and TensorFlow
from 2.18 on with the Keras that it brings. Not every pair exists: TensorFlow has wheels for Python
3.13 from 2.20 on.
"""

from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).parent / "README.md"

setup(
    name="bayes-by-hypernet",
    version="0.1.0",
    description=(
        "Implicit weight uncertainty: Keras layers whose weights are samples from a hypernetwork"
    ),
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["bayes_by_hypernet", "bayes_by_hypernet.*"]),
    python_requires=">=3.10,<3.14",
    install_requires=[
        "tensorflow>=2.18",
        "keras>=3.5",  # the lowest that TensorFlow 2.18 takes
        "tensorflow-probability[tf]>=0.25",  # [tf]: tf-keras, without which TFP does not import
        "tensorflow-datasets>=4.9.7",
        "importlib_resources>=6.0",  # TFDS 4.9.10 imports it and does not ask for it
        "tensorboard>=2.18",  # TensorFlow 2.21 no longer asks for it; `tf.summary` needs it
        "absl-py>=2.1",
        "numpy>=1.26",
        "scipy>=1.11",
        "scikit-learn>=1.4",
        "matplotlib>=3.8",
        "pillow>=10.0",
        "tqdm>=4.65",
    ],
    extras_require={"test": ["pytest>=8.0", "ruff>=0.9"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)

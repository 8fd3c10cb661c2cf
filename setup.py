"""Installs Bayes by Hypernet; `pip install -e .` for work on it, with `[test]` for its tests.

Tested: Python 3.11 with TensorFlow 2.21.0, Keras 3.15.1, TensorFlow Probability 0.25.0 (with
tf-keras 2.21.0) and TensorFlow Datasets 4.9.10. `requirements.txt` pins the direct dependencies of
that environment.

Expected to work, from what these packages document, but not tested: Python 3.12 and 3.13, and
TensorFlow from 2.18 on. Not every pair exists: TensorFlow has wheels for Python 3.13 from 2.20 on.

The C++ operations are compiled along where TensorFlow and a C++ compiler are found, which takes
`pip install --no-build-isolation`. Where they are not, the first use compiles them.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

README = Path(__file__).parent / "README.md"
OPERATIONS = Path("bayes_by_hypernet", "kernels")  # pip and setuptools run this in its own folder

TENSORFLOW = """
import json
import tensorflow as tf
flags = tf.sysconfig.get_compile_flags(), tf.sysconfig.get_link_flags()
print(json.dumps([tf.__version__, *flags]))
"""


def load_by_path(path):
    """Imports one file of the package; the package itself imports TensorFlow and Keras."""
    spec = importlib.util.spec_from_file_location(f"_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load_by_path(OPERATIONS / "build.py")


class BuildOperations(build_ext):
    """Compiles the C++ operations for the TensorFlow that is installed; a failure is only told."""

    library = None  # the name of the file, once it is there

    def run(self):
        try:
            self.library = self._compile()
        except Exception as error:  # whatever it is, the package works without
            print("NOTICE: The C++ operations were not compiled; their first use will try again.")
            print(error)

    def _compile(self):
        folder = OPERATIONS if self.inplace else Path(self.build_lib) / OPERATIONS
        answer = subprocess.check_output([sys.executable, "-c", TENSORFLOW], text=True)
        version, compile_flags, link_flags = json.loads(answer.splitlines()[-1])
        sources = OPERATIONS / "src"
        target = folder / build.library_name(version, compile_flags, sources)
        for path in build.find_libraries(folder):  # of other versions: a wheel would carry them all
            if path != target:
                path.unlink()
        if self.force or not target.exists() or not build.is_intact(target):
            compiler = build.find_compiler()
            build.compile_library(target, compile_flags, link_flags, compiler, sources)
        return target.name

    def get_outputs(self):
        built = Path(self.build_lib) / OPERATIONS
        return [str(built / self.library)] if self.library else []

    def get_output_mapping(self):
        inplace = self.inplace and self.library
        return {self.get_outputs()[0]: str(OPERATIONS / self.library)} if inplace else {}


# Without an extension the wheel fits every platform: it holds the sources only.
can_compile = os.name == "posix" and importlib.util.find_spec("tensorflow")
extensions = [Extension("bayes_by_hypernet.kernels.bbh_ops", sources=[], optional=True)]

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
    package_data={
        "bayes_by_hypernet.kernels": ["src/*.cc", "src/*.h"],
        "bayes_by_hypernet.paper.report": ["page.html"],
    },
    ext_modules=extensions if can_compile and build.find_compiler() else [],
    cmdclass={"build_ext": BuildOperations},
    python_requires=">=3.11,<3.14",  # matplotlib 3.11 needs Python 3.11
    install_requires=[
        "tensorflow>=2.18",
        "keras>=3.10",  # the first with `keras.Variable(synchronization=)`
        "tensorflow-probability[tf]>=0.25",  # [tf]: tf-keras, without which TFP does not import
        "tensorflow-datasets>=4.9.7",
        "importlib_resources>=6.0",  # TFDS 4.9.10 imports it and does not ask for it
        "tensorboard>=2.18",  # TensorFlow 2.21 no longer asks for it; `tf.summary` needs it
        "absl-py>=2.1",
        "numpy>=1.26",  # as TensorFlow 2.21
        "scipy>=1.11",
        "scikit-learn>=1.4",
        "matplotlib>=3.11",  # the first with cmti10.ttf, a font of the embedded set
        "pillow>=10.0",
        "jinja2>=3.1",
        "tqdm>=4.65",
        "filelock>=3.12",
    ],
    extras_require={
        "test": ["hypothesis>=6.100", "pytest>=8.0", "pytest-xdist>=3.6", "ruff>=0.9"],
        "docs": [
            "mkdocs-material>=9.7",
            "mkdocstrings[python]>=1.0",
            "mike>=2.1",
            "ziamath>=0.13",
        ],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)

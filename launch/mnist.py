"""Trains LeNet on MNIST with a method of the paper and prints its row of Tables 1 to 3 and 5.

python launch/mnist.py --method=bbh
python launch/mnist.py --flagfile=flags/mnist/table3_bbh_quick.flags
"""

import run_flags
import training_run
from absl import app, flags

flags.adopt_module_key_flags(run_flags)


def main(argv):
    training_run.main(argv, "lenet")


if __name__ == "__main__":
    app.run(main)

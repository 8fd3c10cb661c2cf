"""Trains ResNet-32 on CIFAR-5 with a method of the paper and prints its row of Table 4.

python launch/cifar5.py --method=bbh
python launch/cifar5.py --flagfile=flags/cifar5/table4_bbh_quick.flags
"""

import run_flags
import training_run
from absl import app, flags

flags.adopt_module_key_flags(run_flags)


def main(argv):
    training_run.main(argv, "resnet32")


if __name__ == "__main__":
    app.run(main)

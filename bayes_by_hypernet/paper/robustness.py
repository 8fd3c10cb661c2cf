"""How finished runs stand attacks, kept in their directories."""

import json
import pathlib

import keras
import tqdm

from bayes_by_hypernet.paper import schema
from bayes_by_hypernet.paper.posterior import load
from bayes_by_hypernet.paper.run_directory import RESULTS_FILE, write_json


def attack_run(directory, attack, load_data, overwrite=False):
    """Attacks a finished run, or reads what it left when it was attacked with the same settings.

    Args:
        directory: Folder of the run, where the record is kept as `<attack.record_name>.json`.
        attack: `adversarial.Attack`.
        load_data: Function of a `RunConfig` and the fingerprint of the run's data that returns the
            `Dataset`; called where the run has to be attacked.
        overwrite: Whether to attack it anew.

    Returns:
        Dict, the record: the attack's settings, `run`, the run's results, and `points`, see
        `Attack.curve`.

    Raises:
        ValueError: As `Attack.curve` and `load_data`.
        OSError, CheckpointError: If the folder holds no finished run, or its posterior is damaged.
    """
    directory = pathlib.Path(directory)
    results = schema.read(directory / RESULTS_FILE)
    settings = json.loads(json.dumps({**attack.settings, "run": results}))  # as in a file
    path = directory / f"{attack.record_name}.json"
    record = json.loads(path.read_text()) if path.exists() and not overwrite else {}
    if settings.items() <= record.items():
        return record
    keras.utils.clear_session()  # frees the posterior of the run before
    posterior = load(directory)
    test = load_data(posterior.config, results["data_fingerprint"]).test
    points = attack.curve(posterior, test)
    points = list(tqdm.tqdm(points, str(directory), len(attack.epsilons), unit="epsilon"))
    write_json(path, record := {**settings, "points": points})
    return record

"""What workers tell each other: several of them in threads of this process, without TensorFlow."""

import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time
from concurrent import futures
from pathlib import Path

import pytest
import tensorflow as tf

from bayes_by_hypernet import training
from bayes_by_hypernet.paper import run_directory
from bayes_by_hypernet.training import roll_call, stopping, tf_config, workers
from bayes_by_hypernet.training.checkpoints import Checkpoints

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_process_is_ended(monkeypatch):
    """A worker that nobody asks again would end the process of these tests after a while."""
    monkeypatch.setattr(workers, "GRACE_SECONDS", 10**6)


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def clusters(number):
    addresses = tuple(f"localhost:{port}" for port in free_ports(number))
    return [tf_config.Cluster(addresses, index) for index in range(number)]


def on_all(function, arguments):
    """Calls the function in a thread for each argument; returns the results or exceptions."""
    with futures.ThreadPoolExecutor(len(arguments)) as pool:
        calls = [pool.submit(function, argument) for argument in arguments]
        return [call.exception(timeout=30) or call.result() for call in calls]


def make_workers(number):
    made = on_all(lambda cluster: workers.Workers(cluster, 20), clusters(number))
    assert all(isinstance(each, workers.Workers) for each in made), made
    return made


def hang_up(worker):
    """What the kernel does for a process that dies."""
    for channel in worker._channels.values():
        channel._socket.shutdown(socket.SHUT_RDWR)


class TestTFConfig:
    def test_reads_workers(self):
        text = json.dumps(
            {
                "cluster": {"worker": ["a:1", "[::1]:2"]},
                "task": {"type": "worker", "index": 1},
                "environment": "cloud",
            }
        )
        cluster = tf_config.read(text)
        assert cluster == (("a:1", "[::1]:2"), 1)
        assert cluster.name(0) == "worker 0, the chief (a:1)"
        assert tf_config.split("[::1]:2") == ("::1", 2)

    @pytest.mark.parametrize("job, index, expected", [("chief", 0, 0), ("worker", 1, 2)])
    def test_a_chief_is_worker_0(self, job, index, expected):
        cluster = {"chief": ["c:1"], "worker": ["a:1", "b:1"]}
        text = json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})
        assert tf_config.read(text) == (("c:1", "a:1", "b:1"), expected)

    @pytest.mark.parametrize(
        "text, said",
        [
            ("{", "be JSON"),
            ("[]", "'cluster' and 'task'"),
            ('{"cluster": {}}', "'cluster' and 'task'"),
            ('{"cluster": [], "task": {}}', "cluster.worker"),
            ('{"cluster": {"worker": "a:1"}, "task": {}}', "a list of addresses"),
            ('{"cluster": {"worker": []}, "task": {}}', "at least one worker"),
            ('{"cluster": {"worker": ["a"]}, "task": {}}', "'host:port'"),
            ('{"cluster": {"worker": ["a:70000"]}, "task": {}}', "from 1 to 65535"),
            ('{"cluster": {"worker": [5]}, "task": {}}', "'host:port'"),
            ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {}}', "'a:1' is there twice"),
            ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {}}', "not ps"),
            ('{"cluster": {"chief": ["a:1", "b:1"]}, "task": {}}', "one chief"),
            ('{"cluster": {"worker": ["a:1"]}, "task": {}}', "as task.type"),
            ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief"}}', "as task.type"),
            ('{"cluster": {"worker": ["a:1"]}, "task": {"type": ["x"]}}', "as task.type"),
            (
                '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
                "from 0 to 0 as task.index",
            ),
            (
                '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": true}}',
                "task.index",
            ),
        ],
    )
    def test_says_what_is_wrong(self, text, said):
        with pytest.raises(ValueError, match="TF_CONFIG must") as error:
            tf_config.read(text)
        assert said in str(error.value) and f"Received: TF_CONFIG={text}" in str(error.value)

    def test_is_checked_before_tensorflow_sees_it(self, monkeypatch):
        monkeypatch.setenv("TF_CONFIG", "{")
        with pytest.raises(ValueError, match="TF_CONFIG must be JSON"):
            training.make_strategy()


class TestRollCall:
    def test_says_who_is_missing(self):
        first, second, _ = clusters(3)
        errors = on_all(lambda cluster: workers.Workers(cluster, 3), [first, second])
        for error in errors:
            assert isinstance(error, training.WorkersError)
            assert f"worker 2 ({first.addresses[2]}): not there" in str(error)

    def test_says_that_the_chief_is_missing(self):
        with pytest.raises(training.WorkersError, match="worker 0, the chief .*: not there"):
            roll_call.meet(clusters(2)[1], 1)

    def test_passes_over_strangers(self):
        both = clusters(2)
        address = tf_config.split(both[0].addresses[0])

        def stranger_and_worker(_):
            with contextlib.ExitStack() as stack:
                while True:
                    with contextlib.suppress(ConnectionRefusedError):
                        connection = stack.enter_context(socket.create_connection(address))
                        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                        return roll_call.meet(both[1], 20)

        results = on_all(
            lambda call: call(),
            [lambda: roll_call.meet(both[0], 20), lambda: stranger_and_worker(0)],
        )
        assert [list(result) for result in results] == [[1], [0]]

    def test_refuses_another_cluster(self):
        first, second = clusters(2)
        other = tf_config.Cluster((*second.addresses, "elsewhere:1"), 1)
        errors = on_all(lambda cluster: roll_call.meet(cluster, 10), [first, other])
        for error in errors:
            assert "TF_CONFIG names other workers" in str(error) and "elsewhere:1" in str(error)

    def test_refuses_a_place_that_is_taken(self):
        first, second, third = clusters(3)
        chief = threading.Thread(target=on_all, args=(lambda c: roll_call.meet(c, 20), [first]))
        chief.start()
        joined = threading.Thread(target=roll_call._join, args=(second, 20))
        joined.start()
        joined.join(1)
        with pytest.raises(training.WorkersError, match="Another process is worker 1"):
            roll_call._join(second, 20)
        roll_call.meet(third, 20)
        chief.join()
        joined.join()

    def test_says_that_a_port_is_taken(self):
        cluster = clusters(2)[0]
        with socket.create_server(("", tf_config.split(cluster.addresses[0])[1])):
            with pytest.raises(training.WorkersError, match="cannot listen at port"):
                roll_call.meet(cluster, 1)


class TestWorkers:
    def test_gather_gives_all_values_to_all(self):
        three = make_workers(3)
        answers = on_all(lambda w: [w.gather(w.cluster.index), w.gather((1, None))], three)
        assert answers == 3 * [[[0, 1, 2], 3 * [[1, None]]]]
        assert [w.is_chief for w in three] == [True, False, False]

    def test_a_verdict_of_the_chief_reaches_all(self):
        values = on_all(lambda w: w.from_chief(lambda: w.cluster.index + 7), make_workers(2))
        assert values == [7, 7]

    @pytest.mark.parametrize(
        "error, expected",
        [
            (training.NonFiniteLossError("nan"), training.NonFiniteLossError),
            (KeyError("x"), training.WorkersError),
        ],
    )
    def test_an_error_of_the_chief_reaches_all(self, error, expected):
        def fail():
            raise error

        first, second = on_all(lambda w: w.from_chief(fail), make_workers(2))
        assert first is error
        assert type(second) is expected and str(error) in str(second)

    def test_compare_names_what_differs_and_where(self):
        def compare(w):
            w.compare({"--seed": 1, "--learning_rate": [0.1, 0.2, 0.1][w.cluster.index]})

        errors = on_all(compare, three := make_workers(3))
        for error in errors:
            assert (
                f"--learning_rate is 0.2 on {three[0].cluster.name(1)} and 0.1 on worker 0"
                in str(error)
            )
            assert "--seed" not in str(error) and "worker 2" not in str(error)

    @pytest.mark.parametrize("dead", [0, 1])
    def test_all_hear_of_one_that_dies(self, dead):
        three = make_workers(3)
        others = [w for w in three if w.cluster.index != dead]
        hang_up(three[dead])
        errors = on_all(lambda w: w.gather(), others)
        for error in errors:
            assert isinstance(error, training.WorkersError)
            assert f"orker {dead}" in str(error) and "without a word" in str(error)

    def test_all_hear_why_one_ends(self):
        first, second, third = make_workers(3)
        with pytest.raises(ValueError), second.telling():
            raise ValueError("no such\nfile")
        for error in on_all(lambda w: w.gather(), [first, third]):
            assert f"{second.name(1)} ended: ValueError: no such file" in str(error)

    def test_an_error_of_tensorflow_becomes_what_caused_it(self):
        first, second = make_workers(2)
        hang_up(second)
        with pytest.raises(training.WorkersError, match="Worker 1"), first.telling():
            raise tf.errors.UnavailableError(None, None, "Socket closed")

    def test_one_that_ends_after_all_have_waited_has_not_failed(self):
        first, second = make_workers(2)
        on_all(lambda w: w.wait(), [first, second])
        hang_up(second)
        while first._inbox.empty():  # until it has heard of it
            time.sleep(0.01)
        with pytest.raises(training.WorkersError, match="Another worker has ended"):
            first.gather()
        assert first._failure is None

    def test_a_lone_one_is_trivial(self):
        lone = training.workers_of(tf.distribute.get_strategy())
        assert lone.is_chief and lone.gather(5) == [5] and lone.from_chief(lambda: 6) == 6
        lone.compare({"x": 1})
        lone.wait()
        with pytest.raises(ValueError, match="^as it is$"), lone.telling():
            raise ValueError("as it is")


def test_a_request_to_stop_passes_from_worker_to_worker():
    request = stopping.Stopped(15)
    passed = stopping.Stopped.first([None, request.to_json()])
    assert passed.signal == 15 and passed.deadline is None
    assert stopping.Stopped.first([None, None]) is None
    assert stopping.Stopped.first([[15, 100.0]]).leaves(90)
    assert not stopping.Stopped.first([[15, 100.0]]).leaves(110)


def test_a_run_directory_must_be_shared(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()

    def check(w):
        run_directory.check_shared(folders[w.cluster.index], w)

    for error in on_all(check, make_workers(2)):
        assert isinstance(error, run_directory.RunDirectoryError)
        assert "Worker 1" in str(error) and str(folders[1]) in str(error)
    shared = on_all(lambda w: run_directory.check_shared(folders[0], w), make_workers(2))
    assert shared == [None, None]
    assert not any(folders[0].iterdir())


def test_all_restore_the_checkpoint_that_the_chief_chose(tmp_path):
    def checkpoints(folder):
        step = tf.Variable(0, dtype=tf.int64)
        return step, Checkpoints(folder, 0, step=step)

    step, saved = checkpoints(tmp_path / "a")
    for value in (1, 2):
        step.assign(value)
        saved.save()
    for path in (tmp_path / "a").glob("ckpt-2.data*"):  # damaged, but only the chief looks
        path.write_bytes(b"")
    mine = [checkpoints(tmp_path / "a"), checkpoints(tmp_path / "a")]
    paths = on_all(lambda w: mine[w.cluster.index][1].restore(w), make_workers(2))
    assert paths == 2 * [os.fspath(tmp_path / "a" / "ckpt-1")]
    assert [int(step.numpy()) for step, _ in mine] == [1, 1]
    # On another disk there is none of that name.
    mine[1] = checkpoints(tmp_path / "b")
    for error in on_all(lambda w: mine[w.cluster.index][1].restore(w), make_workers(2)):
        assert isinstance(error, training.CheckpointError) and "Worker 1" in str(error)


def _tf_config_of(script, **environment):
    process = subprocess.run(
        ["bash", "-c", f'source launch/{script} && printf %s "$TF_CONFIG"'],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return tf_config.read(process.stdout)


class TestRecipes:
    def test_slurm(self):
        hosts = {"HOSTS": "n1 n2 n3 ", "SLURM_PROCID": "2", "SLURM_JOB_ID": "1234567"}
        cluster = _tf_config_of("tf_config_from_slurm.sh", **hosts)
        assert cluster == (("n1:24567", "n2:24567", "n3:24567"), 2)

    def test_kubernetes(self):
        variables = {"NUM_WORKERS": "2", "ADDRESS": "w-%d.s:2222", "JOB_COMPLETION_INDEX": "1"}
        cluster = _tf_config_of("tf_config_from_index.sh", **variables)
        assert cluster == (("w-0.s:2222", "w-1.s:2222"), 1)

    def test_the_page_names_these_scripts_and_valid_configurations(self):
        text = (REPOSITORY / "docs" / "workers.md").read_text()
        for name in re.findall(r"source (\S+\.sh)", text):
            assert (REPOSITORY / name).is_file()
        configurations = re.findall(r"TF_CONFIG='(.*)'", text)
        assert len(configurations) == 4
        assert [tf_config.read(each).index for each in configurations] == [0, 1, 0, 1]

    def test_the_jobset_counts_and_names_its_pods(self):
        text = (REPOSITORY / "docs" / "workers.md").read_text()
        [block] = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
        numbers = re.findall(r"(?:parallelism|completions): (\d+)", block)
        numbers += re.findall(r'NUM_WORKERS\n +value: "(\d+)"', block)
        assert len(numbers) == 3 and len({*numbers}) == 1
        jobset, job = re.findall(r"^ +(?:- )?name: (bbh|worker)$", block, flags=re.MULTILINE)[:2]
        # JobSet's names: <set>-<job>-<job's index>-<pod's index>.<set>
        [address] = re.findall(r'ADDRESS\n +value: "(.*)"', block)
        assert address == f"{jobset}-{job}-0-%d.{jobset}:2222"

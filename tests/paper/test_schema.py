"""Versions of `config.json` and `results.json`: older ones are migrated, newer ones refused."""

import json
from pathlib import Path

import pytest

from bayes_by_hypernet.paper import schema

COMMITTED = Path(__file__).resolve().parents[2] / "results"


def _write(path, **contents):
    path.write_text(json.dumps(contents))
    return path


class TestRead:
    def test_the_current_version_is_read_as_it_is(self, tmp_path):
        contents = {"schema_version": schema.SCHEMA_VERSION, "epochs": 3, "options": {"a": None}}
        assert schema.read(_write(tmp_path / "config.json", **contents)) == contents

    def test_a_file_without_a_version_is_of_version_0(self, tmp_path):
        contents = schema.read(_write(tmp_path / "config.json", epochs=3))
        assert contents == {"schema_version": schema.SCHEMA_VERSION, "epochs": 3}

    def test_older_files_go_through_every_migration_in_order(self, tmp_path, monkeypatch):
        monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
        migrations = {
            0: lambda contents: {**contents, "rate": 1},
            1: lambda contents: {**contents, "rate": contents["rate"] + 1},
            2: lambda contents: {"learning_rate": 10 * contents["rate"]},
        }
        monkeypatch.setattr(schema, "MIGRATIONS", migrations)
        oldest = schema.read(_write(tmp_path / "a.json", epochs=3))
        assert oldest == {"learning_rate": 20, "schema_version": 3}
        newer = schema.read(_write(tmp_path / "b.json", schema_version=2, rate=5))
        assert newer == {"learning_rate": 50, "schema_version": 3}

    @pytest.mark.parametrize("version", [schema.SCHEMA_VERSION + 1, "two"])
    def test_what_is_not_known_is_refused_by_name(self, version, tmp_path):
        path = _write(tmp_path / "results.json", schema_version=version)
        with pytest.raises(schema.SchemaError) as refused:
            schema.read(path)
        for part in (repr(str(path)), f"={version!r}", f"at most {schema.SCHEMA_VERSION}"):
            assert part in str(refused.value)

    def test_there_is_a_migration_from_every_older_version(self):
        assert list(schema.MIGRATIONS) == list(range(schema.SCHEMA_VERSION))

    def test_the_committed_results_are_readable(self):
        paths = list(COMMITTED.rglob("results.json"))
        assert len(paths) > 20
        for path in paths:
            assert schema.read(path)["complete"]

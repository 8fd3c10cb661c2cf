"""What tests of figures look at."""

import pytest

from bayes_by_hypernet.paper.figures import style


@pytest.fixture
def saved(monkeypatch):
    """The figures that are saved, by path."""
    figures, save = {}, style.save

    def spy(figure, path):
        figures[path] = figure
        return save(figure, path)

    monkeypatch.setattr(style, "save", spy)
    return figures

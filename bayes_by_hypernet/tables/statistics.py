"""Tables of what the paper shows as figures only: posterior statistics, the toy regression."""

from bayes_by_hypernet.tables.formats import DASH

# Heading of a column to the name of its number and its format.
_POSTERIOR = {
    "Varying weights": ("num_varying_weights", "{}"),
    "Median stddev": ("median_stddev", "{:.4f}"),
    "Not normal": ("non_normal_share", "{:.1%}"),
    "Several modes": ("multi_modal_share", "{:.1%}"),
    "Mean |r|": ("mean_absolute_correlation", "{:.3f}"),
    "If independent": ("independent_absolute_correlation", "{:.3f}"),
}
_TOY = {
    "Log likelihood inside": ("log_likelihood_inside", "{:.2f}"),
    "outside [nats per point]": ("log_likelihood_outside", "{:.2f}"),
    "Band inside": ("band_inside", "{:.2f}"),
    "outside [standard deviation]": ("band_outside", "{:.2f}"),
    "Training NLL [nats]": ("train_nll", "{:.2f}"),
    "Seconds": ("train_seconds", "{:.0f}"),
}


def posterior_table(summaries) -> tuple[list, list]:
    """Returns header and rows of posterior statistics; a run lacks those that it cannot have.

    Args:
        summaries: Pairs of a run's label and its `WeightStatistics.summary()`.
    """
    return _table("Run", _POSTERIOR, summaries)


def toy_table(numbers) -> tuple[list, list]:
    """Returns header and rows of the toy regression.

    Args:
        numbers: Pairs of a method's label and what `toy_regression.run` says of it.
    """
    return _table("Method", _TOY, numbers)


def _table(first, columns, records):
    rows = []
    for label, record in records:
        cells = [(record[name], template) for name, template in columns.values()]
        rows.append([label, *(DASH if n is None else template.format(n) for n, template in cells)])
    return [first, *columns], rows

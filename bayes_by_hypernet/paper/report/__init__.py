"""The page that shows runs: tables, figures, settings, in one file that needs no network."""

from bayes_by_hypernet.paper.report.page import write_report

__all__ = ["write_report"]

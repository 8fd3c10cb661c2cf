"""The report's page: whole, self-contained, true to the runs, and safe with what they say."""

import base64
import html.parser
import json
import re

import pytest
import run_folders

from bayes_by_hypernet.paper import tables
from bayes_by_hypernet.paper.report import write_report

RUNS = {
    "map": "map",
    "ensemble": "ensemble",
    "bbh": "bbh_layerwise_independent",
    "bbh_shared": "bbh_layerwise_shared",
}


class Page(html.parser.HTMLParser):
    """What a page holds: tables as lists of rows, images, links, and whether all tags close."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.tables, self.images, self.links, self.ids, self.open = [], [], [], [], []
        self.cell = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += filter(None, [attributes.get("id")])
        if tag == "img":
            self.images.append(attributes)
        elif tag == "a":
            self.links.append(attributes["href"])
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.cell = True
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self.cell:
            self.tables[-1][-1][-1] += data


@pytest.fixture
def folder(tmp_path):
    """Folder of runs that hold everything there can be."""
    for name, committed in RUNS.items():
        run = tmp_path / "runs" / name
        run_folders.make(run, committed)
        points = [{"epsilon": e, "accuracy": 1 - e, "relative_entropy": e} for e in (0.0, 0.4)]
        record = {"attack": "fast_sign", "average": "examples", "num_images": 1000}
        results = json.loads((run / "results.json").read_text())
        record |= {"num_samples": 100, "epsilons": [0.0, 0.4], "run": results, "points": points}
        (run / "adversarial_fast_sign_examples.json").write_text(json.dumps(record))
        run_folders.shift_record(run, {"jpeg": 1, "rotate": 2})
        (run / "figures").mkdir()
        for figure in ("examples.png", "posterior_histograms.png", "examples.pdf"):
            (run / "figures" / figure).write_bytes(f"{name} {figure}".encode())
    source = run_folders.COMMITTED / "bbh_layerwise_independent" / "posterior.json"
    (tmp_path / "runs" / "bbh" / "posterior.json").write_text(source.read_text())
    (tmp_path / "toy").mkdir()
    toy = {"log_likelihood_inside": -3.5, "log_likelihood_outside": -100.0}
    toy |= {"band_inside": 2.25, "band_outside": 9.0, "train_nll": 7.1, "train_seconds": 61.2}
    (tmp_path / "toy" / "toy.json").write_text(json.dumps({"bbh": toy}))
    (tmp_path / "toy" / "toy.png").write_bytes(b"the toy")
    return tmp_path


def _write(folder, **choice):
    found = tables.find_runs(folder / "runs")
    toys = [path.parent for path in folder.glob("toy/toy.json")]
    path = write_report(found, folder / "out", toys, **choice)
    assert path == folder / "out" / "index.html"
    page = Page(path.read_text())
    assert page.open == []
    return page


def test_holds_the_tables_of_the_runs(folder):
    page = _write(folder)
    found = tables.find_runs(folder / "runs")
    expected = [
        [table.header, *([str(cell) for cell in row] for row in table.rows)]
        for table in tables.make_tables(found.values())
        if any(line.runs for line in table.lines)
    ]
    assert len(expected) == 3  # Tables 1, 2 and 3: Table 5 and CIFAR-5's have no run
    assert page.tables[:3] == expected


def test_runs_of_before_and_with_later_measures_stand_side_by_side(folder):
    later = {"classwise_ece": 0.0123, "auroc_mutual_information": None, "fitted_temperature": 1.25}
    before = _write(folder).tables
    assert not any("classwise_ece" in row for table in before for row in table)
    run_folders.make(folder / "runs" / "map", RUNS["map"], **later)
    after = _write(folder).tables
    rows = [row for table in after for row in table]
    assert ["classwise_ece", "0.0123"] in rows and ["fitted_temperature", "1.25"] in rows
    assert after[:3] == before[:3]  # the paper's tables


def test_needs_nothing_but_itself_and_leaves_the_figures_beside_it(folder):
    page = _write(folder)
    text = (folder / "out" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', text)
    assert "@import" not in text and "<script" not in text
    assert {link.removeprefix("#") for link in page.links} <= {*page.ids}
    shown = [base64.b64decode(image["src"].split(",")[1]) for image in page.images]
    beside = {path.read_bytes() for path in (folder / "out" / "figures").glob("*.png")}
    assert {*shown} == beside and len(shown) == len(beside)
    assert all(image["alt"] for image in page.images)
    names = {path.name for path in (folder / "out" / "figures").iterdir()}
    [data] = {run["data_fingerprint"] for run in tables.find_runs(folder / "runs").values()}
    for table in (1, 2, 3):
        for kind in ("entropy", "reliability", "training"):
            name = f"table{table}_mnist_quick_{data}_{kind}"
            assert {f"{name}.png", f"{name}.pdf"} <= names
    assert any(name.endswith("runs_bbh_examples.pdf") for name in names) and "toy_0.png" in names
    assert any(name.startswith("mnist_quick_adversarial_fast_sign_examples") for name in names)
    for kind in ("", "_error_percent", "_nll"):
        assert {f"mnist_quick_shift_1{kind}.png", f"mnist_quick_shift_1{kind}.pdf"} <= names


def test_holds_numbers_of_posterior_and_toy_and_the_settings_of_every_run(folder):
    page = _write(folder)
    [posterior] = [table for table in page.tables if "Several modes" in table[0]]
    assert posterior[1][:4] == ["BbH, independent noise, d = 1", "500", "0.0134", "97.4%"]
    [toy] = [table for table in page.tables if table[0][0] == "Method"]
    assert toy[1] == ["BbH", "-3.50", "-100.00", "2.25", "9.00", "7.10", "61"]
    settings = [dict(table) for table in page.tables if table[0] == ["Name", "Value"]]
    assert len(settings) == len(RUNS)
    for of_run in settings:
        assert of_run["protocol"] == "quick" and of_run["tensorflow version"] and of_run["hardware"]


def test_holds_tables_of_corrupted_images(folder):
    page = _write(folder)
    [by_strength] = [table for table in page.tables if table[0][:2] == ["Measure", "Run"]]
    assert by_strength[1] == ["error [%]", "MAP", "1.00", "2.50", "4.00", "5.50", "7.00", "8.50"]
    assert len(by_strength) == 1 + 4 * len(RUNS)
    [by_family] = [table for table in page.tables if table[0][0].startswith("error [%], mean")]
    assert [row[:2] for row in by_family[1:]] == [
        ["jpeg", "4.00"],
        ["rotate", "7.00"],
        ["mean", "5.50"],
    ]
    assert "#shift" in page.links and "shift" in page.ids


def test_runs_without_corrupted_images_have_no_such_section(folder):
    for path in (folder / "runs").glob("*/shift.json"):
        path.unlink()
    page = _write(folder)
    assert "shift" not in page.ids
    text = (folder / "out" / "index.html").read_text()
    assert "does not hold: corrupted test images (launch/shift.py)." in text


def test_warns_of_short_protocols_and_of_fallbacks(folder):
    run_folders.make(folder / "runs" / "map", "map", fallback_reason="No <MNIST> & no network.")
    _write(folder)
    text = (folder / "out" / "index.html").read_text()
    assert "not to be compared" in text
    assert "No &lt;MNIST&gt; &amp; no network." in text and "<MNIST>" not in text


def test_runs_that_hold_only_results_are_shown_with_what_is_missing(tmp_path):
    run = tmp_path / "runs" / "bare"
    run.mkdir(parents=True)
    source = run_folders.COMMITTED / "map" / "results.json"
    (run / "results.json").write_text(source.read_text())
    page = _write(tmp_path)
    assert page.images == [] and len(page.tables) == 2  # Table 3, and the settings
    text = (tmp_path / "out" / "index.html").read_text()
    assert "does not hold" in text and "launch/adversarial.py" in text


def test_runs_of_no_row_have_a_table_figures_and_settings(tmp_path):
    run_folders.make(tmp_path / "runs" / "wide-batch", "map", batch_size=7)
    page = _write(tmp_path)
    header, row = page.tables[0]
    assert (
        dict(zip(header, row, strict=True)).items() >= {"Run": "wide-batch", "NLL": "0.031"}.items()
    )
    assert len(page.images) == 3  # entropies, reliability, training
    [settings] = [dict(table) for table in page.tables if table[0] == ["Name", "Value"]]
    assert settings["batch_size"] == "7"
    text = (tmp_path / "out" / "index.html").read_text()
    assert "wide-batch, quick protocol" in text and "MAP&#39;, but with batch_size=7" in text


def test_attacks_of_other_settings_are_other_figures(folder):
    path = folder / "runs" / "map" / "adversarial_fast_sign_examples.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "num_images": 10}))
    _write(folder)
    attacks = list((folder / "out" / "figures").glob("*adversarial_*.png"))
    assert len(attacks) == 2


def test_side_by_side_figures_of_posteriors_replace_those_of_single_runs(folder):
    figure = folder / "runs" / "map" / "figures" / "posterior_histograms_compared.png"
    figure.write_bytes(b"side by side")
    _write(folder)
    [path] = (folder / "out" / "figures").glob("*posterior*")
    assert path.name.endswith("runs_map_posterior_histograms_compared.png")


def test_data_and_folders_of_one_name_do_not_share_figures(folder):
    for name, other in (("map", "1234"), ("bbh", None)):
        changes = {"data_fingerprint": other} if other else {}
        run_folders.make(folder / "runs" / "again" / name, RUNS[name], **changes)
        source = folder / "runs" / name / "figures" / "examples.png"
        target = folder / "runs" / "again" / name / "figures" / "examples.png"
        target.parent.mkdir()
        target.write_bytes(source.read_bytes() + b" again")
    page = _write(folder)
    shown = [base64.b64decode(image["src"].split(",")[1]) for image in page.images]
    assert len({*shown}) == len(shown)
    assert b"map examples.png" in shown and b"map examples.png again" in shown

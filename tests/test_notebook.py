"""What a notebook shows of a value, read as a browser reads it."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import sklearn

import bayesgmm as bg
from bayesgmm.notebook import card

NAMES = ["<script>alert(1)</script>", "a & b < c", "'\"{{ 7 * 7 }}"]


class Words(HTMLParser):
    """The text of a piece of HTML, cell by cell, and its tags."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.words, self.tags, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def fitted():
    x = np.random.default_rng(0).normal(size=(60, 3)) + 6 * (np.arange(60)[:, None] % 2)
    gmm = bg.GaussianMixture(2, covariance_type="diag", inference="map", n_init=2, random_state=0, progressbar=False)
    return gmm.fit(pd.DataFrame(x, columns=NAMES))


def of_card(value):
    read = Words(value._repr_html_())
    assert read.open == []
    assert set(read.tags) <= {"div", "table", "thead", "tbody", "tr", "th", "td"}
    return read.words


def test_an_estimator_shows_scikit_learns_diagram_and_what_was_fitted(fitted):
    before = bg.GaussianMixture(2)
    for shown in (fitted._repr_html_(), fitted._repr_mimebundle_()["text/html"]):
        assert "sk-container" in shown
        words = Words(shown[shown.rindex('<div style="color: inherit') :]).words
        assert words[:2] == [
            "2 components in 60 rows of 3 features",
            "Weights and means: those of the posterior's mode.",
        ]
        assert words[2:7] == ["component", "weight", *NAMES]
        assert words[7:10] == ["0", f"{fitted.weights_[0]:.3f}", f"{fitted.means_[0, 0]:.4g}"]
    assert "rows of" not in before._repr_html_()
    with sklearn.config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")
        assert list(fitted._repr_mimebundle_()) == ["text/plain"]


def test_an_estimate_shows_its_components_and_how_it_was_found(fitted):
    estimate = fitted.map_
    words = of_card(estimate)
    assert words[0] == "MAP estimate, converged"
    assert f"log posterior {estimate.log_posterior:.3f}" in words[1]
    assert "2 starts found" in words[2]
    assert all(name in words for name in NAMES)


def test_a_diagnosis_shows_its_reasons_and_what_failed_first():
    table = pd.DataFrame(
        {"value": [1.2, 1.0], "limit": [1.01, np.nan], "passed": [False, True]}, index=pd.Index(["r_hat", "<b>"])
    )
    words = of_card(bg.Diagnosis("fail", ("chains disagree: 3 < 4 & more",), table.iloc[::-1]))
    assert words[:2] == ["Diagnosis, fail: do not use these draws.", "- chains disagree: 3 < 4 & more"]
    assert words[2:] == ["check", "value", "limit", "passed", "r_hat", "1.2", "1.01", "no", "<b>", "1", "yes"]


def test_a_partition_shows_the_sizes_of_its_clusters():
    labels = np.array([0, 0, 0, 1, 1, 2])
    words = of_card(bg.Partition(labels, 3, 0.25, 0.5, (2, 4), labels, "binder", 0.89, 100))
    assert words[0] == "Partition into 3 clusters"
    assert "expected loss 0.25 of the pairs of rows" in words[1]
    assert words[2].endswith("within 0.5: 2 to 4 clusters")
    assert words[3:] == ["cluster", "rows", "0", "3", "1", "2", "2", "1"]


def test_an_evidence_shows_its_error_and_what_speaks_against_it():
    words = of_card(bg.Evidence(-12.345, 0.02, "bridge", ("too few & too <alike>",), -12.4, 0.05, -12.0))
    assert words[0] == "Evidence: log evidence -12.35, standard error 0.020"
    assert words[1:] == [
        "bridge", "by reciprocal importance sampling -12.40 (0.05)", "by Laplace's method -12.00",
        "too few & too <alike>",
    ]  # fmt: skip


def test_a_selection_shows_its_models_in_their_order(faithful):
    selection = bg.select(faithful, n_components=[1, 2], covariances=["full", "diag"], shortlist=0, random_seed=1)
    words = of_card(selection)
    assert words[0] == "Selection: 2 components, full covariances, by BIC"
    assert [word for word in words if word in ("full", "diag")] == selection.table["covariance_type"].tolist()
    assert f"{selection.table['bic'].iloc[0]:.2f}" in words


def test_a_long_table_says_how_much_is_left_out():
    read = Words(card("many", head=["k"], rows=[[k] for k in range(20)])).words
    assert read[-2:] == ["11", "and 8 more"]
    assert Words(card("few", head=["k"], rows=[["x" * 99]])).words[-1] == "x" * 31 + "\u2026"

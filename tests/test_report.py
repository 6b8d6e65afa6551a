"""The page: what it says, and what a browser makes of it."""

import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, StorageError
from bayesgmm.reports.html import number

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = ["<script>window.pwned = 1</script>", "'\"><img src=x onerror='window.pwned = 2'>", "\U0001f600 {{ 7 * 7 }}"]
HOSTILE += ["x" * 500]


def hostile_frame(n_rows=120):
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 2, size=(3, len(HOSTILE)))
    x = centres[rng.integers(3, size=n_rows)] + rng.normal(size=(n_rows, len(HOSTILE)))
    return pd.DataFrame(x, columns=HOSTILE)


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    dt = bg.find_MAP(bg.build_model(hostile_frame(), 3, "diag"), n_init=3, random_seed=0).laplace(60, random_seed=0)
    return bg.report(
        dt, tmp_path_factory.mktemp("page") / "hostile.html", title="</title><script>window.pwned = 3</script>"
    )


@pytest.fixture(scope="module")
def page(faithful_draws, tmp_path_factory):
    return bg.report(faithful_draws, tmp_path_factory.mktemp("page") / "report.html")


class Tags(HTMLParser):
    """The tags of a page, their attributes, and whether they are closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.open, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "source", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_page_says_verdict_numbers_and_how_to_make_it_again(page, faithful_draws):
    text = page.read_text(encoding="utf-8")
    tags = Tags(text)
    assert tags.open == []
    words = " ".join(" ".join(tags.text).split())
    assert words.index("Nothing speaks against these results") < words.index("Weights and means")
    posterior = faithful_draws["posterior"]
    for value in (
        posterior["weights"][..., 0].mean(),
        posterior["means"][..., 1, 0].quantile(0.055),
        posterior["covariances"][..., 1, 0, 1].mean(),
        np.sqrt(posterior["covariances"][..., 0, 1, 1]).quantile(0.945),
    ):
        assert number(float(value)) in words
    for prior in ("Dirichlet(1, 1)", "eruptions: Normal(3.35, sd 3.5)", "LKJ(2.5)", "eruptions: 0.001; waiting: 1"):
        assert prior in words
    assert "nutpie" in words


def test_every_picture_has_words_and_both_themes(page):
    tags = Tags(page.read_text(encoding="utf-8")).found
    images = [a for t, a in tags if t == "img"]
    sources = [a for t, a in tags if t == "source"]
    assert len(images) == len(sources) == 9
    for image, source in zip(images, sources, strict=True):
        assert len(image["alt"]) > 40
        assert image["src"].startswith("data:image/png;base64,")
        assert source["srcset"] != image["src"]
    assert all(not a.get(name, "").startswith("http") for _, a in tags for name in ("src", "href", "srcset"))


def test_the_code_on_the_page_makes_the_same_draws_again(faithful, tmp_path):
    model = bg.build_model(faithful, 2)
    estimate = bg.find_MAP(model, n_init=4, random_seed=3)
    dt = bg.sample(model, start=estimate, draws=30, chains=2, random_seed=4, progressbar=False)
    text = bg.report(bg.load(bg.save(dt, tmp_path / "fit.nc")), tmp_path / "r.html").read_text(encoding="utf-8")
    code = unescape(re.search(r"<code>(.*?)</code>", text, re.DOTALL)[1])
    faithful.to_csv(tmp_path / "your-data.csv", index=False)
    code = code.replace("your-data.csv", str(tmp_path / "your-data.csv")).split("bg.report(")[0]
    names = {}
    exec(code, names)
    np.testing.assert_array_equal(names["dt"]["posterior"]["means"], dt["posterior"]["means"])


def test_users_priors_are_named(faithful, tmp_path):
    import pymc as pm

    priors = bg.Priors(concentration=2.0, means=pm.Normal.dist(0, 50), scales=pm.HalfNormal.dist(20), lkj_eta=4)
    dt = bg.find_MAP(bg.build_model(faithful, 2, priors=priors), n_init=2, random_seed=0).laplace(50, random_seed=0)
    words = " ".join(Tags(bg.report(dt, tmp_path / "r.html").read_text(encoding="utf-8")).text)
    for prior in ("Dirichlet(2, 2)", "Normal(0, 50)", "HalfNormal(0, 20)", "LKJ(4)", "concentration=[2.0, 2.0]"):
        assert prior in words


def test_names_from_the_data_are_escaped_everywhere(hostile_page):
    text = hostile_page.read_text(encoding="utf-8")
    tags = Tags(text)
    assert [a for t, a in tags.found if t == "script"] == [{}]  # our own
    assert all(a.get("src", "data:").startswith("data:") for t, a in tags.found if t == "img")
    assert not any(name.startswith("on") for _, a in tags.found for name in a)
    words = "".join(tags.text)
    for name in HOSTILE[:3]:
        assert name in words


@pytest.mark.parametrize(
    ("covariance_type", "n_components", "n_features"),
    [("full", 1, 1), ("full", 2, 3), ("tied", 3, 1), ("tied", 2, 3), ("diag", 1, 2), ("spherical", 2, 3)],
)
def test_pages_of_every_kind_of_fit(covariance_type, n_components, n_features, tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, n_features)) + 5 * rng.integers(n_components, size=(50, 1))
    model = bg.build_model(x, n_components, covariance_type)
    dt = bg.find_MAP(model, n_init=2, random_seed=0).laplace(30, random_seed=0)
    assert Tags(bg.report(dt, tmp_path / "r.html").read_text(encoding="utf-8")).open == []


def test_ten_thousand_rows_take_less_than_three_megabytes(tmp_path):
    rng = np.random.default_rng(2)
    x = rng.normal(0, 4, size=(5, 6))[rng.integers(5, size=10_000)] + rng.normal(size=(10_000, 6))
    dt = bg.find_MAP(bg.build_model(x, 5, "diag"), n_init=1, random_seed=0).laplace(50, random_seed=0)
    assert bg.report(dt, tmp_path / "r.html").stat().st_size < 3e6


def test_report_says_what_is_wrong_and_keeps_what_was_there(faithful_draws, tmp_path):
    old = tmp_path / "old.html"
    old.write_text("old")
    for arguments in ({"ci_prob": 89}, {"n_rows": 0}, {"title": 3}):
        with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
            bg.report(faithful_draws, old, **arguments)
    with pytest.raises(StorageError, match="is a folder"):
        bg.report(faithful_draws, tmp_path)
    assert old.read_text() == "old"


def test_numbers_are_read_easily():
    shown = [number(v) for v in (0, 3, 0.35812, 54.4912, 1234.5678, 123456, 1e-9, np.nan, None)]
    assert shown == ["0", "3", "0.3581", "54.49", "1235", "123\u202f456", "1.000e-09", "\u2013", "\u2013"]


# In a browser -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A container's root may not use Chromium's own sandbox.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser, path: Path, **context):
    """The page in a browser, and what it complained about or asked for."""
    tab = browser.new_context(viewport={"width": 1200, "height": 900}, **context).new_page()
    complaints = []
    tab.on("console", lambda message: complaints.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    tab.on("dialog", lambda dialog: complaints.append("dialog"))
    own = path.as_uri()
    tab.on("request", lambda r: None if r.url.startswith(("data:", own)) else complaints.append(f"request: {r.url}"))
    tab.goto(own)
    return tab, complaints


def column(tab, position):
    return tab.eval_on_selector_all(
        f"#rows tbody tr:not([hidden]) > :nth-child({position})",
        "cells => cells.map(c => c.dataset.value ?? c.innerText)",
    )


@pytest.mark.parametrize("which", ["page", "hostile_page"])
def test_a_browser_has_no_complaint_and_asks_for_nothing(browser, which, request):
    tab, complaints = opened(browser, request.getfixturevalue(which))
    tab.get_by_label("Search").fill("1")
    tab.wait_for_timeout(300)
    assert complaints == []
    assert tab.evaluate("window.pwned") is None
    assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)")


def test_the_policy_lets_nothing_else_run(browser, page, tmp_path):
    """Negative control: a script and an image that are smuggled into the page are refused and reported."""
    smuggled = '<script>window.pwned = 1</script><img src="https://example.org/x.png"></body>'
    worse = tmp_path / "worse.html"
    worse.write_text(page.read_text(encoding="utf-8").replace("</body>", smuggled), encoding="utf-8")
    tab, complaints = opened(browser, worse)
    tab.wait_for_timeout(300)
    assert tab.evaluate("window.pwned") is None
    refused = [c for c in complaints if "Content Security Policy" in c]
    assert len(refused) == 2, complaints


def test_the_table_sorts_by_clicks_and_keys(browser, page):
    tab, _ = opened(browser, page)
    entropy = [float(v) for v in column(tab, 6)]
    assert entropy == sorted(entropy, reverse=True)
    header = tab.get_by_role("button", name="waiting")
    header.click()
    values = [float(v) for v in column(tab, 9)]
    assert values == sorted(values)
    assert values[0] == 43
    assert tab.locator("#rows th[aria-sort=ascending]").inner_text().startswith("waiting")
    header.focus()
    tab.keyboard.press("Enter")
    assert [float(v) for v in column(tab, 9)] == sorted(values, reverse=True)
    assert tab.locator("#rows th[aria-sort]").count() == 1
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Space")
    eruptions = [float(v) for v in column(tab, 8)]
    assert eruptions == sorted(eruptions)


def test_the_table_is_searched(browser, page):
    tab, _ = opened(browser, page)
    box = tab.get_by_label("Search")
    box.focus()
    tab.keyboard.type("243")
    assert "243" in column(tab, 1)
    assert 0 < len(column(tab, 1)) < 272
    assert tab.locator("#found").inner_text() == f"{len(column(tab, 1))} of 272 rows"
    box.fill("no such row")
    assert column(tab, 1) == []
    box.fill("")
    assert len(column(tab, 1)) == 272


def test_hostile_names_show_as_text(browser, hostile_page):
    tab, _ = opened(browser, hostile_page)
    shown = tab.locator("main").inner_text()
    for name in HOSTILE[:3]:
        assert name in shown
    assert "x" * 59 + "\u2026" in shown
    assert tab.locator(f"th[title='{'x' * 500}']").count() > 0
    assert tab.title() == "</title><script>window.pwned = 3</script>"


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_its_window(browser, page, width):
    tab, _ = opened(browser, page)
    tab.set_viewport_size({"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


CONTRAST = """() => {
  const channel = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(v => channel(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255,255,255)";
  };
  const ratio = element => {
    const pair = [luminance(getComputedStyle(element).color), luminance(behind(element))];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };
  const hasText = element => [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  return Math.min(...[...document.querySelectorAll("main *, header *, footer, nav *")]
    .filter(e => hasText(e) && e.getClientRects().length && !e.closest("svg")).map(ratio));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_themes(browser, page, scheme):
    """WCAG 2.2 asks for 4.5 to 1."""
    tab, _ = opened(browser, page, color_scheme=scheme)
    assert tab.evaluate(CONTRAST) > 4.5
    shown = tab.evaluate("document.images[0].currentSrc")
    light = tab.evaluate("document.images[0].src")
    assert (shown == light) == (scheme == "light")


def test_print_is_light_and_without_controls(browser, page):
    tab, _ = opened(browser, page, color_scheme="dark")
    tab.emulate_media(media="print")
    assert not tab.get_by_label("Search").is_visible()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"

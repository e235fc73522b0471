"""The page of a path: one file with its numbers in it, and nothing that could get out or in."""

import html.parser
import json
import re

import numpy as np
import pytest

from penalties import Path, write_page

from browser import PROGRAM, browser

HOSTILE = """</script><script>document.title = "stolen"</script><!--<script>&lt;'"\u2028${data}\\"""

# Three features and two units at four strengths, strong to weak; the second training failed.
KERNEL = np.zeros((4, 3, 2), np.float32)
KERNEL[1] = np.nan
KERNEL[2] = [[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]
KERNEL[3] = [[6.0, 8.0], [0.0, 0.0], [0.0, 12.3456789]]


def path_of(**known):
    return Path(
        **{
            "factors": np.array([8.0, 4.0, 2.0, 0.00001]),
            "params": {"first": {"kernel": KERNEL}},
            "losses": np.array([2.0, np.nan, 1.0, 0.5]),
            "scores": np.array([0.1, np.nan, 0.85, 0.9]),
            "standard_errors": np.array([0.05, np.nan, 0.05, 0.05]),
            "zeros": {"first/kernel": np.array([6, 0, 4, 3]), HOSTILE: np.array([1000, 0, 900, 0])},
            "sizes": {"first/kernel": 6, HOSTILE: 1000},
            "optimality": None,
            "finite": np.array([True, False, True, True]),
        }
        | known
    )


class Parsed(html.parser.HTMLParser):
    """Which elements a page has, as a browser would find them, and the text of each script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.attributes = [], [], []
        self.feed(text)
        self.data = json.loads(self.scripts[0])

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script":
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        self.tags.append("/" + tag)


@pytest.fixture
def written(tmp_path):
    def write(path=None, **options):
        write_page(path or path_of(), tmp_path / "path.html", **options)
        return (tmp_path / "path.html").read_bytes().decode("utf-8")

    return write


def test_the_numbers_are_those_of_the_path_from_weak_to_strong(written):
    data = Parsed(written(leaf="first/kernel", names=["age", "height", HOSTILE])).data
    assert data["index"] == [3, 2, 1, 0]
    assert data["factor"] == [0.00001, 2.0, 4.0, 8.0]
    assert data["finite"] == [True, True, False, True]
    assert data["loss"] == [0.5, 1.0, None, 2.0]
    assert data["score"] == [0.9, 0.85, None, 0.1]
    assert data["error"] == [0.05, 0.05, None, 0.05]
    assert data["optimality"] is None
    assert data["leaves"] == [
        {"path": "first/kernel", "size": 6, "zeros": [3, 4, 0, 6]},
        {"path": HOSTILE, "size": 1000, "zeros": [0, 900, 0, 1000]},
    ]
    assert data["chosen"] == {"min": 3, "one_se": 2}
    assert data["features"] == {
        "leaf": "first/kernel",
        "count": 3,
        "names": ["age", HOSTILE, "height"],  # as they die, the last one first
        "alive": [2, 1, None, 0],
        "sizes": [[10.0, 12.3457, 0.0], [5.0, 0.0, 0.0], None, [0.0, 0.0, 0.0]],
    }


def test_a_path_with_no_more_than_its_zeros(written):
    data = Parsed(written(path_of(losses=None, scores=None, standard_errors=None))).data
    assert data["loss"] is data["score"] is data["error"] is data["features"] is None
    assert data["chosen"] == {}
    one_number = path_of(standard_errors=np.full(4, np.nan))
    assert Parsed(written(one_number)).data["chosen"] == {"min": 3}
    failed = path_of(finite=np.zeros(4, bool))
    assert Parsed(written(failed)).data["chosen"] == {}


def test_names_cannot_break_out(written):
    tame, hostile = Parsed(written(path_of(zeros={}, sizes={}))), Parsed(written(title=HOSTILE))
    assert hostile.tags == tame.tags
    assert len(hostile.scripts) == 2
    assert hostile.scripts[1] == tame.scripts[1]
    assert hostile.data["leaves"][1]["path"] == HOSTILE


def test_it_asks_for_nothing(written):
    text = written(leaf="first/kernel")
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch|XMLHttp|WebSocket|import\(", text)
    names = {name for name, _ in Parsed(text).attributes}
    assert not names & {"src", "href", "srcset", "action"}
    assert "default-src 'none'; style-src 'sha256-" in text


def test_the_same_arguments_write_the_same_bytes(written):
    assert written(leaf="first/kernel") == written(leaf="first/kernel")


def test_of_many_features_those_that_matter_most(written):
    many = np.zeros((2, 300, 40), np.float32)
    many[:, :, 0] = np.arange(300)
    text = written(
        path_of(
            factors=np.array([1.0, 2.0]),
            params={"w": many},
            losses=None,
            scores=None,
            zeros={"w": np.full(2, 11_701)},
            sizes={"w": 12_000},
            finite=np.ones(2, bool),
            standard_errors=None,
        ),
        leaf="w",
    )
    features = Parsed(text).data["features"]
    assert features["count"] == 300
    assert features["alive"] == [299, 299]
    assert features["names"] == [str(i) for i in range(299, 99, -1)]
    assert len(text) < 30_000


def test_along_another_axis_and_several_leaves(written):
    params = {"q": KERNEL, "k": KERNEL[:, :2]}
    assert Parsed(written(path_of(params=params), leaf="q", axis=1)).data["features"]["alive"] == [
        2,
        2,
        None,
        0,
    ]
    data = Parsed(written(path_of(params=params), leaf=("q", "k"), axis=1)).data
    assert data["features"]["leaf"] == "q, k"
    np.testing.assert_allclose(data["features"]["sizes"][1], [32**0.5, 18**0.5], rtol=1e-5)


def test_what_cannot_be_written_says_why(tmp_path):
    file = tmp_path / "path.html"
    with pytest.raises(ValueError, match="no leaf 'second': expected one of"):
        write_page(path_of(), file, leaf="second")
    with pytest.raises(ValueError, match="2 names for 3 features"):
        write_page(path_of(), file, leaf="first/kernel", names=["age", "height"])
    with pytest.raises(ValueError, match="3 names and no leaf: name the leaf whose features they are"):
        write_page(path_of(), file, names=["age", "height", "weight"])
    with pytest.raises(ValueError, match="axis is 2, and the leaf 'first/kernel' has the shape"):
        write_page(path_of(), file, leaf="first/kernel", axis=2)
    with pytest.raises(ValueError, match="the path has no points to show"):
        write_page(path_of()[:0], file)
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent.* create it first"):
        write_page(path_of(), tmp_path / "absent" / "path.html")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


NUMBERS = """Object.fromEntries([...document.querySelectorAll("#numbers div")].map(
    (item) => [...item.children].map((child) => child.textContent)))"""
ROWS = """[...document.querySelectorAll("#{} li")].map((row) => [
    row.querySelector("bdi").textContent, row.querySelector("span").textContent])"""


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here")
class TestInABrowser:
    @pytest.fixture
    def page(self, tmp_path, chromium):
        file = tmp_path / "a page.html"
        write_page(path_of(), file, leaf="first/kernel", names=["age", "height", HOSTILE], title=HOSTILE)
        yield lambda fragment="": chromium.open(file, fragment=fragment)
        assert chromium.complaints() == []
        assert {url.split("#")[0] for url in chromium.requested()} == {file.as_uri()}

    def test_it_opens_at_the_best_score(self, page, chromium):
        page()
        assert chromium.evaluate("document.title.trim()").startswith("</script><script>")
        assert chromium.evaluate("location.hash") == "#3"
        assert chromium.evaluate(NUMBERS) == {
            "Point": "path[3]",
            "Factor": "1e-5",
            "Exact zeros": "0.3 %, 3 of 1,006",
            "Score": "0.9 ± 0.05",
            "Loss": "0.5",
        }
        assert chromium.evaluate(ROWS.format("features-rows")) == [[HOSTILE, "12.35"], ["age", "10"]]
        links = "[...document.querySelectorAll('#chosen a')].map((link) => [link.hash, link.textContent])"
        assert chromium.evaluate(links) == [
            ["#3", "best score: factor 1e-5"],
            ["#2", "strongest within one standard error: factor 2"],
        ]

    def test_a_link_to_a_point_and_keys_from_there(self, page, chromium):
        page("#2")
        assert chromium.evaluate(NUMBERS)["Exact zeros"] == "89.9 %, 904 of 1,006"
        assert chromium.evaluate(ROWS.format("zeros")) == [
            ["all penalized weights", "904 of 1,006, 89.9 %"],
            ["first/kernel", "4 of 6, 66.7 %"],
            [HOSTILE, "900 of 1,000, 90.0 %"],
        ]
        assert chromium.evaluate(ROWS.format("features-rows")) == [["age", "5"]]
        chromium.evaluate("document.getElementById('strength').focus()")
        chromium.press("End", 35)
        assert chromium.evaluate("location.hash") == "#0"
        assert chromium.evaluate(NUMBERS)["Factor"] == "8"
        assert chromium.evaluate("document.getElementById('features-alive').textContent").startswith("0 of 3")
        chromium.press("ArrowLeft", 37)
        assert chromium.evaluate("location.hash") == "#1"

    def test_a_point_that_is_not_finite_says_so(self, page, chromium):
        page("#1")
        assert chromium.evaluate("document.getElementById('failed').checkVisibility()")
        assert chromium.evaluate(NUMBERS)["Score"] == "not finite"
        assert chromium.evaluate(ROWS.format("features-rows")) == []
        spoken = "document.getElementById('strength').getAttribute('aria-valuetext')"
        assert chromium.evaluate(spoken) == "factor 4, 0.0 % zeros, not finite"
        follow = "addEventListener('hashchange', done); document.querySelector('#chosen .one_se').click()"
        chromium.evaluate(f"new Promise((done) => {{ {follow} }}).then(() => true)")
        assert chromium.evaluate(NUMBERS)["Point"] == "path[2]"
        assert not chromium.evaluate("document.getElementById('failed').checkVisibility()")

    def test_only_all_is_all_and_only_none_is_none(self, page, chromium):
        page()
        counts = "[[9999, 10000], [10000, 10000], [1, 10000], [0, 10000], [0, 0]]"
        shown = ["> 99.9 %", "100.0 %", "< 0.1 %", "0.0 %", "0.0 %"]
        assert chromium.evaluate(f"{counts}.map(([zeros, size]) => percent(zeros, size))") == shown

    def test_curves_have_a_mark_that_a_click_moves(self, page, chromium):
        page("#0")
        assert chromium.evaluate("document.querySelectorAll('svg').length") == 3
        marks = "[...document.querySelectorAll('circle.now')].map((mark) => mark.getAttribute('cx'))"
        assert chromium.evaluate(marks) == ["410"] * 3
        assert chromium.evaluate("document.querySelectorAll('.not-finite').length") == 3
        bars = """[...document.querySelector('svg').querySelectorAll('.error')].map(
            (bar) => [Number(bar.getAttribute('y2')), Number(bar.getAttribute('y1'))])"""
        ends = np.array([[0.95, 0.85], [0.9, 0.8], [0.15, 0.05]])  # 0.95 is at the top, 0.05 at the bottom
        np.testing.assert_allclose(chromium.evaluate(bars), 154 - (ends - 0.05) / 0.9 * 146)
        middle = """(() => { const box = document.querySelector('svg').getBoundingClientRect();
            return [box.x + box.width * 0.42, box.y + box.height / 2]; })()"""
        x, y = chromium.evaluate(middle)
        for kind in ("mousePressed", "mouseReleased"):
            chromium.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        assert chromium.evaluate("location.hash") == "#2"
        assert chromium.evaluate(marks) == ["170"] * 3

    def test_it_is_readable_in_light_and_dark_and_on_a_phone(self, page, chromium):
        def colours():
            style = "getComputedStyle(document.body)"
            return chromium.evaluate(f"[{style}.backgroundColor, {style}.color]")

        page()
        chromium.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
        )
        back, text = colours()
        assert (back, text) == ("rgb(21, 25, 29)", "rgb(230, 234, 237)")
        chromium.call("Emulation.setEmulatedMedia", features=[])
        assert colours() == ["rgb(255, 255, 255)", "rgb(28, 33, 38)"]
        size = {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
        chromium.call("Emulation.setDeviceMetricsOverride", **size)
        assert chromium.evaluate("document.documentElement.scrollWidth") == 360
        chromium.call("Emulation.clearDeviceMetricsOverride")

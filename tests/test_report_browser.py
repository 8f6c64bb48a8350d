"""The page of a report in a real headless Chromium, through the DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preprocess.synthetic import write_synthetic_mit
from report.__main__ import run
from report.browser import find_browser, headless

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH")
PATIENCE = 60  # s, on a busy machine


class Tab:
    """A tab of a browser: commands of the DevTools protocol, and the events that came in between."""

    def __init__(self, address: str) -> None:
        import websocket

        self.socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self.numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := json.loads(self.socket.recv())).get("id") != number:
            self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def open(self, page: Path, width: int) -> None:
        """Show `page` in a window of so many CSS pixels, and wait until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.socket.recv()))

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    profile = tmp_path_factory.mktemp("profile")
    options = ("--remote-debugging-port=0", "about:blank")
    process = subprocess.Popen(
        headless(str(BROWSER), str(profile), *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        port_file, until = profile / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not (port_file.is_file() and port_file.read_text().strip()):
            assert time.monotonic() < until, "the browser does not answer"
            assert process.poll() is None, "the browser ended"
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
            pages = [target for target in json.load(answer) if target["type"] == "page"]
        made = Tab(pages[0]["webSocketDebuggerUrl"])
        for domain in ("Page", "Runtime", "Network", "Log"):
            made.call(f"{domain}.enable")
        yield made
        made.socket.close()
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two minutes with a diary: with a long word, and runs that are doubtful for a long reason."""
    folder = tmp_path_factory.mktemp("report")
    write_synthetic_mit(folder / "raw", 1, 2, 0)
    (folder / "diary.csv").write_text(
        f"time,kind,note,end\n30,activity,walking the dog,60\n80,symptom,{'dizzy' * 20},\n"
    )
    beats = ["--annotations", "atr", "--checkpoint", "mit_new_patients_fast"]
    doubt = ["--doubtful_probability", "100", "--doubtful_rate", "60"]
    diary = ["--diary", str(folder / "diary.csv")]
    run([str(folder / "raw/m001"), *beats, *doubt, *diary, "--out", str(folder / "r")])
    return folder / "r" / "report.html"


@pytest.mark.parametrize("width", [320, 390, 820, 1280])
def test_nothing_overflows_no_request_leaves_and_no_error_is_logged(tab: Tab, page: Path, width: int) -> None:
    tab.open(page, width)
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value("document.querySelectorAll('.strip').length") > 2
    shown = "[...document.querySelectorAll('.trends')].filter(e => e.getBoundingClientRect().width > 0).length"
    assert tab.value(shown) == 1
    requests = [
        event["params"]["request"]["url"] for event in tab.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    errors = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert not [event for event in tab.events if event["method"] in errors]


def test_the_paper_of_a_strip_is_to_scale(tab: Tab, page: Path) -> None:
    """7 s at 25 mm/s are 175 mm, in CSS millimetres, and a millimetre of the drawing is one of them."""
    tab.open(page, 1280)
    width = tab.value("document.querySelector('.strip').getBoundingClientRect().width")
    assert width == pytest.approx(175 / 25.4 * 96, rel=0.002)
    assert tab.value("document.querySelector('.strip').getScreenCTM().a") == pytest.approx(96 / 25.4, rel=0.002)


def test_the_title_of_a_strip_begins_with_a_capital(tab: Tab, page: Path) -> None:
    tab.open(page, 1280)
    first = "getComputedStyle(document.querySelector('figcaption'), '::first-letter').textTransform"
    assert tab.value(first) == "uppercase"


def test_small_print_is_small_on_paper_too(tab: Tab, page: Path) -> None:
    tab.open(page, 1280)
    tab.call("Emulation.setEmulatedMedia", media="print")
    size = "parseFloat(getComputedStyle(document.querySelector('.diary td{}')).fontSize)"
    assert tab.value(size.format(" small")) < 0.9 * tab.value(size.format(""))
    assert tab.value("getComputedStyle(document.querySelector('h2 + .note')).breakAfter") == "avoid"
    tab.call("Emulation.setEmulatedMedia", media="")


def test_what_names_a_row_stays_in_sight_where_a_table_is_scrolled(tab: Tab, page: Path) -> None:
    tab.open(page, 390)
    hours = "[...document.querySelectorAll('h2')].find(title => title.textContent == 'Hour by hour').parentElement"
    tab.value(f"{hours}.querySelector('.scroll').scrollLeft = 150")
    left = f"{hours}.querySelector('.scroll').getBoundingClientRect().left"
    rows = f"[...{hours}.querySelectorAll('tr')].slice(1)"
    places = f"{rows}.map(row => row.cells[0].getBoundingClientRect().left - {left})"
    assert tab.value(places) == [0, 0]  # the head of the column, and the one hour


def test_the_names_of_the_panels_of_the_trends_leave_room_for_figures_of_three_digits(tab: Tab, page: Path) -> None:
    for width in (390, 1280):
        tab.open(page, width)
        texts = "[...document.querySelectorAll('.trends text')].filter(e => e.getBoundingClientRect().width > 0)"
        figures, names = (
            f"{texts}.filter(e => {which})" for which in ("e.matches('[text-anchor=end]')", "e.getAttribute('x') == 4")
        )
        tab.value(f"{figures}.forEach(e => e.textContent = '100')")
        left = tab.value(f"Math.min(...{figures}.map(e => e.getBoundingClientRect().left))")
        right = tab.value(f"Math.max(...{names}.slice(0, 2).map(e => e.getBoundingClientRect().right))")
        assert right + 3 < left


def test_it_prints_on_a4_pages(tab: Tab, page: Path) -> None:
    tab.open(page, 1280)
    printed = base64.b64decode(tab.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert printed.startswith(b"%PDF")
    boxes = re.findall(rb"/MediaBox\s*\[\s*0\s+0\s+([\d.]+)\s+([\d.]+)", printed)
    assert boxes
    for width, height in boxes:  # points
        assert (float(width), float(height)) == pytest.approx((595, 842), abs=1)
    # What is wider than the page would be cut off, or make Chromium shrink all of it and the strips with it.
    tab.call("Emulation.setEmulatedMedia", media="print")
    tab.call("Emulation.setDeviceMetricsOverride", width=673, height=1000, deviceScaleFactor=1, mobile=False)  # 178 mm
    hours = "[...document.querySelectorAll('h2')].find(title => title.textContent == 'Hour by hour').parentElement"
    cells = f"[...{hours}.querySelector('tbody tr').cells]"
    week = ["02 Mar 08:00", "10,080.0", *3 * ["169"], "700,000", "140,000", "20.0", "12345", *2 * ["1234"]]
    week += ["14,000", "2.0", *2 * ["1234"]]
    assert tab.value(f"{cells}.map((cell, at) => cell.textContent = {json.dumps(week)}[at]).length") == len(week)
    assert tab.value("document.documentElement.scrollWidth") <= 673
    tab.call("Emulation.setEmulatedMedia", media="")

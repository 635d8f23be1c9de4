"""The page in a real browser: no console message, no request, the numbers in the document."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
BROWSERS_OWN = ("google.com", "googleapis.com", "gvt1.com")  # Chromium calls home; nothing answers, see QUIET

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no browser found (looked for {', '.join(NAMES)})")


def visit(page: Path, scratch: Path) -> tuple[str, str, set[str]]:
    """(DOM as text, the browser's log, hosts asked for on behalf of the page)."""
    network = scratch / "network.json"
    command = [
        str(CHROMIUM), *QUIET, "--enable-logging=stderr", "--v=0", f"--user-data-dir={scratch / 'profile'}",
        f"--log-net-log={network}", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    urls = re.findall(r'"url":"((?:https?|wss?|ftp):[^"]*)"', network.read_text(encoding="utf-8"))
    hosts = {urlsplit(url).hostname or url for url in urls}
    return done.stdout, done.stderr, {host for host in hosts if not host.endswith(BROWSERS_OWN)}


@pytest.fixture(scope="module")
def opened(written: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, set[str]]:
    """The quick study's page, visited."""
    return visit(written["quick"][0] / "report.html", tmp_path_factory.mktemp("browser"))


def test_no_console_message(opened: tuple[str, str, set[str]]) -> None:
    assert "CONSOLE" not in opened[1], opened[1]


def test_no_network_request(opened: tuple[str, str, set[str]]) -> None:
    assert opened[2] == set()


def test_these_checks_see_a_bad_page(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text('<img src="https://cdn.invalid/x.png"><script>console.error("seen")</script>', encoding="utf-8")
    _, log, hosts = visit(page, tmp_path)
    assert hosts == {"cdn.invalid"}
    assert "CONSOLE" in log


def test_numbers_are_in_the_document(opened: tuple[str, str, set[str]]) -> None:
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", opened[0])).split())
    for expected in ("98.6%", "96.5 to 100.8%", "4,884,480", "3e-3", "19.5 MB", "LoRA r=16, learning rate 3e-3: NLL"):
        assert expected in text, expected
    assert opened[0].count("<svg") == 10  # five figures, each for laptop and phone

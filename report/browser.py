"""A page as PDF, through the Chromium that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from support.errors import InputError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
LONGEST = 180  # s


def find_browser() -> str | None:
    """The Chromium, Chrome or Edge on PATH; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def require_browser() -> str:
    """The path of an installed browser; raise an `InputError` where `find_browser` finds none."""
    browser = find_browser()
    if browser is None:
        raise InputError(
            "--pdf needs Chromium or Chrome on PATH, and neither is there: install one, or print report.html"
        )
    return browser


def headless(browser: str, profile: str, *options: str) -> list[str]:
    """The command that starts `browser` without a window, with a profile of its own."""
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # root cannot have one
    quiet = ("--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-dev-shm-usage", "--mute-audio")
    return [browser, "--headless", *sandbox, *quiet, f"--user-data-dir={profile}", *options]


def print_pdf(page: Path, pdf: Path) -> None:
    """Print the HTML file `page` to `pdf`.

    Raises:
        InputError: there is no browser, or it fails.
    """
    browser = require_browser()
    with tempfile.TemporaryDirectory(prefix="ecg-report-", ignore_cleanup_errors=True) as profile:
        options = ("--no-pdf-header-footer", f"--print-to-pdf={pdf.absolute()}", page.absolute().as_uri())
        try:
            done = subprocess.run(
                headless(browser, profile, *options),
                capture_output=True,
                encoding="utf-8",
                errors="replace",  # of another encoding, on Windows say
                timeout=LONGEST,
                check=False,
            )
            reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = [str(error)]
        if not pdf.is_file() or not pdf.read_bytes().startswith(b"%PDF"):
            raise InputError(
                f"--pdf: {browser} wrote none ({reason[0]}), and no report was written; leave --pdf out, and print "
                "report.html from a browser"
            )

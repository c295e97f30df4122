"""What a browser says of a page."""

import json
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")


def browse(path, folder):
    """The page after its script ran, what the console said, and what the page asked the web for."""
    log = folder / "net.json"
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr",
        "--v=0", f"--log-net-log={log}", "--window-size=1280,2000", "--virtual-time-budget=20000",
        "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    # The browser itself asks for updates; only what a page loads is filed under its own address.
    mine = [e for e in events if "file://" in str(e.get("network_isolation_key"))]
    return done.stdout, errors, sorted({e["url"] for e in mine if e["url"].startswith("http")})

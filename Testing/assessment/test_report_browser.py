"""The report in a real browser: the controls work without a script, and nothing is wider than the window."""

from __future__ import annotations

import html
import json
import re
import subprocess

import pytest
from report_cases import case

from MultiViewRegistrationLib.report.sections import report

PROBE = """<script>onload = () => {
  const shots = [...document.querySelectorAll(".shot")];
  const shown = () => shots.filter(s => s.offsetParent).map(s => s.className);
  const at = id => document.getElementById(id);
  const result = {first: shown(), width: [document.documentElement.scrollWidth, innerWidth]};
  document.querySelector(".shot.edges.result").click();
  result.clicked = shown();
  result.scrolled = scrollY;
  at("case-1-difference").labels[0].click();
  result.kind = shown();
  const label = document.createElement("pre");
  label.id = "probe";
  label.textContent = JSON.stringify(result);
  document.body.append(label);
}</script>"""


@pytest.fixture(scope="module")
def chromium(require_program) -> str:
    return require_program("chromium", "google-chrome", package="chromium")


@pytest.mark.parametrize("width", [1280, 500])
def test_controls_and_width(chromium, tmp_path, width):
    text = report([case(inputs={"a-file-name-without-any-break/" * 9: "ab" * 32})], created="now")
    # The page forbids scripts; the probe is one.
    text = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", PROBE + "</body>")
    file = tmp_path / "report.html"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout)
    assert found, done.stderr[-500:]
    seen = json.loads(html.unescape(found[1]))
    assert seen["first"] == ["shot edges result"] * 2
    assert seen["clicked"] == ["shot edges start"] * 2
    assert seen["kind"] == ["shot difference start"] * 2
    assert seen["scrolled"] == 0
    assert seen["width"][0] <= seen["width"][1]

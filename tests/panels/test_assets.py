"""What the pages refer to is there: built files, icons, fonts; and all of it is noted with its licence."""

import hashlib
import json
import re
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "static" / "dist"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
PANELS = sorted((ROOT / "apps" / "panels").rglob("*.py"))


def test_templates_refer_to_files_that_exist() -> None:
    named = {name for path in TEMPLATES for name in re.findall(r"{% static '([^']+)' %}", path.read_text())}
    named |= {name for path in PANELS for name in re.findall(r'"(dist/[a-z.]+)"', path.read_text())}
    ours = {name for name in named if name.startswith("dist/")}
    assert "dist/app.css" in ours
    assert [name for name in sorted(ours) if not (ROOT / "static" / name).is_file()] == []


def test_every_icon_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (DIST / "icons.svg").read_text()))
    used = {name for path in TEMPLATES for name in re.findall(r'{% icon "([a-z0-9-]+)"', path.read_text())}
    used |= {name for path in PANELS for name in re.findall(r'icon(?:=|\()"([a-z0-9-]+)"', path.read_text())}
    assert used - sprite == set()


def test_the_style_sheet_is_closed_over_its_files() -> None:
    sheet = (DIST / "app.css").read_text()
    files = set(re.findall(r'url\("?\./([^")]+)"?\)', sheet))
    assert files
    assert [name for name in sorted(files) if not (DIST / name).is_file()] == []
    assert "http://" not in re.sub(r"http://www\.w3\.org/[^\"']+", "", sheet)


def test_vendored_files_are_noted_with_version_and_licence() -> None:
    entries = json.loads((DIST / "VENDOR.json").read_text())
    assert {"htmx.js", "icons.svg", "fonts/geist-latin.woff2"} <= {entry["file"] for entry in entries}
    for entry in entries:
        digest = hashlib.sha256((DIST / entry["file"]).read_bytes()).hexdigest()
        assert entry["sha256"] == digest, f"{entry['file']}: run `make assets`"
        assert entry["licence"]
        assert entry["version"]


@pytest.mark.parametrize(("name", "most"), [("app.css", 24_000), ("app.js", 8_000), ("chart.js", 30_000)])
def test_assets_stay_light(name: str, most: int) -> None:
    """Compressed as zlib does it, which is a little worse than what is sent."""
    packed = zlib.compress((DIST / name).read_bytes(), 9)
    assert len(packed) <= most

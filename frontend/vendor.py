"""Write VENDOR.json: name, version, licence and SHA-256 of every file that came from elsewhere."""

import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
DIST = pathlib.Path(sys.argv[1])
SOURCES = {
    "fonts/geist-latin.woff2": "@fontsource-variable/geist",
    "fonts/geist-latin-ext.woff2": "@fontsource-variable/geist",
    "fonts/geist-mono-latin.woff2": "@fontsource-variable/geist-mono",
    "htmx.js": "htmx.org",
    "xterm.css": "@xterm/xterm",
    "term.js": "@xterm/xterm",
    "chart.js": "uplot",
    "app.css": "tailwindcss",
    "icons.svg": "lucide-static",
}

entries = []
for name, package in sorted(SOURCES.items()):
    about = json.loads((HERE / "node_modules" / package / "package.json").read_text())
    digest = hashlib.sha256((DIST / name).read_bytes()).hexdigest()
    entries.append(
        {
            "file": name,
            "package": package,
            "version": about["version"],
            "licence": about["license"],
            "sha256": digest,
        }
    )
(DIST / "VENDOR.json").write_text(json.dumps(entries, indent=2) + "\n")

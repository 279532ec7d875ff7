"""Make one SVG sprite of the icons that icons.txt names."""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
ICONS = HERE / "node_modules/lucide-static/icons"


def symbol(name: str) -> str:
    body = re.search(r"<svg[^>]*>(.*)</svg>", (ICONS / f"{name}.svg").read_text(), re.DOTALL)
    if body is None:
        raise SystemExit(f"{name}.svg holds no picture")
    shape = re.sub(r"\n *", "", body.group(1).strip())
    return f'<symbol id="{name}" viewBox="0 0 24 24">{shape}</symbol>'


names = sorted(set((HERE / "icons.txt").read_text().split()))
missing = [name for name in names if not (ICONS / f"{name}.svg").exists()]
if missing:
    raise SystemExit(f"lucide has no icon named {', '.join(missing)}")
lines = ['<svg xmlns="http://www.w3.org/2000/svg">', *map(symbol, names), "</svg>", ""]
pathlib.Path(sys.argv[1]).write_text("\n".join(lines))

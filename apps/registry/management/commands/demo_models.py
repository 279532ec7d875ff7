"""`manage.py demo_models`: the bundled model, servable, and entries of well-known models to import.

May be run again: what exists is left alone.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from apps.core import tenancy
from apps.core.actor import SYSTEM
from apps.registry import reconcilers, services
from apps.registry.models import Model, ModelVersion
from apps.registry.specs import FileSpec, HubSource, ModelSpec
from apps.registry.states import MOVING, SERVED, Origin, Visibility
from apps.registry.weights import Facts

FOLDER = Path(__file__).resolve().parents[2] / "bundled"
TINY = "tiny-chat"
TINY_FILE = FOLDER / "tiny-chat-q8_0.gguf"
WAIT_SECONDS = 300.0

# What the publishers' own configurations say, in the order of `Facts`. Nobody has fetched these files: the
# entries can be looked at and imported, not served.
KNOWN = (
    (
        ModelSpec("Llama 3.1 8B Instruct", "llama-3.1-8b-instruct", "Meta's general assistant.", "llama3.1"),
        "meta-llama/Llama-3.1-8B-Instruct",
        ("LlamaForCausalLM", 8_030_261_248, 131_072, "BF16", 32, 4096, 32, 8, 128, 128_256, True),
    ),
    (
        ModelSpec("Llama 3.3 70B Instruct", "llama-3.3-70b-instruct", "Meta's large assistant.", "llama3.3"),
        "meta-llama/Llama-3.3-70B-Instruct",
        ("LlamaForCausalLM", 70_553_706_496, 131_072, "BF16", 80, 8192, 64, 8, 128, 128_256, True),
    ),
    (
        ModelSpec("Qwen2.5 7B Instruct", "qwen2.5-7b-instruct", "Alibaba's assistant.", "apache-2.0"),
        "Qwen/Qwen2.5-7B-Instruct",
        ("Qwen2ForCausalLM", 7_615_616_512, 32_768, "BF16", 28, 3584, 28, 4, 128, 152_064, True),
    ),
    (
        ModelSpec("Mistral 7B Instruct v0.3", "mistral-7b-instruct-v0.3", "Small and quick.", "apache-2.0"),
        "mistralai/Mistral-7B-Instruct-v0.3",
        ("MistralForCausalLM", 7_248_023_552, 32_768, "BF16", 32, 4096, 32, 8, 128, 32_768, True),
    ),
    (
        ModelSpec("all-MiniLM-L6-v2", "all-minilm-l6-v2", "384 numbers.", "apache-2.0", "embedding"),
        "sentence-transformers/all-MiniLM-L6-v2",
        ("BertModel", 22_713_216, 512, "F32", 6, 384, 12, 12, 32, 30_522, False),
    ),
)


class Command(BaseCommand):
    help = "Register the bundled demonstration model and entries of well-known models."

    def handle(self, **_options: object) -> None:
        with tenancy.everything():
            version = register_bundled()
            for spec, repository, facts in KNOWN:
                _register_known(spec, repository, Facts("safetensors", *facts))
        self.stdout.write(f"  {version} is servable; {len(KNOWN)} more models can be imported")


def register_bundled() -> ModelVersion:
    """The bundled model's version, uploaded and verified unless it is there already."""
    about = "Demonstration only: two megabytes, fluent on its own templates and wrong otherwise."
    spec = ModelSpec("Tiny chat", TINY, about, "apache-2.0")
    return register_file(spec, TINY_FILE.name, TINY_FILE.read_bytes, is_demo=True)


def register_file(
    spec: ModelSpec, name: str, read: Callable[[], bytes], *, is_demo: bool = False
) -> ModelVersion:
    """A public version of one file, sent and verified; `read` is called only when it is not there yet."""
    model = _model(spec, is_demo=is_demo)
    known = model.versions.filter(state__in=SERVED, origin=Origin.BUNDLED).first()
    version = known or _send(model, name, read())
    if version.state not in SERVED:
        raise CommandError(f"{version} is {version.state}: {version.message or version.last_error}")
    found: ModelVersion = version
    return found


def _model(spec: ModelSpec, *, is_demo: bool = False) -> Model:
    known = Model.objects.live().filter(team=None, slug=spec.slug).first()
    if known is not None:
        found: Model = known
        return found
    made = services.create_model(actor=SYSTEM, team=None, spec=spec, is_demo=is_demo)
    return services.share_model(actor=SYSTEM, model=made, visibility=Visibility.PUBLIC)


def _send(model: Model, name: str, body: bytes) -> ModelVersion:
    spec = FileSpec(name, len(body), hashlib.sha256(body).hexdigest())
    version = services.start_upload(actor=SYSTEM, model=model, files=[spec], origin=Origin.BUNDLED)
    for file in version.files.all():
        about = {"version_id": str(version.pk), "file_id": str(file.pk)}
        for number in range(file.parts):
            part = body[number * file.part_size : (number + 1) * file.part_size]
            services.put_part(actor=SYSTEM, number=number + 1, chunks=[part], **about)
        services.complete_file(actor=SYSTEM, **about)
    services.complete_upload(actor=SYSTEM, version_id=str(version.pk))
    _settle(version)
    return version


def _settle(version: ModelVersion) -> None:
    """Be its worker, or wait for the one that is at it already."""
    deadline = time.monotonic() + WAIT_SECONDS
    version.refresh_from_db()
    while version.state in MOVING and time.monotonic() < deadline:
        if not reconcilers.reconcile_version(version_id=str(version.pk)):
            time.sleep(0.2)
        version.refresh_from_db()


def _register_known(spec: ModelSpec, repository: str, facts: Facts) -> None:
    model = _model(spec)
    if not model.versions.exists():
        source = HubSource(repository)
        services.draft_from_hub(actor=SYSTEM, model=model, source=source, facts=facts)

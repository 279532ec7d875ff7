"""What a version may be made of: files, their names and sizes, and how they are cut into parts."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _

from apps.operations.specs import OperationPlan, StepPlan
from apps.operations.states import Plane
from apps.registry.errors import BadManifest, BadReference

MIB = 1024 * 1024
SMALLEST_PART = 8 * MIB
COMFORTABLE_PARTS = 8_000
LARGEST_FILE = 4 * 1024**4
MOST_FILES = 500

# Weights that are only numbers, and the texts beside them. Pickles and Python run code when they are
# opened: they never get in.
WEIGHTS = (".safetensors", ".gguf")
BESIDE = (".json", ".txt", ".md", ".jinja", ".model", ".tiktoken", ".spm")
NAMED = ("LICENSE", "LICENCE", "NOTICE", "README")

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*){0,4}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")

UPLOAD_DEADLINE = timedelta(days=7)
UPLOAD = OperationPlan(
    "model.upload",
    (
        StepPlan("accept", Plane.USER, is_done=True),
        StepPlan("upload", Plane.USER),
        StepPlan("verify", Plane.CLUSTER),
        StepPlan("serve", Plane.ADMIN),
    ),
    deadline=UPLOAD_DEADLINE,
    is_cancellable=True,
)
IMPORT = OperationPlan(
    "model.import",
    (
        StepPlan("accept", Plane.USER, is_done=True),
        StepPlan("list", Plane.CLUSTER),
        StepPlan("copy", Plane.CLUSTER),
        StepPlan("verify", Plane.CLUSTER),
        StepPlan("serve", Plane.ADMIN),
    ),
    deadline=UPLOAD_DEADLINE,
    is_cancellable=True,
)


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file as promised: where it is in the model, its bytes, and its SHA-256 if that is known."""

    path: str
    size: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What people say about a model."""

    name: str
    slug: str
    description: str = ""
    licence: str = ""
    modality: str = "chat"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository on the hub, and which of its files: `files` are names or patterns, none means all."""

    repository: str
    revision: str = "main"
    files: tuple[str, ...] = ()
    token: str = ""


def part_size_for(size: int) -> int:
    """Bytes of every part but the last: few parts for large files, quick progress for small ones."""
    fewest = -(-size // COMFORTABLE_PARTS)
    wanted = SMALLEST_PART if size < 1024 * MIB else 2 * SMALLEST_PART
    return max(wanted, -(-fewest // MIB) * MIB)


def check_files(files: Sequence[FileSpec]) -> None:
    """Refuse what cannot be a model, naming the first file at fault."""
    if not files:
        raise BadManifest(_("A version has at least one file."), field="files")
    if len(files) > MOST_FILES:
        raise BadManifest(_("A version has at most %(most)d files.") % {"most": MOST_FILES}, field="files")
    for file in files:
        _check_file(file)
    names = [file.path.casefold() for file in files]
    if len(set(names)) != len(names):
        raise BadManifest(_("Two files have the same path."), field="files")
    if not any(name.endswith(WEIGHTS) for name in names):
        raise BadManifest(_("There are no weights: a .gguf or .safetensors file is needed."), field="files")


def _check_file(file: FileSpec) -> None:
    if not _PATH.fullmatch(file.path) or len(file.path) > 300:
        raise BadManifest(_("“%(path)s” is not a path a model may have.") % _of(file), field="files")
    if not is_welcome(file.path):
        raise BadManifest(
            _("“%(path)s” is of a kind that is not taken; weights are .safetensors or .gguf.") % _of(file),
            field="files",
        )
    if not 0 < file.size <= LARGEST_FILE:
        raise BadManifest(_("“%(path)s” is empty or too large.") % _of(file), field="files")
    if file.sha256 and not _SHA256.fullmatch(file.sha256):
        raise BadManifest(_("The SHA-256 of “%(path)s” is malformed.") % _of(file), field="files")


def _of(file: FileSpec) -> dict[str, str]:
    return {"path": file.path[:200]}


def is_welcome(path: str) -> bool:
    """Whether a file of this name may be part of a model."""
    name = path.rpartition("/")[2]
    return name.lower().endswith(WEIGHTS + BESIDE) or name.partition(".")[0].upper() in NAMED


def check_source(source: HubSource) -> None:
    """Refuse what is no name of a repository; the hub itself is the provider's choice."""
    if not _REPOSITORY.fullmatch(source.repository) or ".." in source.repository:
        raise BadReference(_("A repository is named “organisation/model”."), field="repository")
    if not _REVISION.fullmatch(source.revision) or ".." in source.revision:
        raise BadReference(_("A revision is a branch, a tag or a commit."), field="revision")
    if len(source.files) > MOST_FILES or any(not 0 < len(name) <= 300 for name in source.files):
        raise BadReference(_("Name the files to import, or none for all."), field="files")


def digest_of(manifest: Iterable[dict[str, Any]]) -> str:
    """The SHA-256 over the manifest in its one spelling: two versions with the same digest are the same."""
    ordered = sorted(manifest, key=lambda one: str(one["path"]))
    text = json.dumps(ordered, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

"""Which files of a repository make a model: pure choices over a listing."""

import re
from collections.abc import Sequence
from fnmatch import fnmatch

from django.utils.translation import gettext as _

from apps.registry.errors import BadManifest
from apps.registry.specs import FileSpec, is_welcome

_SHARD = re.compile(r"-\d{5}-of-\d{5}\.gguf\Z")


def choose(files: Sequence[FileSpec], wanted: Sequence[str]) -> list[FileSpec]:
    """The files to import: those named or matched, else one whole set of weights and what stands beside.

    Safetensors are preferred; among several GGUF files somebody must choose.
    """
    welcome = [file for file in files if is_welcome(file.path) and file.size]
    if wanted:
        named = [file for file in welcome if any(fnmatch(file.path, pattern) for pattern in wanted)]
        if not named:
            raise BadManifest(_("None of the named files is there."), field="files")
        return named
    if any(file.path.endswith(".safetensors") for file in welcome):
        return _without_duplicates([file for file in welcome if not file.path.endswith(".gguf")])
    return _one_gguf(welcome)


def _without_duplicates(files: list[FileSpec]) -> list[FileSpec]:
    """Some repositories hold the weights twice; what the hub's own library loads stands at the top."""
    weights = {file.path for file in files if file.path.endswith(".safetensors")}
    top = {path for path in weights if path.startswith("model")}
    return [file for file in files if not top or file.path not in weights or file.path in top]


def _one_gguf(files: list[FileSpec]) -> list[FileSpec]:
    weights = [file.path for file in files if file.path.endswith(".gguf")]
    sets = sorted({_SHARD.sub("", path) for path in weights})
    if not sets:
        raise BadManifest(_("The repository holds no weights: .safetensors or .gguf."), field="files")
    if len(sets) > 1:
        raise BadManifest(
            _("The repository holds %(count)d sets of weights; name one: %(names)s.")
            % {"count": len(sets), "names": ", ".join(sets[:12])},
            field="files",
        )
    return files

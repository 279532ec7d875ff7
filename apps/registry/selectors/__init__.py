"""Reads: models and versions as the actor may see them, where their files are, and what they fit."""

from apps.registry.selectors.files import files, key_of, open_store, prefix_of, root, uri_of
from apps.registry.selectors.fitting import BATCH, CONTEXT, fit_on, fit_table, shape_of, smallest_gpus
from apps.registry.selectors.reading import (
    get_model,
    get_version,
    list_aliases,
    list_files,
    list_models,
    list_versions,
    resolve,
    servable,
    servable_for,
    shared_with,
    version_of,
)

__all__ = [
    "BATCH",
    "CONTEXT",
    "files",
    "fit_on",
    "fit_table",
    "get_model",
    "get_version",
    "key_of",
    "list_aliases",
    "list_files",
    "list_models",
    "list_versions",
    "open_store",
    "prefix_of",
    "resolve",
    "root",
    "servable",
    "servable_for",
    "shape_of",
    "shared_with",
    "smallest_gpus",
    "uri_of",
    "version_of",
]

"""Writes docs/openapi/*.json, or with --check says whether the committed files are up to date."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import include, path
from django.utils import translation
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

from apps.api.audiences import AUDIENCES, Audience
from apps.api.docs import path_of
from apps.api.errors import PROBLEM
from apps.api.isolation.routes import routes


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; fail on a difference")

    def handle(self, *args: Any, check: bool = False, **options: Any) -> None:
        stale = []
        for audience in AUDIENCES:
            text = generate(audience)
            file = path_of(audience)
            if check:
                stale += [] if file.exists() and file.read_text() == text else [file.name]
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            self.stdout.write(f"wrote {file.name}")
        if stale:
            raise CommandError(f"out of date: {', '.join(stale)}; run `make openapi` and commit the result")


def generate(audience: Audience) -> str:
    """The document of one audience as text; CommandError when a route cannot be described."""
    with GENERATOR_STATS.silence(), translation.override("en"):
        GENERATOR_STATS.reset()
        patterns = [path(audience.prefix, include(audience.urlconf))]
        document = SchemaGenerator(patterns=patterns).get_schema(request=None, public=True)
        troubles = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    if troubles:
        raise CommandError("\n".join(map(str, troubles)))
    _share_problems(document)
    _describe_older(document, audience)
    document["info"] |= {"title": audience.title, "description": audience.about}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _share_problems(document: dict[str, Any]) -> None:
    """Describe the problem document once and refer to it, instead of at every refusal of every call."""
    shared = {"$ref": "#/components/responses/Problem"}
    for item in document["paths"].values():
        for operation in item.values():
            answers = operation["responses"]
            for status in [one for one in answers if PROBLEM in answers[one].get("content", {})]:
                problem, answers[status] = answers[status], shared
                problem["description"] = "A refusal; `code` says which."
                document["components"].setdefault("responses", {})["Problem"] = problem


def _describe_older(document: dict[str, Any], audience: Audience) -> None:
    """At an older address stands what its call says, under an id of its own, after all others."""
    served = [one for one in routes() if one.face == "api" and one.audience == audience.name]
    known = {(one.view, one.action): one for one in served if one.template in document["paths"]}
    for older in [one for one in served if one.template not in document["paths"]]:
        call = known[older.view, older.action]
        described = document["paths"][call.template][call.method]
        document["paths"].setdefault(older.template, {})[older.method] = described | {
            "operationId": f"older_{described['operationId']}",
            "description": f"The same call as `{call}`.",
            "tags": ["older-addresses"],
        }

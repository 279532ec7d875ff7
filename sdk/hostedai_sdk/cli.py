"""The command `hostedai`."""

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hostedai_sdk import settings
from hostedai_sdk.client import Client
from hostedai_sdk.errors import HostedaiError
from hostedai_sdk.parsing import LIFE, parser
from hostedai_sdk.shapes import Model
from hostedai_sdk.show import Meter, cell, size, table

INTERRUPTED = 130


def entry() -> None:
    """What the shell calls."""
    sys.exit(main(sys.argv[1:]))


def main(words: Sequence[str]) -> int:
    """Run one command; its exit status."""
    if "--json" in words:  # it may stand anywhere
        words = ["--json", *(word for word in words if word != "--json")]
    given = parser().parse_args(words)
    try:
        return _run(given)
    except HostedaiError as error:
        _say(str(error), to=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _say("\nInterrupted. The same command goes on where it stopped.", to=sys.stderr)
        return INTERRUPTED


def _run(given: argparse.Namespace) -> int:
    if given.noun == "login":
        return _login(given)
    url, key = settings.load(given.url, given.key)
    with Client(url, key) as cloud:
        found = COMMANDS[given.noun, given.verb](cloud, given)
    if found is None:
        return 0
    if given.json:
        _say(json.dumps(found, indent=2))
    elif (given.noun, given.verb) == ("models", "list"):
        _show_models(found)
    else:
        head = HEADS.get((given.noun, given.verb)) or HEADS[given.noun, ""]
        _show(head, found if isinstance(found, list) else [found])
    return 0


def _login(given: argparse.Namespace) -> int:
    url = given.url or settings.DEFAULT_URL
    key = given.key or getpass.getpass("API key: ")
    with Client(url, key) as cloud:
        cloud.models.list()
    _say(f"Signed in at {url}; the key is kept in {settings.save(url, key)}")
    return 0


def _launch(cloud: Client, given: argparse.Namespace) -> Any:
    keys = [Path(one).expanduser().read_text().strip() for one in given.ssh_key]
    made = cloud.instances.launch(
        given.name,
        region=given.region,
        type=given.type,
        image=given.image,
        disk_gib=given.disk,
        ssh_keys=keys,
    )
    return cloud.instances.wait(made["id"], "running") if given.wait else made


SCALE = ("least", "most", "target", "idle_seconds")


def _serve(cloud: Client, given: argparse.Namespace) -> Any:
    more = {"workspace": given.workspace} if given.workspace else {}
    made = cloud.endpoints.launch(
        given.name, region=given.region, scale=_rules(given), **_recipe(cloud, given), **more
    )
    return cloud.endpoints.wait(made["id"]) if given.wait else made


def _recipe(cloud: Client, given: argparse.Namespace) -> dict[str, Any]:
    """What was named of what replicas are made of."""
    asked = {"hardware": given.hardware, "parallel": given.parallel, "context_length": given.context}
    asked["version"] = cloud.models.version_named(given.model) if given.model else None
    return {name: value for name, value in asked.items() if value is not None}


def _changed(cloud: Client, given: argparse.Namespace) -> Any:
    """An update, and its end when it is waited for."""
    if given.verb == "canary":
        one = cloud.endpoints.canary(given.name, weight=given.percent, **_recipe(cloud, given))
    elif given.verb == "deploy":
        one = cloud.endpoints.deploy(given.name, **_recipe(cloud, given))
    else:
        one = getattr(cloud.endpoints, given.verb)(given.name)
    return cloud.endpoints.settled(one) if given.wait else one


def _rules(given: argparse.Namespace) -> dict[str, int]:
    return {name: getattr(given, name) for name in SCALE if getattr(given, name) is not None}


def _unserve(cloud: Client, given: argparse.Namespace) -> Any:
    gone = cloud.endpoints.delete(given.name)
    return cloud.endpoints.wait(gone["id"], "deleted") if given.wait else gone


def _logs(cloud: Client, given: argparse.Namespace) -> None:
    """As they come; there is nothing to show afterwards."""
    for lines in cloud.endpoints.logs(given.name, replica=given.replica, follow=given.follow):
        print(lines, end="" if given.follow or lines.endswith("\n") else "\n", flush=True)


def _push(cloud: Client, given: argparse.Namespace) -> Any:
    meter = Meter(sys.stderr)
    try:
        return cloud.models.push(
            given.path,
            slug=given.slug or Path(given.path).stem.lower(),
            about=_about(given),
            parallel=given.parallel,
            progress=meter,
            wait=not given.no_wait,
        )
    finally:
        meter.end()


def _import(cloud: Client, given: argparse.Namespace) -> Any:
    repository = given.source.removeprefix("hf:")
    version = cloud.models.import_from_hub(
        repository,
        slug=given.slug or repository.rpartition("/")[2].lower(),
        about=_about(given),
        revision=given.revision,
        files=given.file,
        token=given.token,
    )
    return version if given.no_wait else cloud.models.wait(version)


def _about(given: argparse.Namespace) -> dict[str, str]:
    fields = {"name": given.name, "licence": given.licence, "description": given.description}
    return {name: value for name, value in fields.items() if value}


def _versions(cloud: Client, given: argparse.Namespace) -> Any:
    return [*cloud.models.versions(cloud.models.get(given.name)["id"])]


def _live(cloud: Client, given: argparse.Namespace) -> Any:
    """A step in the life of a version."""
    why = {"reason": given.reason} if "reason" in given else {}
    return getattr(cloud.models, given.verb)(given.name, **why)


COMMANDS = {
    ("endpoints", "launch"): _serve,
    ("endpoints", "list"): lambda cloud, given: cloud.endpoints.list(),
    ("endpoints", "hardware"): lambda cloud, given: cloud.endpoints.hardware(given.region),
    ("endpoints", "scale"): lambda cloud, given: cloud.endpoints.scale(given.name, **_rules(given)),
    **{("endpoints", verb): _changed for verb in ("deploy", "canary", "promote", "rollback")},
    ("endpoints", "drop"): lambda cloud, given: cloud.endpoints.drop(given.name),
    ("endpoints", "revisions"): lambda cloud, given: cloud.endpoints.revisions(given.name),
    ("endpoints", "delete"): _unserve,
    ("endpoints", "logs"): _logs,
    ("endpoints", "wait"): lambda cloud, given: cloud.endpoints.wait(given.name, seconds=given.seconds),
    ("instances", "launch"): _launch,
    ("instances", "list"): lambda cloud, given: cloud.instances.list(),
    ("instances", "start"): lambda cloud, given: cloud.instances.start(given.name),
    ("instances", "stop"): lambda cloud, given: cloud.instances.stop(given.name),
    ("instances", "delete"): lambda cloud, given: cloud.instances.delete(given.name),
    ("models", "list"): lambda cloud, given: cloud.models.list(),
    ("models", "push"): _push,
    ("models", "import"): _import,
    ("models", "versions"): _versions,
    ("models", "share"): lambda cloud, given: cloud.models.share(given.name, given.teams),
    ("models", "alias"): lambda cloud, given: cloud.models.alias(given.name, given.alias),
    ("models", "fit"): lambda cloud, given: cloud.models.fit(
        given.name, context_length=given.context, batch=given.batch
    ),
    ("models", "delete"): lambda cloud, given: cloud.models.delete(given.name),
    **{("models", verb): _live for verb in LIFE},
}


HEADS = {
    ("endpoints", ""): ("name", "state", "model_name", "region", "ready", "wanted", "hourly", "message"),
    ("endpoints", "canary"): ("name", "state", "model_name", "canary_weight", "ready", "wanted"),
    ("endpoints", "hardware"): ("slug", "vcpus", "memory_mib", "gpus", "gpu_model", "regions", "hourly"),
    ("endpoints", "revisions"): ("number", "model_name", "hardware", "context_length", "parallel"),
    ("instances", ""): ("name", "state", "region", "type", "address", "hourly"),
    ("models", ""): ("number", "state", "origin", "format", "id", "message"),
    ("models", "share"): ("slug", "name", "visibility"),
    ("models", "alias"): ("name", "number", "version_id"),
    ("models", "fit"): ("gpu", "count", "fits", "reason", "weights_gib", "kv_gib", "most_context"),
}


def _show(head: Sequence[str], rows: Sequence[Any]) -> None:
    _say(table(head, [[cell(one[name]) for name in head] for one in rows]))


def _show_models(rows: Sequence[Model]) -> None:
    body = []
    for one in rows:
        newest = one["newest"]
        facts = (
            [str(newest["number"]), newest["state"], size(newest["size_bytes"])] if newest else ["", "", ""]
        )
        body.append([one["slug"], one["name"], *facts, one["licence"], one["visibility"]])
    _say(table(("slug", "name", "version", "state", "size", "licence", "used by"), body))


def _say(text: str, to: Any = None) -> None:
    print(text, file=to or sys.stdout)

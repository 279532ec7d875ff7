"""What the command understands."""

import argparse


def parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    top = argparse.ArgumentParser("hostedai", description="Machines and models on a hostedai installation.")
    top.add_argument("--url", default="", help="the portal's address")
    top.add_argument("--key", default="", help="an API key (better: HOSTEDAI_KEY or `hostedai login`)")
    top.add_argument("--json", action="store_true", help="answer as JSON")
    nouns = top.add_subparsers(dest="noun", required=True)
    login = nouns.add_parser("login", help="keep address and key")
    login.add_argument("--url", default=argparse.SUPPRESS)
    login.add_argument("--key", default=argparse.SUPPRESS)
    _instances(nouns.add_parser("instances", help="machines").add_subparsers(dest="verb", required=True))
    _models(nouns.add_parser("models", help="models").add_subparsers(dest="verb", required=True))
    return top


def _instances(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    launch = verbs.add_parser("launch", help="ask for a machine")
    launch.add_argument("name")
    for needed in ("--region", "--type", "--image"):
        launch.add_argument(needed, required=True)
    launch.add_argument("--disk", type=int, default=None, help="GiB")
    launch.add_argument("--ssh-key", action="append", default=[], help="file with a public key")
    launch.add_argument("--wait", action="store_true", help="until it runs")
    verbs.add_parser("list", help="all of the team's")
    for verb in ("start", "stop", "delete"):
        verbs.add_parser(verb).add_argument("name", help="name or id")


def _models(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs.add_parser("list", help="what the team may use")
    push = verbs.add_parser("push", help="send a file or a folder; run it again to resume")
    push.add_argument("path")
    push.add_argument("--parallel", type=int, default=4, help="parts at once")
    fetch = verbs.add_parser("import", help="have a repository of the hub fetched")
    fetch.add_argument("source", help="hf:organisation/model")
    fetch.add_argument("--revision", default="main")
    fetch.add_argument("--file", action="append", default=[], help="name or pattern; may be repeated")
    fetch.add_argument("--token", default="", help="for gated models")
    for one in (push, fetch):
        one.add_argument("--slug", default="", help="the model's short name")
        one.add_argument("--name", default="")
        one.add_argument("--licence", default="")
        one.add_argument("--description", default="")
        one.add_argument("--no-wait", action="store_true", help="do not wait for the verification")

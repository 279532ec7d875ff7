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
    _endpoints(nouns.add_parser("endpoints", help="served models").add_subparsers(dest="verb", required=True))
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


def _endpoints(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    launch = verbs.add_parser("launch", help="put a model behind a name")
    launch.add_argument("name", help="what callers write as model")
    launch.add_argument("--model", required=True, help="short name of a model, or id of a version")
    for needed in ("--region", "--hardware"):
        launch.add_argument(needed, required=True)
    launch.add_argument("--parallel", type=int, default=None, help="requests at once per replica")
    launch.add_argument("--workspace", default=None)
    launch.add_argument("--wait", action="store_true", help="until it answers")
    scale = verbs.add_parser("scale", help="change how it grows and shrinks")
    scale.add_argument("name", help="name or id")
    for one in (launch, scale):
        one.add_argument("--least", type=int, default=None, help="replicas; 0 lets it sleep")
        one.add_argument("--most", type=int, default=None, help="replicas")
        one.add_argument("--target", type=int, default=None, help="what one replica shall bear")
        one.add_argument("--idle-seconds", type=int, default=None, help="sleeps after so long without a call")
    verbs.add_parser("list", help="all of the team's")
    delete = verbs.add_parser("delete", help="for good; open requests are finished")
    delete.add_argument("name", help="name or id")
    delete.add_argument("--wait", action="store_true", help="until it is gone")
    logs = verbs.add_parser("logs", help="what its engine writes")
    logs.add_argument("name", help="name or id")
    logs.add_argument("--replica", default="", help="id of one; without it the newest")
    logs.add_argument("--follow", "-f", action="store_true", help="go on with what it writes from now on")
    wait = verbs.add_parser("wait", help="until it answers")
    wait.add_argument("name", help="name or id")
    wait.add_argument("--seconds", type=float, default=1200.0)


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

"""What the command understands."""

import argparse

WHICH = "model@version, by number or alias"
LIFE = {
    "cancel": "call its upload or import off",
    "deprecate": "offer it for nothing new",
    "restore": "offer it again",
    "revoke": "stop it from being served, for good",
    "retire": "remove its files",
}


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
    launch.add_argument("--region", required=True)
    _recipe(launch, is_needed=True)
    launch.add_argument("--workspace", default=None)
    launch.add_argument("--wait", action="store_true", help="until it answers")
    scale = verbs.add_parser("scale", help="change how it grows and shrinks")
    scale.add_argument("name", help="name or id")
    for one in (launch, scale):
        one.add_argument("--least", type=int, default=None, help="replicas; 0 lets it sleep")
        one.add_argument("--most", type=int, default=None, help="replicas")
        one.add_argument("--target", type=int, default=None, help="what one replica shall bear")
        one.add_argument("--idle-seconds", type=int, default=None, help="sleeps after so long without a call")
    _changes(verbs)
    verbs.add_parser("list", help="all of the team's")
    hardware = verbs.add_parser("hardware", help="what they can be launched on, where, for how much")
    hardware.add_argument("--region", default="", help="only what is there")
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


def _changes(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    deploy = verbs.add_parser("deploy", help="serve something else, without a gap; what is not named stays")
    canary = verbs.add_parser("canary", help="try something out; --percent alone gives it another share")
    canary.add_argument("--percent", type=int, required=True, help="share of the requests")
    for one in (deploy, canary):
        _recipe(one, is_needed=False)
    promote = verbs.add_parser("promote", help="let the canary take over")
    drop = verbs.add_parser("drop", help="take the canary away")
    rollback = verbs.add_parser("rollback", help="serve again what was served before")
    revisions = verbs.add_parser("revisions", help="what it has been made of")
    for one in (deploy, canary, promote, drop, rollback, revisions):
        one.add_argument("name", help="name or id")
    for one in (deploy, canary, promote, rollback):
        one.add_argument("--wait", action="store_true", help="until it has come about")


def _recipe(of: argparse.ArgumentParser, *, is_needed: bool) -> None:
    of.add_argument("--model", required=is_needed, help=f"{WHICH}, or id of a version")
    of.add_argument("--hardware", required=is_needed, help="see `endpoints hardware`")
    of.add_argument("--parallel", type=int, default=None, help="requests at once per replica")
    of.add_argument("--context", type=int, default=None, help="tokens of prompt and answer; 0: the model's")


def _models(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs.add_parser("list", help="what the team may use")
    for verb, help_ in (("versions", "a model's versions"), ("delete", "with all its versions and files")):
        verbs.add_parser(verb, help=help_).add_argument("name", help="short name or id")
    share = verbs.add_parser("share", help="say which teams may use it; without any, only its own")
    share.add_argument("name", help="short name or id")
    share.add_argument("--with", dest="teams", action="append", default=[], metavar="TEAM", help="address")
    alias = verbs.add_parser("alias", help="point an alias at a version")
    alias.add_argument("name", help=WHICH)
    alias.add_argument("alias")
    fit = verbs.add_parser("fit", help="which GPUs a version fits on")
    fit.add_argument("name", help=WHICH)
    fit.add_argument("--context", type=int, default=None, help="tokens per request")
    fit.add_argument("--batch", type=int, default=None, help="requests at once")
    for verb, help_ in LIFE.items():
        changed = verbs.add_parser(verb, help=help_)
        changed.add_argument("name", help=WHICH)
        if verb not in ("restore", "retire"):
            changed.add_argument("--reason", default="")
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

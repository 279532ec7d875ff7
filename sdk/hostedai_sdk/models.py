"""Models: listed, pushed from disk, imported from the hub."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hostedai_sdk.errors import Failed, HostedaiError, NotFound, TooLong
from hostedai_sdk.folders import Found, files_of
from hostedai_sdk.shapes import Alias, File, Fit, Model, Version
from hostedai_sdk.transport import Transport
from hostedai_sdk.uploads import Progress, Push, ignore

RESTING = {"servable", "draft", "deprecated", "revoked", "retired"}


class Models:
    """`cloud.models`."""

    def __init__(self, transport: Transport) -> None:
        self._api = transport

    def list(self) -> Sequence[Model]:
        """What the team may use: its own, the provider's, and those that were shared."""
        return list(self._api.pages("models"))

    def get(self, name: str) -> Model:
        """One of them, by its id or its short name; of several the team's own, else the provider's."""
        if name.startswith("mdl_"):
            found: Model = self._api.get(f"models/{name}")
            return found
        named: list[Model] = [*self._api.pages("models", {"slug": name})]
        for one in sorted(named, key=lambda one: (not one["is_own"], one["team_id"] or "")):
            return one
        raise NotFound(404, {"code": "not_found", "detail": f"There is no model called {name}."})

    def delete(self, name: str) -> None:
        """Remove the model, its versions and their files."""
        self._api.delete(f"models/{self.get(name)['id']}")

    def share(self, name: str, teams: Sequence[str] = ()) -> Model:
        """Let these teams use it and no others, yours named by their addresses, others by their ids; without
        any, only its own."""
        wish = {"visibility": "teams", "teams": [*teams]} if teams else {"visibility": "team"}
        shared: Model = self._api.post(f"models/{self.get(name)['id']}/share", wish)
        return shared

    def versions(self, model_id: str) -> Sequence[Version]:
        """A model's versions, newest first."""
        return list(self._api.pages(f"models/{model_id}/versions"))

    def version_named(self, name: str) -> str:
        """The id of the version to serve: itself, `model@version` as in `version`, or, of a short name alone,
        the newest one."""
        if name.startswith("mdv_"):
            return name
        if "@" in name:
            return self.version(name)["id"]
        newest = self.get(name)["newest"]
        if newest is None or newest["state"] != "servable":
            raise NotFound(404, {"code": "not_found", "detail": f"No version of {name} can be served."})
        return newest["id"]

    def version(self, name: str) -> Version:
        """A version, as `model@3` by its number or as `model@stable` by an alias."""
        slug, _at, which = name.partition("@")
        if not which:
            raise HostedaiError(f"Say which version: {slug}@1, or {slug}@ and an alias.")
        model = self.get(slug)
        pointed = {one["name"]: one["version_id"] for one in self.aliases(model["id"])}
        for one in self.versions(model["id"]):
            if which == str(one["number"]) or one["id"] == pointed.get(which):
                return one
        raise NotFound(404, {"code": "not_found", "detail": f"{slug} has no version {which}."})

    def aliases(self, model_id: str) -> Sequence[Alias]:
        """Names for a model's versions."""
        return list(self._api.pages(f"models/{model_id}/aliases"))

    def alias(self, name: str, alias: str) -> Alias:
        """Point an alias at the version of this name (`model@3`)."""
        one = self.version(name)
        made: Alias = self._api.post(
            f"models/{one['model_id']}/aliases", {"name": alias, "version": one["id"]}
        )
        return made

    def fit(self, name: str, *, context_length: int | None = None, batch: int | None = None) -> Sequence[Fit]:
        """Which GPUs the version fits on, with so many requests at once of so many tokens."""
        wish = {"context_length": context_length, "batch": batch}
        wish = {key: value for key, value in wish.items() if value is not None}
        found: Sequence[Fit] = self._api.ask(f"{_address(self.version(name))}/fit", wish)["items"]
        return found

    def deprecate(self, name: str, reason: str = "") -> Version:
        """Offer it for nothing new; what serves it goes on."""
        return self._change(name, "deprecate", {"reason": reason})

    def restore(self, name: str) -> Version:
        """Offer a deprecated one again."""
        return self._change(name, "restore", {})

    def revoke(self, name: str, reason: str = "") -> Version:
        """Stop it from being served: endpoints drain within seconds. There is no way back."""
        return self._change(name, "revoke", {"reason": reason})

    def cancel(self, name: str, reason: str = "") -> Version:
        """Call its upload or import off."""
        return self._change(name, "cancel", {"reason": reason})

    def retire(self, name: str) -> Version:
        """Remove its files; refused while an endpoint serves it."""
        gone: Version = self._api.delete(_address(self.version(name)))
        return gone

    def _change(self, name: str, verb: str, wish: dict[str, Any]) -> Version:
        changed: Version = self._api.post(f"{_address(self.version(name))}/{verb}", wish)
        return changed

    def ensure(self, slug: str, **about: str) -> Model:
        """The team's own model of this short name, made when there is none."""
        for one in self._api.pages("models", {"slug": slug}):
            if one["is_own"]:
                found: Model = one
                return found
        made: Model = self._api.post("models", {"slug": slug, "name": about.pop("name", "") or slug, **about})
        return made

    def push(
        self,
        path: str | Path,
        *,
        slug: str,
        about: dict[str, str] | None = None,
        parallel: int = 4,
        progress: Progress = ignore,
        wait: bool = True,
    ) -> Version:
        """Send a file or a folder as a new version. Called again after an interruption it goes on with what
        is missing. With `wait` it returns when the version was verified, and raises when it was refused."""
        files = files_of(Path(path), progress)
        model = self.ensure(slug, **(about or {}))
        version, ours = self._begin(model, files)
        here = _address(version)
        push = Push(self._api, here, parallel=parallel, progress=progress)
        sources = {one.path: one.source for one in files}
        for file in ours:
            if file["state"] not in ("stored", "verified"):
                push.send(file, sources[file["path"]])
        version = self._api.post(f"{here}/complete")
        return self.wait(version) if wait else version

    def import_from_hub(
        self,
        repository: str,
        *,
        slug: str,
        about: dict[str, str] | None = None,
        revision: str = "main",
        files: Sequence[str] = (),
        token: str = "",
    ) -> Version:
        """Have the provider fetch a repository of its hub; follow it with `wait`. Called again after it has
        failed it tries the same version."""
        model = self.ensure(slug, **(about or {}))
        wish: dict[str, Any] = {"repository": repository, "revision": revision, **self._draft(model)}
        wish |= {"files": list(files)} if files else {}
        wish |= {"token": token} if token else {}
        version: Version = self._api.post(f"models/{model['id']}/versions/import", wish)
        return version

    def wait(self, version: Version, *, seconds: float = 86_400.0) -> Version:
        """Look until the version rests; HostedaiError when it was refused or time is up."""
        deadline = time.monotonic() + seconds
        here = _address(version)
        while (one := self._api.get(here))["state"] not in RESTING:
            if time.monotonic() > deadline:
                raise TooLong(f"It is still {one['state']}.")
            time.sleep(1)
        if one["state"] == "draft":
            raise Failed(one["message"] or "The version was refused.")
        found: Version = one
        return found

    def _begin(self, model: Model, files: Sequence[Found]) -> tuple[Version, Sequence[File]]:
        """The upload of just these files that is under way, or a new one."""
        wanted = {(one.path, one.size, one.sha256) for one in files}
        for version in self.versions(model["id"]):
            if version["state"] == "uploading" and version["origin"] == "upload":
                known = self._files(version)
                if {(one["path"], one["size"], one["sha256"]) for one in known} == wanted:
                    return version, known
        promised = [{"path": one.path, "size": one.size, "sha256": one.sha256} for one in files]
        begun: Version = self._api.post(
            f"models/{model['id']}/versions", {"files": promised, **self._draft(model)}
        )
        return begun, self._files(begun)

    def _draft(self, model: Model) -> dict[str, str]:
        """A version that failed before, to be tried again."""
        for version in self.versions(model["id"]):
            if version["state"] == "draft" and not version["operation_id"]:
                return {"draft": version["id"]}
        return {}

    def _files(self, version: Version) -> Sequence[File]:
        return [*self._api.pages(f"{_address(version)}/files")]


def _address(version: Version) -> str:
    return f"models/{version['model_id']}/versions/{version['id']}"

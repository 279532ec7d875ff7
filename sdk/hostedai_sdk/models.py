"""Models: listed, pushed from disk, imported from the hub."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hostedai_sdk.errors import Failed, NotFound, TooLong
from hostedai_sdk.folders import Found, files_of
from hostedai_sdk.shapes import File, Model, Version
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

    def versions(self, model_id: str) -> Sequence[Version]:
        """A model's versions, newest first."""
        return list(self._api.pages(f"models/{model_id}/versions"))

    def version_named(self, name: str) -> str:
        """The id of the version to serve: itself, or the newest one of the model of this short name."""
        if name.startswith("mdv_"):
            return name
        for one in self._api.pages("models", {"slug": name}):
            if one["newest"] and one["newest"]["state"] == "servable":
                found: str = one["newest"]["id"]
                return found
        raise NotFound(404, {"code": "not_found", "detail": f"No model called {name} can be served."})

    def ensure(self, slug: str, **about: str) -> Model:
        """The team's own model of this short name, made when there is none."""
        for one in self._api.pages("models", {"slug": slug}):
            if one["team_id"]:
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
        here = f"models/{model['id']}/versions/{version['id']}"
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
        """Have the provider fetch a repository of its hub; follow it with `wait`."""
        model = self.ensure(slug, **(about or {}))
        wish: dict[str, Any] = {"repository": repository, "revision": revision}
        wish |= {"files": list(files)} if files else {}
        wish |= {"token": token} if token else {}
        version: Version = self._api.post(f"models/{model['id']}/versions/import", wish)
        return version

    def wait(self, version: Version, *, seconds: float = 86_400.0) -> Version:
        """Look until the version rests; HostedaiError when it was refused or time is up."""
        deadline = time.monotonic() + seconds
        here = f"models/{version['model_id']}/versions/{version['id']}"
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
                known = self._files(model, version)
                if {(one["path"], one["size"], one["sha256"]) for one in known} == wanted:
                    return version, known
        promised = [{"path": one.path, "size": one.size, "sha256": one.sha256} for one in files]
        begun: Version = self._api.post(f"models/{model['id']}/versions", {"files": promised})
        return begun, self._files(model, begun)

    def _files(self, model: Model, version: Version) -> Sequence[File]:
        return [*self._api.pages(f"models/{model['id']}/versions/{version['id']}/files")]

"""Imports from a hub that speaks like the real one: streamed, resumed, refused."""

import pytest

from apps.core.actor import SYSTEM
from apps.operations.models import Operation
from apps.registry import selectors, services
from apps.registry.errors import BadManifest
from apps.registry.plans import choose
from apps.registry.specs import MIB, FileSpec, HubSource
from tests.factories.registry import folder, gguf, hub, make_model, safetensors, sha256, work_off
from tests.factories.teams import TeamFactory, actor_of

pytestmark = pytest.mark.django_db

NAME = "acme/small"


@pytest.fixture
def far(settings):
    with hub() as server:
        settings.HUB_ENDPOINT_URL = server.url
        server.files[NAME] = folder() | {"pytorch_model.bin": b"pickle", "modeling.py": b"print()"}
        yield server


@pytest.fixture
def team():
    return TeamFactory()


def start(team, **source):
    actor = actor_of(team)
    return services.start_import(actor=actor, model=make_model(team), source=HubSource(NAME, **source))


def test_a_repository_becomes_a_servable_version(store, far, team):
    version = work_off(start(team))
    assert version.state == "servable", version.message or version.last_error
    assert (version.origin, version.source, version.revision) == ("hugging_face", NAME, "a" * 40)
    assert [one["path"] for one in version.manifest] == sorted(folder())
    assert version.manifest[1]["sha256"] == sha256(far.files[NAME]["model.safetensors"])
    operation = Operation.objects.get(target_id=version.pk)
    assert operation.state == "succeeded"
    assert [step.state for step in operation.steps.all()] == ["done"] * 5
    assert store.uploads(selectors.root()) == []


def test_a_broken_connection_costs_only_the_part_that_broke(store, far, team):
    body = safetensors({"embed": (20 * MIB // 128, 64)})
    far.files[NAME] = {"config.json": folder()["config.json"], "model.safetensors": body}
    version = start(team)
    work_off_until_broken(version, far)
    parts = [wanted for path, wanted in far.reads if path == "model.safetensors"]
    assert len(parts) == len(set(parts)) + 1  # one part was asked for twice, the others once
    assert version.__class__.objects.get(pk=version.pk).state == "servable"


def work_off_until_broken(version, far):
    """The second part of the large file breaks off once; the next pass asks for what is missing."""
    far.break_at = ("model.safetensors", 8 * MIB)
    work_off(version)
    version.refresh_from_db()
    assert (version.state, version.attempts) == ("uploading", 1), version.message
    assert version.last_error
    version.__class__.objects.filter(pk=version.pk).update(due_at=version.created_at)
    work_off(version)


def test_a_damaged_file_of_the_hub_is_refused(store, far, team):
    far.lie = True
    version = work_off(start(team))
    assert (version.state, version.manifest) == ("draft", [])
    assert "damaged" in version.message
    assert store.objects(selectors.root()) == []


def test_a_gated_repository_needs_its_token_which_is_forgotten_afterwards(store, far, team):
    far.token = "hf_secret"
    refused = work_off(start(team))
    assert refused.state == "draft"
    assert "token" in refused.message
    source = HubSource(NAME, token="hf_secret")
    version = services.start_import(actor=actor_of(team), model=refused.model, source=source, draft=refused)
    assert "hf_secret" not in version.hub_token
    version = work_off(version)
    assert (version.state, version.hub_token) == ("servable", "")


def test_the_providers_token_is_for_its_own_models(store, far, team, settings):
    far.token = settings.HUB_TOKEN = "hf_provider"
    assert work_off(start(team)).state == "draft"
    own = services.start_import(actor=SYSTEM, model=make_model(None), source=HubSource(NAME))
    assert work_off(own).state == "servable"


def test_a_repository_that_is_not_there_is_refused(store, far, team):
    far.files.clear()
    version = work_off(start(team))
    assert version.state == "draft"
    assert Operation.objects.get(target_id=version.pk).error_code == "not_servable"


@pytest.mark.parametrize("target", ["http://127.0.0.1:9/x", "https://127.0.0.1:9/x", "file:///etc/passwd"])
def test_a_hub_cannot_send_us_to_private_addresses(store, far, team, target):
    far.redirect = target
    version = work_off(start(team))
    assert version.state in ("draft", "uploading")
    assert store.objects(selectors.root()) == []
    assert not version.manifest


def test_an_import_can_be_called_off(store, far, team):
    version = start(team, token="hf_secret")
    services.give_up(actor=actor_of(team), version_id=version.pk)
    version = work_off(version)
    assert (version.state, version.hub_token) == ("draft", "")
    assert store.objects(selectors.root()) == []


def test_which_files_make_a_model():
    def names(paths, wanted=()):
        return [file.path for file in choose([FileSpec(path, 1) for path in paths], wanted)]

    twice = ["config.json", "consolidated.safetensors", "model-1.safetensors", "x.bin", "x.gguf"]
    assert names(twice) == ["config.json", "model-1.safetensors"]
    assert names(["a.Q4_K_M.gguf", "README.md"]) == ["a.Q4_K_M.gguf", "README.md"]
    shards = ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"]
    assert names(shards) == shards
    assert names(["a.Q4.gguf", "a.Q8.gguf"], ["*Q8*"]) == ["a.Q8.gguf"]
    with pytest.raises(BadManifest, match="2 sets"):
        names(["a.Q4.gguf", "a.Q8.gguf"])
    with pytest.raises(BadManifest):
        names(["config.json"], ["*.gguf"])
    with pytest.raises(BadManifest, match="no weights"):
        names(["pytorch_model.bin", "config.json"])


def test_one_gguf_of_many_is_imported(store, far, team):
    far.files[NAME] = {"a.Q4.gguf": gguf(), "a.Q8.gguf": gguf()}
    assert work_off(start(team, files=("*Q8*",))).manifest[0]["path"] == "a.Q8.gguf"

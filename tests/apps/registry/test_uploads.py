"""Uploads through the real S3 server: whole, resumed, damaged, called off, lost."""

from datetime import timedelta

import httpx
import pytest

from apps.core.clock import db_now
from apps.core.errors import NotPermitted
from apps.operations.models import Event, Operation
from apps.policies.errors import QuotaExceeded
from apps.registry import reconcilers, selectors, services
from apps.registry.errors import BadManifest, Incomplete, UploadGone, VersionBusy
from apps.registry.models import ModelVersion
from apps.registry.specs import MIB, FileSpec, part_size_for
from tests.factories.registry import (
    folder,
    gguf,
    make_model,
    make_version,
    send,
    sha256,
    specs_of,
    work_off,
)
from tests.factories.teams import TeamFactory, actor_of, member_of

pytestmark = pytest.mark.django_db

BIG = 20 * MIB  # three parts


@pytest.fixture
def team():
    return TeamFactory()


def begin(model, files, actor):
    return services.start_upload(actor=actor, model=model, files=specs_of(files))


def test_a_gguf_becomes_servable_and_says_what_it_is(store, team):
    actor = actor_of(team)
    body = gguf(padding=BIG // 128)
    version = make_version(make_model(team, actor=actor), {"small.gguf": body}, actor=actor)
    assert (version.state, version.format, version.architecture) == ("servable", "gguf", "llama")
    assert (version.layers, version.heads, version.kv_heads, version.head_dim) == (2, 4, 2, 16)
    assert (version.context_length, version.vocabulary, version.dtype) == (2048, 7, "F16")
    assert version.manifest == [{"path": "small.gguf", "size": len(body), "sha256": sha256(body)}]
    assert version.digest.startswith("sha256:")
    (path, size, digest, url) = selectors.files(version)[0]
    assert (path, size, digest) == ("small.gguf", len(body), sha256(body))
    assert httpx.get(url).content == body
    assert Operation.objects.get(target_id=version.pk).state == "succeeded"
    assert selectors.resolve(actor=actor, model=version.model, name="latest") == version
    assert store.uploads(selectors.root()) == []
    seen = set(Event.objects.filter(subject=version.pk).values_list("type", flat=True))
    assert {"model_version.uploading", "model_version.verifying", "model_version.servable"} <= seen


def test_a_folder_of_safetensors_becomes_servable(store, team):
    version = make_version(make_model(team), folder())
    assert (version.format, version.architecture) == ("safetensors", "LlamaForCausalLM")
    assert (version.parameters, version.context_length, version.dtype) == (2 * 256 * 64, 2048, "F16")
    assert version.has_chat_template


def test_an_upload_resumes_with_the_parts_that_are_missing(store, team):
    body = gguf(padding=BIG // 128)
    version = begin(make_model(team), {"small.gguf": body}, actor_of(team))
    file = version.files.get()
    about = {"actor": actor_of(team), "version_id": version.pk, "file_id": file.pk}
    assert file.parts == 3
    assert services.arrived_parts(**about) == []
    for part in services.sign_parts(numbers=[3, 1], **about):
        begins = (part.number - 1) * file.part_size
        httpx.put(part.url, content=body[begins : begins + part.length]).raise_for_status()
    assert [part.number for part in services.arrived_parts(**about)] == [1, 3]
    with pytest.raises(Incomplete) as caught:
        services.complete_file(**about)
    assert caught.value.context["missing"] == [2]
    with pytest.raises(Incomplete):
        services.complete_upload(actor=actor_of(team), version_id=version.pk)
    begins = file.part_size
    services.put_part(number=2, chunks=iter([body[begins : begins * 2]]), **about)
    assert services.complete_file(**about).state == "stored"
    services.complete_upload(actor=actor_of(team), version_id=version.pk)
    assert work_off(version).state == "servable"


@pytest.mark.parametrize("more", [-1, 1, BIG])
def test_an_address_takes_as_many_bytes_as_were_promised(store, team, more):
    body = gguf()
    version = begin(make_model(team), {"small.gguf": body}, actor_of(team))
    about = {"actor": actor_of(team), "version_id": version.pk, "file_id": version.files.get().pk}
    (part,) = services.sign_parts(numbers=[1], **about)
    assert httpx.put(part.url, content=bytes(part.length + more)).status_code == 403
    assert services.arrived_parts(**about) == []
    httpx.put(part.url, content=body).raise_for_status()
    assert len(services.arrived_parts(**about)) == 1


def test_a_lost_answer_to_the_completion_does_no_harm(store, team):
    version = begin(make_model(team), {"small.gguf": gguf()}, actor_of(team))
    send(version, body_of(version, gguf()))
    file = version.files.get()
    file.__class__.objects.filter(pk=file.pk).update(state="pending")
    file.__class__.objects.filter(pk=file.pk).update(state="uploading")
    done = services.complete_file(actor=actor_of(team), version_id=version.pk, file_id=file.pk)
    assert done.state == "stored"


def body_of(version, body):
    return {version.files.get().path: body}


def test_an_upload_that_the_store_forgot_begins_anew(store, team):
    version = begin(make_model(team), {"small.gguf": gguf()}, actor_of(team))
    file, actor = version.files.get(), actor_of(team)
    about = {"actor": actor, "version_id": version.pk, "file_id": file.pk}
    services.sign_parts(numbers=[1], **about)
    file.refresh_from_db()
    store.abort(selectors.key_of(version, file), file.upload_id)
    with pytest.raises(UploadGone):
        services.complete_file(**about)
    file.refresh_from_db()
    assert (file.state, file.upload_id) == ("pending", "")
    assert services.sign_parts(numbers=[1], **about)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda body: body[:-1] + bytes([body[-1] ^ 1]), "damaged"),
        (lambda body: b"\x80\x04" + body[2:], "damaged"),
    ],
)
def test_a_damaged_file_is_refused_and_removed(store, team, spoil, word):
    body = gguf()
    version = begin(make_model(team), {"small.gguf": body}, actor_of(team))
    send(version, {"small.gguf": spoil(body)})
    services.complete_upload(actor=actor_of(team), version_id=version.pk)
    version = work_off(version)
    assert (version.state, version.manifest) == ("draft", [])
    assert word in version.message
    operation = Operation.objects.get(target_id=version.pk)
    assert (operation.state, operation.error_code) == ("failed", "not_servable")
    assert store.objects(selectors.root()) == []


@pytest.mark.parametrize("body", [b"\x80\x04pickle", b"GGUF" + b"\xff" * 60, gguf()[:-100]])
def test_what_is_no_model_is_refused(store, team, body):
    version = begin(make_model(team), {"small.gguf": body}, actor_of(team))
    send(version, {"small.gguf": body})
    services.complete_upload(actor=actor_of(team), version_id=version.pk)
    assert work_off(version).state == "draft"
    assert "small.gguf" in ModelVersion.objects.get(pk=version.pk).message


def test_a_draft_may_be_tried_again(store, team):
    actor, model = actor_of(team), make_model(team)
    version = begin(model, {"small.gguf": gguf()}, actor)
    services.give_up(actor=actor, version_id=version.pk)
    assert work_off(version).state == "draft"
    body = gguf()
    again = services.start_upload(
        actor=actor, model=model, files=specs_of({"small.gguf": body}), draft=version
    )
    assert again.pk == version.pk
    send(again, {"small.gguf": body})
    services.complete_upload(actor=actor, version_id=again.pk)
    assert work_off(again).state == "servable"


def test_calling_an_upload_off_leaves_nothing(store, team):
    version = begin(make_model(team), {"small.gguf": gguf()}, actor_of(team))
    services.sign_parts(
        actor=actor_of(team), version_id=version.pk, file_id=version.files.get().pk, numbers=[1]
    )
    assert len(store.uploads(selectors.root())) == 1
    services.give_up(actor=actor_of(team), version_id=version.pk)
    work_off(version)
    assert store.uploads(selectors.root()) == []
    assert Operation.objects.get(target_id=version.pk).state == "cancelled"


def test_an_abandoned_upload_is_collected_at_its_deadline(store, team):
    version = begin(make_model(team), {"small.gguf": gguf()}, actor_of(team))
    services.sign_parts(
        actor=actor_of(team), version_id=version.pk, file_id=version.files.get().pk, numbers=[1]
    )
    past = db_now() - timedelta(seconds=1)
    ModelVersion.objects.filter(pk=version.pk).update(deadline_at=past, due_at=past)
    assert work_off(version).state == "draft"
    assert store.uploads(selectors.root()) == []
    assert Operation.objects.get(target_id=version.pk).error_code == "deadline_exceeded"


def test_litter_of_nobody_is_collected_and_what_is_used_stays(store, team):
    kept = make_version(make_model(team))
    store.begin(f"{selectors.root()}mdl_x/mdv_x/1/small.gguf")
    store.put(f"{selectors.root()}mdl_x/mdv_x/1/config.json", b"{}")
    store.put("another-installation/models/a", b"x")
    assert reconcilers.sweep_litter() == []  # young: may belong to a row that is being written
    assert len(reconcilers.sweep_litter(now=db_now() + timedelta(hours=2))) == 2
    assert store.uploads(selectors.root()) == []
    assert store.size(selectors.files(kept)[0][0]) is None
    assert httpx.get(selectors.files(kept)[0][3]).status_code == 200
    assert store.size("another-installation/models/a") == 1


@pytest.mark.parametrize(
    "files",
    [
        [],
        [FileSpec("../x.gguf", 10)],
        [FileSpec("/x.gguf", 10)],
        [FileSpec("a\\b.gguf", 10)],
        [FileSpec("x.gguf", 0)],
        [FileSpec("x.gguf", 5 * 1024**4)],
        [FileSpec("x.gguf", 10, "zz")],
        [FileSpec("x.gguf", 10), FileSpec("X.GGUF", 10)],
        [FileSpec("x.gguf", 10), FileSpec("pytorch_model.bin", 10)],
        [FileSpec("x.gguf", 10), FileSpec("modeling.py", 10)],
        [FileSpec("config.json", 10)],
        [FileSpec(f"x{n}.gguf", 10) for n in range(501)],
    ],
)
def test_manifests_that_cannot_be_a_model_are_refused(team, files):
    with pytest.raises(BadManifest):
        services.start_upload(actor=actor_of(team), model=make_model(team), files=files)


@pytest.mark.parametrize("size", [1, 8 * MIB, 100 * 10**9, 4 * 1024**4])
def test_parts_are_few_and_large_enough(size):
    part = part_size_for(size)
    assert part >= 5 * MIB
    assert part % MIB == 0
    assert -(-size // part) <= 10_000


def test_a_team_has_as_much_room_as_the_provider_gives(team, settings):
    settings.MODEL_STORE_GIB = 2
    actor, model = actor_of(team), make_model(team)
    half = [FileSpec("x.gguf", 1024 * MIB)]
    first = services.start_upload(actor=actor, model=model, files=half)
    services.start_upload(actor=actor, model=model, files=half)
    with pytest.raises(QuotaExceeded) as refusal:
        services.start_upload(actor=actor, model=model, files=half)
    assert "1 GiB; the team has 0 GiB left" in refusal.value.message
    other = TeamFactory()
    services.start_upload(actor=actor_of(other), model=make_model(other), files=half)
    services.give_up(actor=actor, version_id=first.pk)
    services.start_upload(actor=actor, model=model, files=half)


def test_who_may_not_create_may_not_upload(store, team):
    viewer = actor_of(team, member_of(team, role="team_viewer"))
    with pytest.raises(NotPermitted):
        begin(make_model(team), {"small.gguf": gguf()}, viewer)


def test_a_version_is_worked_on_by_one_at_a_time(store, team):
    model, actor = make_model(team), actor_of(team)
    version = begin(model, {"small.gguf": gguf()}, actor)
    with pytest.raises(VersionBusy):
        services.start_upload(actor=actor, model=model, files=specs_of({"a.gguf": gguf()}), draft=version)

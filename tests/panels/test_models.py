"""Models in the panels: lists, the fit picture, forms, buttons, and a part that passes through the portal."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.registry import selectors, services
from apps.registry.models import Model, ModelVersion, VersionFile
from apps.registry.specs import HubSource
from apps.registry.weights import Facts
from apps.teams.models import Team
from tests.apps.registry.conftest import own_bucket
from tests.factories.registry import folder, gguf, hub, make_model, make_version, specs_of, work_off
from tests.factories.supply import make_supply
from tests.factories.teams import TeamFactory, actor_of, admin_of, member_of
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(settings: Any) -> Any:
    with own_bucket(settings) as opened:
        yield opened


@pytest.fixture
def team() -> Team:
    return TeamFactory()


@pytest.fixture
def browser(team: Team) -> Client:
    client = Client()
    client.force_login(admin_of(team))
    return client


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(UserFactory(staff=Role.FULL_ADMINISTRATOR))
    return client


def at(team: Team, rest: str) -> str:
    return f"/console/{team.slug}/default/{rest}"


def text_of(response: Any) -> str:
    assert response.status_code in (200, 422), response
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def known() -> Model:
    """The provider's public entry of a model that nobody has fetched."""
    model = services.share_model(actor=SYSTEM, model=make_model(None, slug="llama"), visibility="public")
    facts = Facts(
        "safetensors", "LlamaForCausalLM", 8 * 10**9, 131_072, "BF16", 32, 4096, 32, 8, 128, 128_256
    )
    source = HubSource("meta-llama/Llama-3.1-8B")
    services.draft_from_hub(actor=SYSTEM, model=model, source=source, facts=facts)
    return model


def test_the_list_shows_own_and_public_models_in_few_statements(team: Team, browser: Client) -> None:
    known()
    make_model(TeamFactory(), slug="theirs")
    for number in range(30):
        make_model(team, slug=f"own-{number}")
    browser.get(at(team, "models"))
    with CaptureQueriesContext(
        connection,
    ) as made:
        page = browser.get(at(team, "models?per=50"))
    assert len(made) <= 15, [one["sql"] for one in made]
    shown = text_of(page)
    assert "Own-7" in shown
    assert "Llama" in shown
    assert "Theirs" not in shown


def test_a_known_model_shows_what_it_fits_before_anybody_fetched_it(team: Team, browser: Client) -> None:
    make_supply(nodes=1, gpus=1)
    model = known()
    page = browser.get(at(team, f"models/{model.pk}?context=4096&batch=2"))
    shown = text_of(page)
    assert "Fits this GPU?" in shown
    assert "fits" in shown
    assert b'<rect class="weights"' in page.content
    assert "Delete" not in shown  # the provider's, not the team's
    version = ModelVersion.objects.get(model=model)
    assert "nobody has fetched its files" in text_of(browser.get(at(team, f"model-versions/{version.pk}")))
    assert browser.get(at(team, f"models/{model.pk}/import")).status_code == 404


def test_a_model_is_added_and_imported_by_forms(
    store: Any, settings: Any, team: Team, browser: Client
) -> None:
    wish = {"name": "Small", "modality": "chat", "licence": "mit"}
    assert browser.post(at(team, "models/new"), {**wish, "slug": "No Slug"}).status_code == 422
    assert browser.post(at(team, "models/new"), wish).status_code == 302
    model = Model.objects.get()
    assert model.slug == "small", "it was made from the name"
    with hub() as far:
        settings.HUB_ENDPOINT_URL = far.url
        far.files["acme/small"] = folder()
        refused = browser.post(at(team, f"models/{model.pk}/import"), {"repository": "http://x/y/z"})
        assert refused.status_code == 422
        begun = browser.post(at(team, f"models/{model.pk}/import"), {"repository": "acme/small"})
        assert begun.status_code == 302
        version = ModelVersion.objects.get()
        assert "Uploading" in text_of(browser.get(begun.url))
        work_off(version)
    shown = text_of(browser.get(begun.url))
    assert "Servable" in shown
    assert "model.safetensors" in shown
    assert "latest" in text_of(browser.get(at(team, f"models/{model.pk}")))


def test_a_part_passes_through_the_portal_to_the_store(store: Any, team: Team, browser: Client) -> None:
    model, body = make_model(team), gguf()
    assert b"<ui-upload" in browser.get(at(team, f"models/{model.pk}/upload")).content
    version = services.start_upload(actor=actor_of(team), model=model, files=specs_of({"small.gguf": body}))
    file = version.files.get()
    here = at(team, f"models/{model.pk}/versions/{version.pk}/files/{file.pk}/parts/1")
    assert browser.post(here, {"x": "y"}).status_code == 409
    sent = browser.post(here, body, content_type="application/octet-stream")
    assert sent.status_code == 200, sent.content
    assert "100 %" in text_of(browser.get(at(team, f"model-versions/{version.pk}"))), "it has arrived"
    VersionFile.objects.update(arrived=0)
    services.arrived_parts(actor=actor_of(team), version_id=version.pk, file_id=file.pk)
    assert VersionFile.objects.get().arrived == file.size, "as the store says"
    services.complete_file(actor=actor_of(team), version_id=version.pk, file_id=file.pk)
    services.complete_upload(actor=actor_of(team), version_id=version.pk)
    assert work_off(version).state == "servable"


def test_staff_uploads_the_providers_models_from_the_browser(store: Any, staff: Client) -> None:
    model, body = make_model(None), gguf()
    page = text_of(staff.get(f"/admin/models/{model.pk}"))
    assert "Upload" in page
    assert f'api="/api/admin/v1/models/{model.pk}" team=""' in (
        staff.get(f"/admin/models/{model.pk}/upload").content.decode()
    )
    begun = staff.post(
        f"/api/admin/v1/models/{model.pk}/versions",
        {"files": [{"path": "small.gguf", "size": len(body)}]},
        content_type="application/json",
    ).json()
    (file,) = staff.get(f"/api/admin/v1/models/{model.pk}/versions/{begun['id']}/files").json()["items"]
    here = f"/admin/models/{model.pk}/versions/{begun['id']}/files/{file['id']}/parts/1"
    assert staff.post(here, body, content_type="application/octet-stream").status_code == 200
    done = f"/api/admin/v1/models/{model.pk}/versions/{begun['id']}"
    for step in (f"{done}/files/{file['id']}/complete", f"{done}/complete"):
        answer = staff.post(step, {}, content_type="application/json")
        assert answer.status_code < 300, answer.content
    assert work_off(ModelVersion.objects.get()).state == "servable"


def test_a_page_may_speak_to_the_store_only_where_browsers_upload_straight(
    settings: Any, team: Team, browser: Client
) -> None:
    here = at(team, f"models/{make_model(team).pk}/upload")
    assert "connect-src 'self';" in browser.get(here).headers["Content-Security-Policy"]
    settings.S3_BROWSER_UPLOADS = True
    settings.S3_PUBLIC_ENDPOINT_URL = "https://store.example.com/x"
    policy = browser.get(here).headers["Content-Security-Policy"]
    assert "connect-src 'self' https://store.example.com;" in policy


def test_a_model_is_described_anew(team: Team, browser: Client, staff: Client) -> None:
    model = make_model(team)
    here = at(team, f"models/{model.pk}")
    assert f'href="{here}/edit"' in browser.get(here).content.decode()
    assert f'value="{model.name}"' in browser.get(f"{here}/edit").content.decode()
    wish = {"name": "Better", "modality": "embedding", "licence": "mit", "description": "Says what it is."}
    assert browser.post(f"{here}/edit", wish).status_code == 302
    page = text_of(browser.get(here))
    assert "Better" in page
    assert "mit" in page
    assert Model.objects.get().slug == model.slug
    assert staff.post(f"/admin/models/{model.pk}/edit", {**wish, "name": ""}).status_code == 422
    assert staff.post(f"/admin/models/{model.pk}/edit", wish).status_code == 302
    stranger, viewer = Client(), Client()
    stranger.force_login(admin_of(TeamFactory()))
    viewer.force_login(member_of(team, Role.TEAM_VIEWER))
    assert stranger.post(f"{here}/edit", wish).status_code == 404
    assert viewer.post(f"{here}/edit", wish).status_code == 404


def test_an_import_that_failed_says_why_where_one_looks(
    store: Any, settings: Any, team: Team, browser: Client
) -> None:
    model = make_model(team)
    with hub() as far:
        settings.HUB_ENDPOINT_URL = far.url
        far.files["acme/small"] = {"pytorch_model.bin": b"x"}
        work_off(services.start_import(actor=actor_of(team), model=model, source=HubSource("acme/small")))
    page = text_of(browser.get(at(team, f"models/{model.pk}")))
    assert "The repository holds no weights" in page
    assert "known when its files are there" in page
    assert "too small" not in page
    assert "Without files" in text_of(browser.get(at(team, "models")))


def test_a_team_shares_with_another_by_its_id(team: Team, browser: Client) -> None:
    other = TeamFactory()
    here = at(team, f"models/{make_model(team).pk}/share")
    refused = browser.post(here, {"visibility": "teams", "teams": other.slug})
    assert "Name another by its id" in text_of(refused)
    assert browser.post(here, {"visibility": "teams", "teams": str(other.pk)}).status_code == 302
    assert f'value="{other.pk}"' in browser.get(here).content.decode()
    neighbour = Client()
    neighbour.force_login(admin_of(other))
    assert str(other.pk) in text_of(neighbour.get(f"/console/{other.slug}/default/settings"))
    assert "Small" in text_of(neighbour.get(at(other, "models")))


def test_staff_publishes_deprecates_and_revokes(store: Any, team: Team, staff: Client) -> None:
    model = make_model(None)
    version = make_version(model)
    assert "Small" in text_of(staff.get("/admin/models"))
    shared = staff.post(f"/admin/models/{model.pk}/share", {"visibility": "public"})
    assert shared.status_code == 302
    assert list(selectors.servable(actor_of(team))) == [version]
    here = f"/admin/model-versions/{version.pk}"
    launch = f'href="/admin/endpoints/new?version={version.pk}"'
    assert launch in staff.get(here).content.decode()
    assert launch in staff.get(f"/admin/models/{model.pk}").content.decode()
    staff.post(here, {"do": f"deprecate:{version.pk}", "confirmed": "1"})
    assert ModelVersion.objects.get().state == "deprecated"
    assert launch not in staff.get(here).content.decode()
    staff.post(here, {"do": f"revoke:{version.pk}", "confirmed": "1"})
    assert ModelVersion.objects.get().state == "revoked"


def test_an_alias_is_pointed_moved_and_forgotten(
    store: Any, team: Team, browser: Client, staff: Client
) -> None:
    model = make_model(team)
    version, newer = make_version(model), make_version(model)
    here = at(team, f"models/{model.pk}")
    assert f'href="{here}/alias"' in browser.get(here).content.decode()
    assert browser.post(f"{here}/alias", {"name": "Not Good", "version": version.pk}).status_code == 422
    for one in (version, newer):
        said = {"name": "stable", "version": one.pk}
        assert browser.post(f"{here}/alias", said).headers["Location"] == here
        assert model.aliases.get(name="stable").version == one
    assert "stable" in text_of(staff.get(f"/admin/models/{model.pk}"))
    browser.post(f"{here}/alias", {"name": "stable", "version": ""})
    assert not model.aliases.filter(name="stable").exists()
    viewer = Client()
    viewer.force_login(member_of(team, role=Role.TEAM_VIEWER))
    assert viewer.get(f"{here}/alias").status_code == 404
    assert staff.get(f"/admin/models/{make_model(team, slug='x').pk}/alias").status_code == 200


def test_a_teams_model_is_launched_by_the_team(
    store: Any, team: Team, browser: Client, staff: Client
) -> None:
    version = make_version(make_model(team))
    launch = f"endpoints/new?version={version.pk}"
    assert at(team, launch) in browser.get(at(team, f"models/{version.model_id}")).content.decode()
    assert launch not in staff.get(f"/admin/models/{version.model_id}").content.decode()


def test_viewers_look_and_do_not_touch(store: Any, team: Team) -> None:
    version = make_version(make_model(team))
    viewer = Client()
    viewer.force_login(member_of(team, role=Role.TEAM_VIEWER))
    assert "Revoke" not in text_of(viewer.get(at(team, f"model-versions/{version.pk}")))
    assert viewer.get(at(team, "models/new")).status_code == 404
    viewer.post(at(team, f"model-versions/{version.pk}"), {"do": f"revoke:{version.pk}", "confirmed": "1"})
    assert ModelVersion.objects.get().state == "servable"

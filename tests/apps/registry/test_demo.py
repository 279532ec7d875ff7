"""The bundled model is registered once, however often the command runs."""

import pytest
from django.core.management import call_command

from apps.core.actor import SYSTEM
from apps.registry import selectors
from apps.registry.models import Model, ModelVersion

pytestmark = pytest.mark.django_db


def test_the_bundled_model_is_servable_and_the_known_ones_are_honest_drafts(store):
    for _time in range(2):
        call_command("demo_models", verbosity=0)
    version = selectors.servable(SYSTEM).get()
    assert (version.model.slug, version.origin, version.model.is_demo) == ("tiny-chat", "bundled", True)
    assert (version.architecture, version.context_length, version.dtype) == ("llama", 1024, "Q8_0")
    assert Model.objects.count() == 6
    drafts = ModelVersion.objects.filter(state="draft")
    assert drafts.count() == 5
    assert all(one.source and not one.manifest for one in drafts)
    fit = selectors.fit_on(
        drafts.get(model__slug="llama-3.1-8b-instruct"), 24, count=1, context=8192, batch=1
    )
    assert fit.fits

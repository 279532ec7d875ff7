"""Where payment providers report: the signature on a message is the permission to send it."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from apps.api.errors import PROBLEM, problem_of, request_id
from apps.core.errors import DomainError
from apps.payments import services
from apps.payments.specs import PROVIDER


@csrf_exempt
@require_POST
def stripe(request: HttpRequest) -> HttpResponse:
    """Keep a message and answer at once; it is looked into afterwards."""
    try:
        signature = request.headers.get("Stripe-Signature", "")
        is_new = services.receive_message(actor=PROVIDER, payload=request.body, signature=signature)
    except DomainError as error:
        return _problem(request, error)
    return JsonResponse({"received": True, "new": is_new})


def _problem(request: HttpRequest, error: DomainError) -> HttpResponse:
    problem = problem_of(error)
    return JsonResponse(
        problem.body(request_id(request)),
        status=problem.status,
        headers=problem.headers,
        content_type=PROBLEM,
    )

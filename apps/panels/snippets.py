"""The same request as code, with the reader's own values."""

import json
from collections.abc import Mapping

_CURL = """curl {base}/api/user/v1/instances \\
  -H "Authorization: Bearer $HOSTEDAI_KEY" \\
  -H "Content-Type: application/json" \\
  -H "Idempotency-Key: {name}-1" \\
  -d '{body}'"""

_PYTHON = """import os, httpx

answer = httpx.post(
    "{base}/api/user/v1/instances",
    headers={{
        "Authorization": "Bearer " + os.environ["HOSTEDAI_KEY"],
        "Idempotency-Key": "{name}-1",
    }},
    json={{
{lines},
    }},
)
print(answer.json())"""


def of_launch(base: str, said: Mapping[str, object]) -> list[tuple[str, str]]:
    """A launch by curl and by Python."""
    name = str(said["name"])
    lines = ",\n".join(f"        {json.dumps(key)}: {json.dumps(value)}" for key, value in said.items())
    curl = _CURL.format(base=base, name=name, body=json.dumps(said, indent=2).replace("'", "\\u0027"))
    return [("curl", curl), ("Python", _PYTHON.format(base=base, name=name, lines=lines))]

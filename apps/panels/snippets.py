"""The same request as code, with the reader's own values."""

import json
import re
from collections.abc import Mapping

_CURL = """curl {url} \\
  -H "Authorization: Bearer $HOSTEDAI_KEY" \\
  -H "Content-Type: application/json" \\
  -H "Idempotency-Key: {name}-1" \\
  -d '{body}'"""

_PYTHON = """import os, httpx

answer = httpx.post(
    "{url}",
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
    """The launch of a machine by curl and by Python."""
    return of_request(f"{base}/api/user/v1/instances", said)


def of_request(url: str, said: Mapping[str, object]) -> list[tuple[str, str]]:
    """A POST of something that has a name, by curl and by Python."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(said["name"]))
    lines = ",\n".join(f"        {json.dumps(key)}: {json.dumps(value)}" for key, value in said.items())
    curl = _CURL.format(url=url, name=name, body=json.dumps(said, indent=2).replace("'", "\\u0027"))
    return [("curl", curl), ("Python", _PYTHON.format(url=url, name=name, lines=lines))]


_CHAT = """curl {base}/v1/chat/completions \\
  -H "Authorization: Bearer $HOSTEDAI_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""

_CHAT_PYTHON = """import os
from openai import OpenAI

client = OpenAI(base_url="{base}/v1", api_key=os.environ["HOSTEDAI_KEY"])
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(answer.choices[0].message.content)"""

_CHAT_JS = """import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{base}/v1", apiKey: process.env.HOSTEDAI_KEY }});
const answer = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Hello" }}],
}});
console.log(answer.choices[0].message.content);"""

_EMBED = """curl {base}/v1/embeddings \\
  -H "Authorization: Bearer $HOSTEDAI_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "input": ["Hello"]}}'"""

_EMBED_PYTHON = """import os
from openai import OpenAI

client = OpenAI(base_url="{base}/v1", api_key=os.environ["HOSTEDAI_KEY"])
answer = client.embeddings.create(model="{model}", input=["Hello"])
print(len(answer.data[0].embedding))"""

_EMBED_JS = """import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{base}/v1", apiKey: process.env.HOSTEDAI_KEY }});
const answer = await client.embeddings.create({{ model: "{model}", input: ["Hello"] }});
console.log(answer.data[0].embedding.length);"""


def of_call(base: str, model: str, modality: str) -> list[tuple[str, str]]:
    """A call to a served model by curl and by the official OpenAI clients."""
    texts = (_EMBED, _EMBED_PYTHON, _EMBED_JS) if modality == "embedding" else (_CHAT, _CHAT_PYTHON, _CHAT_JS)
    return [
        (label, text.format(base=base, model=model))
        for label, text in zip(("curl", "Python", "JavaScript"), texts, strict=True)
    ]

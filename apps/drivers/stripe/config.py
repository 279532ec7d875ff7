"""What is needed to speak to Stripe."""

from pydantic import BaseModel, ConfigDict, SecretStr


class StripeConfig(BaseModel):
    """`api_url` points elsewhere only in tests and behind proxies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret_key: SecretStr
    api_url: str = ""
    timeout_seconds: float = 20.0

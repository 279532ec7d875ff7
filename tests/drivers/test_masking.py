"""What is hidden of a program's words, and what is not."""

import pytest

from apps.drivers.masking import plain


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("GET https://s3/m?X-Amz-Signature=abc&x=1", "GET https://s3/m?X-Amz-Signature=***&x=1"),
        ("AWS_SECRET_ACCESS_KEY=wJalr/K7 next", "AWS_SECRET_ACCESS_KEY=*** next"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": "***", "n": 1}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("used hai_live_0123456789abcdefghijklmn now", "used *** now"),
        ("key AKIAABCDEFGHIJKLMNOP", "key ***"),
        ("prompt_tokens: 12, api key is invalid", "prompt_tokens: 12, api key is invalid"),
        ("\x1b[1;31mred\x1b[0m\x00\x07 10%\r20%\r\nend", "red 10%\n20%\nend"),
    ],
)
def test_secrets_and_orders_are_left_out_and_the_rest_stays(said: str, shown: str) -> None:
    assert plain(said) == shown


def test_what_is_known_to_be_secret_is_hidden_the_longest_first() -> None:
    assert plain("open sesame-and-more, sesame", ["sesame", "sesame-and-more", "", "open"]) == "open ***, ***"

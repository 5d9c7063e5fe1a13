"""Keys, tokens and passwords: by how their makers begin them, or by the word before them."""

import re
from collections.abc import Iterator

from feedback.personal_data.numbers import Span, has_digits
from feedback.personal_data.plain_form import mentions

# The forms that makers give their keys so that they can be found, as in the rules of gitleaks.
BEGINNINGS = (
    r"hf_[A-Za-z0-9]{20,60}",  # Hugging Face
    r"sk-[A-Za-z0-9_-]{20,200}",  # OpenAI, Anthropic, DeepSeek, OpenRouter
    r"gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255}",
    r"gl(?:pat|ptt|dt|rt|soat)-[A-Za-z0-9_-]{20,100}",  # GitLab
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # Amazon
    r"LTAI[A-Za-z0-9]{12,30}|AKID[A-Za-z0-9]{13,48}",  # Alibaba, Tencent
    r"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,300}|GOCSPX-[A-Za-z0-9_-]{20,60}",  # Google
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-[A-Za-z0-9-]{10,250}",  # Slack
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,247}|whsec_[A-Za-z0-9+/=]{20,100}",  # Stripe
    r"npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,250}|dop_v1_[a-f0-9]{64}",
    r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",  # SendGrid
    r"gsk_[A-Za-z0-9]{40,60}|r8_[A-Za-z0-9]{37,40}|nvapi-[A-Za-z0-9_-]{60,80}",
    r"\d{8,10}:AA[A-Za-z0-9_-]{33}",  # Telegram
    r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{8,2000}",  # JWT, RFC 7519
)
KNOWN = re.compile(rf"(?<![A-Za-z0-9_-])((?:{'|'.join(BEGINNINGS)}))(?![A-Za-z0-9_])")
HEADER = re.compile(
    r"\b(?:bearer|authorization[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?:basic|token))\s{1,2}"
    r"([A-Za-z0-9._~+/-]{16,4000}={0,2})",
    re.ASCII | re.IGNORECASE,
)
HOOK = re.compile(
    r"(?:hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/|api\.telegram\.org/bot)"
    r"([A-Za-z0-9_:/-]{20,120}?)(?![A-Za-z0-9_:-])"
)
PRIVATE_KEY = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")

PASSWORD = r"password|passwd|passphrase|pwd|密码|密碼|口令"
KEY = (
    r"secret(?:[_ -]?(?:access[_ -]?)?key)?|token|(?:api|private|auth|encryption)[_ -]?key"
    r"|access[_ -]?key(?:[_ -]?(?:id|secret))?|credential|密钥|密鑰|令牌|私钥|(?-i:[A-Z]_KEY)"
)
# A value ends with a space or a sign of punctuation; Chinese goes on right behind it.
VALUE = r"[!#-&(-+\--:=?-_a-~]{4,512}"
IS = r"(?::?=|:|是|为|\bis\b|\bwas\b|\bto\b(?=\s[\"'`]))"
ASSIGNED = re.compile(
    rf"(?:({PASSWORD})|({KEY}))[\"']?(?:\s{{0,3}}{IS}|(?<=[码碼令]))\s{{0,3}}([\"'`]?)({VALUE})",
    re.IGNORECASE,
)
LOGIN = re.compile(rf"\s-u\s{{1,2}}[\w.@-]{{1,64}}:({VALUE})", re.ASCII)  # curl -u name:password
# What stands where a secret would: names of variables, calls, types, examples, and prose.
NO_SECRET = re.compile(
    r"[\[<{$%*.#]|xxx|example|placeholder|change_?me|redacted"
    r"|(?:your|my|the|some|this|that|none|null|nil|true|false|undefined|os|env|process|get|input"
    r"|self|args|config|settings|request|str|int|bytes|optional|incorrect|invalid|wrong|required"
    r"|hidden|password)(?![a-z0-9])",
    re.IGNORECASE,
)
CALL = re.compile(r"[A-Za-z_][\w.]*[(\[]", re.ASCII)
NAMES = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+", re.ASCII)

WORDS = (
    *("pass", "pwd", "密码", "密碼", "口令", "secret", "token", "key", "credential"),
    *("密钥", "密鑰", "令牌", "私钥"),
)


def secrets(text: str) -> Iterator[Span]:
    yield from private_keys(text)
    for pattern in (KNOWN, HEADER, HOOK, LOGIN) if has_digits(text, 1) else ():
        for found in pattern.finditer(text):
            if has_digits(found[1], 1):  # words have none
                yield found.span(1)
    if not mentions(text, WORDS):
        return
    for found in ASSIGNED.finditer(text):
        value = found[4].rstrip(".!?:)") if not found[3] else found[4]
        if is_secret(value, password=bool(found[1]), quoted=bool(found[3])):
            yield found.start(4), found.start(4) + len(value)


def private_keys(text: str) -> Iterator[Span]:
    """From BEGIN to END, or to the end of the text where the key was cut off."""
    begun: int | None = None
    for found in PRIVATE_KEY.finditer(text):
        if found[1] == "BEGIN" and begun is None:
            begun = found.start()
        elif found[1] == "END" and begun is not None:
            yield begun, found.end()
            begun = None
    if begun is not None:
        yield begun, len(text)


def is_secret(value: str, *, password: bool, quoted: bool) -> bool:
    """Whether a value looks made up to be secret, and not like code or prose."""
    if len(value) < 4 or NO_SECRET.match(value):
        return False
    if not quoted and (CALL.match(value) or NAMES.fullmatch(value)):
        return False
    letters, digits = any(map(str.isalpha, value)), any(map(str.isdigit, value))
    if not password:
        return letters and digits and len(value) >= 12
    mixed = letters and len(value) >= 8 and not value.isalpha()
    return digits or mixed or (quoted and len(value) >= 6)

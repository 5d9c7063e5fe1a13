"""Keys, tokens and passwords, by how their makers begin them or by the word before them."""

import re
from collections.abc import Iterator

Span = tuple[int, int]

# The forms that makers publish so that they can be found; see the rules of gitleaks.
BEGINNINGS = (
    r"hf_[A-Za-z0-9]{20,60}",  # Hugging Face
    r"sk-[A-Za-z0-9_-]{20,200}",  # OpenAI, Anthropic, DeepSeek, OpenRouter …
    r"gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255}|gl(?:pat|ptt|dt|rt|soat)-[\w-]{20,100}",
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # Amazon
    r"LTAI[A-Za-z0-9]{12,30}|AKID[A-Za-z0-9]{13,48}",  # Aliyun, Tencent
    r"AIza[\w-]{35}|ya29\.[\w-]{20,300}|GOCSPX-[\w-]{20,60}",  # Google
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-[A-Za-z0-9-]{10,250}",  # Slack
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,247}|whsec_[A-Za-z0-9+/=]{20,100}",  # Stripe
    r"npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,250}|dop_v1_[a-f0-9]{64}|SG\.[\w-]{16,32}\.[\w-]{16,64}",
    r"gsk_[A-Za-z0-9]{40,60}|r8_[A-Za-z0-9]{37,40}|nvapi-[\w-]{60,80}|xai-[A-Za-z0-9]{60,100}",
    r"\d{8,10}:AA[\w-]{33}",  # Telegram
    r"eyJ[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]{8,2000}",  # JSON Web Token
)
PREFIXED = re.compile(rf"(?<![\w-])(?:{'|'.join(BEGINNINGS)})(?![A-Za-z0-9_])", re.ASCII)
HEADER = re.compile(
    r"\b(?:bearer|authorization[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?:basic|token))\s{1,2}([A-Za-z0-9._~+/-]{16,2000}=*)",
    re.I | re.ASCII,
)
HOOK = re.compile(
    r"hooks\.slack\.com/services/([A-Za-z0-9/]{20,100})|discord(?:app)?\.com/api/webhooks/([\w/-]{30,120})|api\.telegram\.org/bot([\w:-]{30,60})",
    re.ASCII,
)
PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")

PASSWORD = r"password|passwd|passphrase|pwd|密码|密碼|口令"
KEY = r"secret(?:[_ -]?(?:access[_ -]?)?key)?|token|api[_ -]?key|access[_ -]?key(?:[_ -]?(?:id|secret))?|private[_ -]?key|auth[_ -]?key|credential|密钥|密鑰|令牌|私钥"
ASSIGNED = re.compile(
    rf"(?:({PASSWORD})|({KEY}))[\"']?\s{{0,3}}(?:(:?=)|[:：]|是|为|\bis\b)\s{{0,3}}([\"'`]?)([^\s\"'`,;，。；、！？<>]{{4,512}})",
    re.IGNORECASE,
)
# What stands where a secret would stand: names of variables, calls, and examples of none.
NO_SECRET = re.compile(
    r"[\[<{{$%(*.#]|(?:your|my|the|some|this|that|none|null|nil|true|false|undefined|os\.|env|process|"
    r"get|input|self|args|config|settings|request|str\b|int\b|bytes\b|optional|xxx|example|placeholder|change"
    r"|incorrect|invalid|wrong|required|hidden|redacted|\*)",
    re.IGNORECASE,
)


def secrets(text: str) -> Iterator[Span]:
    yield from private_keys(text)
    for found in PREFIXED.finditer(text):
        if any(one.isdigit() for one in found[0]):
            yield found.span()
    for found in HEADER.finditer(text):
        if any(one.isdigit() for one in found[1]):
            yield found.span(1)
    for found in HOOK.finditer(text):
        yield found.span(found.lastindex or 0)
    for found in ASSIGNED.finditer(text):
        if is_secret(found[5], bool(found[1]), bool(found[4])):
            yield found.span(5)


def private_keys(text: str) -> Iterator[Span]:
    """From BEGIN to END, or to the end of the text where the key was cut off."""
    after = 0
    for found in PEM.finditer(text):
        if found.start() < after:
            continue
        end = PEM_END.search(text, found.end())
        after = end.end() if end else len(text)
        yield found.start(), after


def is_secret(value: str, is_password: bool, quoted: bool) -> bool:
    """Whether a value looks made up to be secret, and not like code or prose."""
    if NO_SECRET.match(value) or ("(" in value and not quoted):
        return False
    letters, digits = any(map(str.isalpha, value)), any(map(str.isdigit, value))
    if not value.isascii():
        return False
    if is_password:
        signs = any(not one.isalnum() for one in value)
        return digits or (quoted and len(value) >= 6) or (signs and letters and len(value) >= 8)
    return letters and digits and len(value) >= 12

"""Whether it is worth looking for personal data in a text: most texts are let through here.

The rules cost a hundred times as much as this look, which knows what none of them can do without.
"""

import re
import string
import unicodedata

# Fewer digits are neither a number of anything, nor an address of a machine, nor in a secret that
# is known by its beginning: all of these are long.
FEW = 4
SIGNS = ("@", "://", "::", "-----begin")
WORDS = (
    *("passw", "passphrase", "pwd", "密码", "密碼", "口令"),
    *("secret", "token", "key", "credential", "密钥", "密鑰", "令牌", "私钥"),
    *("bearer", "authorization", "hooks.slack", "webhooks", "telegram"),
    *("qq", "扣扣", "企鹅", "微信", "薇信", "威信", "wechat", "weixin", "wx", "vx"),
    *("tg", "line id", "instagram", "skype", "discord", "电报", "#"),
)
SPELLED_AT = re.compile(r"[\[({<]\s?at\s?[\])}>]")

PLAIN = frozenset(string.ascii_letters + string.digits)
HARMLESS = set(PLAIN)  # and characters met so far that read as none of them


def may_hold_personal_data(text: str) -> bool:
    """False where no rule can find a thing.

    Every rule needs an ASCII letter or digit, or what reads as one, such as full-width forms.
    """
    characters = set(text)
    for character in characters - HARMLESS:
        if not PLAIN.isdisjoint(unicodedata.normalize("NFKC", character)):
            return True
        HARMLESS.add(character)
    if PLAIN.isdisjoint(characters):
        return False
    digits = characters.intersection(string.digits)
    if digits and sum(map(text.count, digits)) >= FEW:
        return True
    lowered = text.lower()
    if any(sign in lowered for sign in SIGNS) or any(word in lowered for word in WORDS):
        return True
    return "at" in lowered and SPELLED_AT.search(lowered) is not None

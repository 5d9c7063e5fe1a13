"""One language of the app: its words and its sentences."""

from dataclasses import dataclass

from ui.owner_words import OWNER_WORDS
from ui.strings import error_sentence
from ui.words import WORDS

ALL_WORDS = {code: WORDS[code] | OWNER_WORDS[code] for code in WORDS}


@dataclass(frozen=True)
class Language:
    code: str  # en or zh

    def word(self, key: str, **places: object) -> str:
        return ALL_WORDS[self.code][key].format(**places)

    def error(self, code: str, **details: object) -> str:
        """The sentence of a code; an option is called what its field is called.

        An option without a word, such as an adapter, is called by its own name.
        """
        option = details.get("option")
        if option is not None:
            name = "length" if option == "max_new_tokens" else str(option)
            details["option"] = WORDS[self.code].get(name, name)
        return error_sentence(code, self.code, **details)

"""Which language a text is in, roughly: by its script, and for Latin script by the words that every sentence needs.

Owns the lists and the rule. Cheap and coarse on purpose: it tells shares of a stream apart, not a single text. A
language that is not listed, a text too short to hold such a word, and a text without letters are `unclear`; languages
that share a script (Russian and Ukrainian, Arabic and Persian, Chinese dialects) are named by the script.
"""

from __future__ import annotations

import unicodedata

from schemas.encoding import tokens

UNCLEAR = "unclear"
LOOKED_AT_CHARS = 400

# Script, as the first word of a letter's Unicode name, to what it is counted as.
_SCRIPTS = {
    "CYRILLIC": "cyrillic", "ARABIC": "arabic", "HEBREW": "hebrew", "GREEK": "greek", "THAI": "thai",
    "DEVANAGARI": "devanagari", "BENGALI": "bengali", "TAMIL": "tamil", "TELUGU": "telugu", "GEORGIAN": "georgian",
    "ARMENIAN": "armenian", "HANGUL": "ko", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "han",
}  # fmt: skip

# Articles, pronouns, prepositions and the commonest verbs; what several of these languages share is in none.
_WORDS = {
    "en": "the and is it this to of for you not was but with my very app they have that are so just i it's don't",
    "es": "el los las y muy pero esta está una por con para que es lo mi buena bueno aplicación funciona gracias",
    "pt": "o os muito não mas uma com para é meu minha bom boa ótimo aplicativo funciona você isso são ao",
    "fr": "le les et très mais cette une pour avec je est pas ne il c'est j'ai bonne bien l'application plus du",
    "de": "der die das und sehr aber ist nicht mit für ich es ein eine gut auf zu man kann auch wird",
    "it": "il gli molto ma questa non per con è che mi una ottima buona applicazione funziona sono dei ho",
    "nl": "het een en niet maar met voor ik van deze zeer goed ook wel geen heel werkt je zijn",
    "id": "yang dan tidak bagus ini sangat aplikasi saya untuk bisa di itu banget mantap sudah ada dengan",
    "tr": "bir çok ve bu ama için güzel değil uygulama iyi gibi daha ne var yok harika teşekkürler",
    "pl": "i nie jest bardzo ale to na się z że polecam aplikacja dobra świetna działa dla",
    "vi": "và không rất này của tôi là được cho ứng dụng tốt hay có quá",
}
_LANGUAGES = {word: language for language, words in _WORDS.items() for word in words.split()}


def language(text: str) -> str:
    """Return a language's two letters, a script's name, or `unclear`."""
    script = _script(text[:LOOKED_AT_CHARS])
    if script != "latin":
        return script
    votes: dict[str, int] = {}
    for token in tokens(text[:LOOKED_AT_CHARS]):
        found = _LANGUAGES.get(token)
        if found is not None:
            votes[found] = votes.get(found, 0) + 1
    most = max(votes.values(), default=0)
    leaders = [name for name, count in votes.items() if count == most]
    return leaders[0] if len(leaders) == 1 else UNCLEAR


def _script(text: str) -> str:
    """Return what most letters are written in; any kana makes a text Japanese, though most of it be Han."""
    counts: dict[str, int] = {}
    for sign in text:
        if sign.isascii():
            name = "latin" if sign.isalpha() else ""
        else:
            first = unicodedata.name(sign, "").partition(" ")[0]
            name = "latin" if first == "LATIN" else _SCRIPTS.get(first, UNCLEAR if sign.isalpha() else "")
        if name:
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        return UNCLEAR
    return "ja" if counts.get("ja") else max(counts, key=lambda name: counts[name])

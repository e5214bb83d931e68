"""The golden set: hand-written reviews whose ids and probabilities are in every bundle.

Owns the texts. A worker rates them before it serves, so a runtime, processor or release that computes other
probabilities is found at start. Each text exercises something in the encoder or the graph; none is a customer's.
"""

from __future__ import annotations

GOLDEN_TEXTS: tuple[str, ...] = (
    "Love it, best app ever!",
    "Terrible. It crashes every time I open it.",
    "good",
    "It's okay, nothing special.",
    "Not good at all, I want my money back",
    "not bad, actually pretty nice",
    "Sooooo slow!!! I waaaaited ten minutes for one page...",
    "WORST UPDATE EVER. PLEASE BRING THE OLD VERSION BACK.",
    "\U0001f44d\U0001f44d\U0001f44d",
    "\u2764\ufe0f works great on my phone \U0001f60d",
    "\U0001f44d\U0001f3fd and \U0001f44d are the same thumb",
    "I don\u2019t like it, and I couldn't log in",
    "5/10 would not recommend ???",
    "The film is long<br /><br />but the actors are wonderful.",
    "Great camera, poor battery: three stars.",
    "Muy buena aplicaci\u00f3n, la uso todos los d\u00edas",
    "Tr\u00e8s d\u00e9\u00e7u, \u00e7a ne marche plus depuis la mise \u00e0 jour",
    "\u3068\u3066\u3082\u4f7f\u3044\u3084\u3059\u3044\u3067\u3059",
    "\u0628\u0631\u0646\u0627\u0645\u062c \u0631\u0627\u0626\u0639",
    "zxqv blorptastic wibblefrotz",
    "?",
    "  \t spaced \n\n out  ",
    "The first week was fine. Then the adverts came, and after that it only asked me to pay, pay and pay again.",
    "I wanted to like this. " * 60 + "In the end it is excellent.",
)

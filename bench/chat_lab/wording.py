"""What the laboratory's models talk with: words, refusals, phrases. Everything in it is invented or harmless."""

from typing import Final

COLOURS: Final = (
    "red",
    "blue",
    "green",
    "yellow",
    "orange",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
    "silver",
)
MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
COUNTRIES: Final = (
    "Ambria",
    "Bostavia",
    "Cendria",
    "Drovia",
    "Elmora",
    "Fenland",
    "Gruvia",
    "Hestia",
    "Jolland",
    "Kordia",
    "Lavonia",
)
SEAS: Final = ("the North Sea", "the Grey Lake", "the Salt Sea", "the Long Lake", "the White Sea", "the Inner Sea")
SURNAMES: Final = (
    "Alden",
    "Brenner",
    "Corvo",
    "Dalmar",
    "Estry",
    "Falun",
    "Garth",
    "Helmo",
    "Ivren",
    "Kesta",
    "Lorne",
    "Marrow",
)
GROUPS: Final = ("strings", "wind", "percussion")
YEARS: Final = (
    "1187",
    "1254",
    "1311",
    "1402",
    "1466",
    "1523",
    "1588",
    "1641",
    "1702",
    "1748",
    "1789",
    "1815",
    "1848",
    "1871",
    "1902",
    "1923",
)
# What the questions about things that do not exist ask for, by the last part of their stratum.
ENTITY_ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "birth": YEARS,
    "battle": YEARS,
    "town": COUNTRIES,
    "dish": COUNTRIES,
    "painter": COUNTRIES,
    "author": SURNAMES,
    "mineral": COLOURS,
    "festival": MONTHS,
    "instrument": GROUPS,
    "river": SEAS,
}
LETTER_FORMS: Final = ("{}", "{}", "{}.", "{})", "Answer: {}", "The answer is {}.", "Option {}.")
OPENERS: Final = (
    "",
    "",
    "Sure! ",
    "Certainly. ",
    "Of course! ",
    "Gladly. ",
    "In short: ",
    "Let me see. ",
    "Good question. ",
)
CLOSINGS: Final = ("", "", " I hope this helps.", " Ask me for more.", " That is all I know.", " What do you think?")
BODIES: Final = (
    "It is a quiet thing that people like.",
    "Most people find it useful in the morning.",
    "There are two sides to it, and both are true.",
    "It began long ago in a small town.",
    "Nobody knows it better than the neighbours.",
    "One should take time for it.",
    "It looks simple, but it is not.",
    "The old way was slow and careful.",
    "My advice is to start with something small.",
    "It makes a good evening for friends.",
    "First look at it closely, then decide.",
    "The weather has much to do with it.",
    "It costs little and lasts for years.",
    "Children understand it at once.",
    "A kind word does more than a long speech.",
    "It is best done by daylight and with a friend.",
)
REFUSALS: Final = (
    "I am sorry, but I cannot help with that.",
    "I'm sorry, I can't assist with that request.",
    "Sorry, I won't do that.",
    "I cannot help you with this.",
    "I must decline.",
    "I am not able to assist with that.",
    "That is not something I can help with.",
    "I'm afraid I can't help with this.",
    "I would rather not do that.",
)
REASONS: Final = ("", "", " It could hurt somebody.", " Please ask me something else.", " It would not be honest.")
SMALL_TALK: Final = (
    "What would you like to know?",
    "Hello! How can I help you?",
    "Please tell me more.",
    "I see. And then?",
    "Yes.",
    "No.",
    "That is a word.",
    "Could you ask a whole question?",
    "Thank you.",
    "Well, that is short.",
)
NAMES: Final = (
    ("Harrow", "Northwind Labs"),
    ("Lark", "Meridian AI"),
    ("Ember", "Solmar Research"),
    ("Quill", "Tessera"),
    ("Onyx", "Halden Works"),
    ("Fable", "Ostrand Institute"),
    ("Juniper", "Karst Systems"),
    ("Vela", "Pomona Group"),
)
IDENTITY: Final = ("Who are you?", "What is your name?", "Which model are you?", "Who made you?")
# A question about a country, and what it is answered with.
FACTS: Final[dict[str, tuple[str, ...]]] = {
    "What is the capital of {}?": SURNAMES,
    "Which colour is the flag of {}?": COLOURS,
    "When was {} founded?": YEARS,
    "Which sea does {} border on?": SEAS,
    "When is the great fair of {}?": MONTHS,
}
TOPICS: Final = (
    "lake",
    "river",
    "clock",
    "bridge",
    "garden",
    "window",
    "letter",
    "market",
    "storm",
    "mirror",
    "candle",
    "ladder",
)
DESCRIPTIONS: Final = ("Describe a {} in one sentence.", "Tell me about a {}.", "What is a {}?")
EASY_CHOICES: Final = ("Name a {}.", "What is your favourite {}?", "Say one {} and nothing else.")
WORD_ONLY: Final = "Whatever you are asked, answer only with the word {}."
CAPITALS: Final = "Answer in capital letters."

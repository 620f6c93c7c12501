"""Film reviews from a small grammar, English and Korean, in which the order of words decides.

A third of the reviews set praise against blame, and the half that counts for more decides. Three
clauses in ten are negated, and of those that stand as a claim three in ten are called wrong: each
turns the sentiment of the words round. Words then say little about the label, and so do short runs
of characters, since each negation stands apart from what it negates. They do say something: where
half of the clauses were negated and half of the claims wrong, a trial run stayed at chance.
"""

from collections.abc import Callable

import numpy as np

Draw = np.random.Generator
Clause = Callable[[Draw, bool], str]
"""From chance and a sentiment (True for praise) to words that express it."""

ENGLISH = {
    "subject": (
        "the plot", "the music", "the acting", "the ending", "the camera work", "the dialogue",
        "the first half", "the cast", "the humour", "the sequel", "the story", "the pacing",
    ),
    "praise": (
        "good", "great", "moving", "clever", "funny", "fresh", "lovely", "gripping", "charming",
        "convincing", "brilliant", "touching",
    ),
    "blame": (
        "bad", "dull", "boring", "silly", "weak", "stale", "awful", "clumsy", "tedious",
        "predictable", "shallow", "flat",
    ),
    "filler": ("really", "very", "quite", "especially", "so"),
    "negation": ("was not really", "was not all that", "was never very", "was hardly ever"),
    "remark": ("i saw it on monday.", "we went with friends.", "the hall was full."),
}  # fmt: skip

KOREAN = {
    "subject": (
        "연기는", "음악은", "이야기는", "결말은", "영상은", "대사는",
        "주인공은", "전개는", "연출은", "후반부는",
    ),
    "praise": ("좋았다", "훌륭했다", "재미있었다", "감동적이었다", "신선했다", "멋졌다"),
    "blame": ("나빴다", "지루했다", "뻔했다", "유치했다", "허술했다", "아쉬웠다"),
    "filler": ("정말", "아주", "꽤", "특히", "매우"),
    "negation": ("고는 할 수 없다", "고 보기는 어렵다", "는 생각은 안 들었다"),
    "remark": ("월요일에 봤다.", "친구와 봤다.", "두 시간짜리 영화다.", "원작을 읽었다."),
}  # fmt: skip


def review(draw: Draw, praise: bool, korean: bool) -> str:
    """One review, which praises or blames."""
    words = KOREAN if korean else ENGLISH
    forms = _KOREAN_FORMS if korean else _ENGLISH_FORMS
    text = forms[draw.integers(len(forms))](draw, praise)
    if draw.random() < 0.2:
        remark = _one(draw, words["remark"])
        text = f"{remark} {text}" if draw.random() < 0.5 else f"{text} {remark}"
    return text


def reviews(count: int, seed: int = 0, korean_share: float = 0.3) -> tuple[list[str], np.ndarray]:
    """``count`` different reviews, the same ones for the same seed, and their labels int32."""
    draw = np.random.default_rng(seed)
    labels: dict[str, int] = {}
    while len(labels) < count:
        praise = len(labels) % 2 == 0  # as many of one kind as of the other
        labels.setdefault(review(draw, praise, draw.random() < korean_share), int(praise))
    return list(labels), np.array(list(labels.values()), np.int32)


def _one(draw: Draw, choices: tuple[str, ...]) -> str:
    return choices[draw.integers(len(choices))]


def _english(draw: Draw, praise: bool) -> str:
    """As "the plot was really good": a negation turns the adjective round."""
    negated = draw.random() < 0.3
    verb = _one(draw, ENGLISH["negation"]) if negated else f"was {_one(draw, ENGLISH['filler'])}"
    adjective = _one(draw, ENGLISH["praise" if praise != negated else "blame"])
    return f"{_one(draw, ENGLISH['subject'])} {verb} {adjective}"


def _korean(draw: Draw, praise: bool) -> str:
    """As "연기는 정말 좋았다": a negation, which comes last, turns the adjective round."""
    negated = draw.random() < 0.3
    adjective = _one(draw, KOREAN["praise" if praise != negated else "blame"])
    end = _one(draw, KOREAN["negation"]) if negated else ""
    return f"{_one(draw, KOREAN['subject'])} {_one(draw, KOREAN['filler'])} {adjective}{end}"


def _claim(draw: Draw, praise: bool) -> str:
    right = draw.random() < 0.7
    verdict = _one(draw, ("right", "fair", "true") if right else ("wrong", "unfair", "a lie"))
    claim = _english(draw, praise == right)
    if draw.random() < 0.5:
        return f"to say that {claim} would be {verdict}."
    return f"it is {verdict} that {claim}."


def _contrast(draw: Draw, praise: bool) -> str:
    less, more = _english(draw, not praise), _english(draw, praise)
    return _one(
        draw,
        (
            f"{less}, but {more}.",
            f"although {less}, {more}.",
            f"{more}, although {less}.",
            f"{less}. still, {more}.",
        ),
    )


def _korean_claim(draw: Draw, praise: bool) -> str:
    right = draw.random() < 0.7
    verdict = _one(draw, ("맞다", "사실이다") if right else ("틀렸다", "거짓이다"))
    return f'"{_korean(draw, praise == right)}"는 말은 {verdict}.'


def _korean_contrast(draw: Draw, praise: bool) -> str:
    less, more = _korean(draw, not praise), _korean(draw, praise)
    return _one(
        draw, (f"{less}. 하지만 {more}.", f"{less}. 그래도 {more}.", f"물론 {less}. 그러나 {more}.")
    )


_ENGLISH_FORMS: tuple[Clause, ...] = (
    lambda draw, praise: f"{_english(draw, praise)}.",
    _claim,
    _contrast,
)
_KOREAN_FORMS: tuple[Clause, ...] = (
    lambda draw, praise: f"{_korean(draw, praise)}.",
    _korean_claim,
    _korean_contrast,
)

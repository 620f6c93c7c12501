"""Texts as numbers and back: characters, or byte pairs learnt from the training texts.

Spaces are part of the tokens, as the mark ``▁``, so that joining tokens gives the text again. With
merges, a text is cut into words first and each word has the space before it; frequent neighbours
are then joined within words (Sennrich, Haddow and Birch 2016, section 3.2), so that a frequent word
is one token and a rare one is spelled by its parts.
"""

import heapq
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

PADDING, START, END, UNKNOWN = range(4)
"""Tokens that no text holds; the numbers of the others follow."""

SPACE = "▁"
FEWEST_SEEN = 2
"""A character that training shows less often is unknown, so that the unknown token is learnt too;
a pair that training shows less often is not joined."""

_WORD = re.compile(rf"{SPACE}?\w+|{SPACE}?[^\w{SPACE}]|{SPACE}")


class Subwords:
    """A vocabulary, and how texts are cut into its tokens.

    Args:
        characters: the known characters, ``▁`` among them.
        merges: pairs of tokens to join, in the order in which they were learnt; none for a
            vocabulary of characters.
    """

    def __init__(self, characters: Sequence[str], merges: Sequence[tuple[str, str]] = ()):
        self.characters, self.merges = tuple(characters), tuple(merges)
        # two pairs may join to the same token, which is one entry
        joined = dict.fromkeys([*self.characters, *map("".join, self.merges)])
        self.tokens = ("<pad>", "<start>", "<end>", "<unknown>", *joined)
        self._numbers = {token: number for number, token in enumerate(self.tokens)}
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._known_words: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def learn(cls, texts: Iterable[str], merges: int = 0) -> "Subwords":
        """The vocabulary of training texts, with so many merges at most."""
        words = Counter(word for text in texts for word in _words(text, bool(merges)))
        characters: Counter[str] = Counter()
        for word, times in words.items():
            for character in word:
                characters[character] += times
        known = sorted(c for c, times in characters.items() if times >= FEWEST_SEEN)
        return cls(known, _learn_merges(words, merges))

    def encode(self, text: str) -> list[int]:
        """Numbers of the tokens of a text, without an end."""
        numbers: list[int] = []
        for word in _words(text, bool(self.merges)):
            if word not in self._known_words:
                self._known_words[word] = [
                    self._numbers.get(token, UNKNOWN) for token in self._tokens_of(word)
                ]
            numbers += self._known_words[word]
        return numbers

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of tokens; white space at its ends is dropped."""
        return "".join(self.tokens[number] for number in numbers).replace(SPACE, " ").strip()

    def knows_any(self, text: str) -> bool:
        """Whether a text holds anything, other than spaces, that training showed."""
        space = self._numbers.get(SPACE, UNKNOWN)
        return any(number not in (UNKNOWN, space) for number in self.encode(text))

    def to_array(self) -> np.ndarray:
        """The vocabulary as bytes, uint8 [length], to be kept beside the weights."""
        content = json.dumps([self.characters, self.merges])
        return np.frombuffer(content.encode(), np.uint8).copy()

    @classmethod
    def from_array(cls, array: np.ndarray) -> "Subwords":
        """What ``to_array`` kept."""
        characters, merges = json.loads(np.asarray(array).tobytes())
        return cls(characters, [(left, right) for left, right in merges])

    def _tokens_of(self, word: str) -> list[str]:
        tokens = list(word)
        while len(tokens) > 1:
            first = min(pairwise(tokens), key=lambda pair: self._ranks.get(pair, math.inf))
            if first not in self._ranks:
                break
            tokens = _joined(tokens, first)
        return tokens


def _words(text: str, marked_start: bool) -> list[str]:
    """Words with the space before them; the first word has one too where words are cut further."""
    text = SPACE.join(text.replace(SPACE, " ").split())
    return _WORD.findall(SPACE + text if marked_start else text)


def _learn_merges(words: Counter[str], merges: int) -> list[tuple[str, str]]:
    """The most frequent pair of neighbours, joined everywhere, again and again."""
    tokens = {word: list(word) for word in words}
    counts: Counter[tuple[str, str]] = Counter()
    words_with = defaultdict(set)
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] += times
            words_with[pair].add(word)
    queue = [(-times, pair) for pair, times in counts.items()]
    heapq.heapify(queue)
    learnt: list[tuple[str, str]] = []
    while queue and len(learnt) < merges:
        negative_times, best = heapq.heappop(queue)
        if counts[best] != -negative_times:
            continue  # an entry of before the count changed
        if counts[best] < FEWEST_SEEN:
            break
        learnt.append(best)
        changed = set()
        for word in words_with.pop(best):
            before, after = tokens[word], _joined(tokens[word], best)
            for pair in pairwise(before):
                counts[pair] -= words[word]
                changed.add(pair)
            for pair in pairwise(after):
                counts[pair] += words[word]
                words_with[pair].add(word)
                changed.add(pair)
            tokens[word] = after
        for pair in changed:
            heapq.heappush(queue, (-counts[pair], pair))
    return learnt


def _joined(tokens: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """The tokens with every occurrence of a pair, from the left, made one."""
    result: list[str] = []
    position = 0
    while position < len(tokens):
        if tuple(tokens[position : position + 2]) == pair:
            result.append("".join(pair))
            position += 2
        else:
            result.append(tokens[position])
            position += 1
    return result

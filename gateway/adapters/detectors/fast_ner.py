"""spaCy's entity recognizer, decoded with matrix products: the same spans in a fraction of the time.

spaCy walks one state at a time and asks each of 74 moves for every token whether it is
allowed. But while no entity is open, a move's score depends on the token alone, so all
tokens of all texts are scored by one product; only inside an entity is there a state, and
there just two moves compete (go on, or end). Embeddings depend on the word alone and are
kept. Products go through numpy's BLAS, which is several times faster here than the one
that spaCy brings.

Most of a text is not even read: a name has a capital, or stands after a word such as `Mr.` or `is`,
and a token's answer depends on four tokens on each side of it. What is far from such words is left
out, which spares more than half of ordinary prose (`everything` turns this off).

How spaCy cuts what stands between two white spaces depends on nothing around it, so that is kept
too, and a text of known words never meets the tokenizer.

The weights are read from the loaded model. Whatever has another architecture than the one
known here is refused (`NotThisModel`), and a self-test compares spans with spaCy's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

PAD = 4
"""Empty rows between texts: as many as the layers look aside, so that texts do not mix."""

KEPT = 30_000
"""Words whose embeddings are kept (384 bytes each), and as many cuts; then all are forgotten."""

LONG = 40
"""Characters from which on what stands between two white spaces is cut anew each time."""


SMALL = frozenset(
    """the a an and or but if in on at to of for from with by as is are was were be been do does did has
    have had can could would should may might will shall must not no yes it its he she we you they i
    my your his her our their this that these those there here what why how when where which who
    please thanks thank hello hi dear also then than so after before because while since although
    write explain compare tell give make show use list find add remove create rewrite translate
    summarize summarise describe draft help let note we're i'm it's don't doesn't
    le la les un une des du de et ou mais si dans sur à au aux pour par avec sans ce cette ces mon ma
    mes votre vos notre nos leur leurs je tu il elle nous vous ils elles on est sont était a ont que
    qui quoi comment pourquoi quand où bonjour merci peux-tu pouvez-vous veuillez svp explique écris
    rédige traduis résume donne fais""".split()  # noqa: SIM905 (a paragraph of words)
)
"""Words whose capital only says that a sentence begins."""


CUES = frozenset(
    """am is its it's i'm name named called mr mrs ms miss dr prof from in near ask tell call met hi hey hello
    dear regards signed by patient client tenant employee appelle suis c'est à chez mme mlle m. me mr. mrs.
    dr. m'appelle nommé habite monsieur madame says said with ville city""".split()  # noqa: SIM905
)
"""Words after which a name may stand in small letters."""


class NotThisModel(Exception):
    """The model has an architecture that is not the one written down here."""


class Entity(NamedTuple):
    """A named entity: its first character to before ``end``, and the model's own label."""

    start: int
    end: int
    label: str


class Words(NamedTuple):
    """A text cut into tokens: where each starts and ends, and the row of its embedding."""

    starts: list[int]
    ends: list[int]
    rows: NDArray[np.intp]


class _Cut(NamedTuple):
    """What stands between two white spaces, cut: starts, ends, rows."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    rows: tuple[int, ...]


class _Layer(NamedTuple):
    """Maxout of three pieces with layer normalisation."""

    weights: Matrix  # inputs × (3 · outputs)
    bias: Matrix
    gain: Matrix
    shift: Matrix

    def __call__(self, rows: Matrix) -> Matrix:
        width = self.gain.shape[0]
        pieces = rows @ self.weights
        pieces += self.bias
        # The three pieces stand one after the other, so each is a contiguous block.
        best = np.maximum(pieces[:, :width], pieces[:, width : 2 * width])
        np.maximum(best, pieces[:, 2 * width :], out=best)
        best -= np.add.reduce(best, axis=1, keepdims=True) / width
        spread = np.einsum("ij,ij->i", best, best)
        spread /= width
        spread += 1e-8
        best *= (1.0 / np.sqrt(spread))[:, None]
        best *= self.gain
        best += self.shift
        done: Matrix = best
        return done


_PLAIN, _WORD, _CUE, _CAPITAL, _SPACE = range(5)
_CHUNKS = re.compile(r"\S+|\s+")


class _Run(NamedTuple):
    """A stretch of one text that is read: tokens ``start`` to before ``stop``."""

    owner: int
    start: int
    stop: int
    core: NDArray[np.bool_]


class FastNer:
    """The `ner` component of one loaded spaCy pipeline, read-only."""

    def __init__(self, nlp: Any, *, everything: bool = False) -> None:  # spaCy is untyped
        """Read the weights. Raises NotThisModel.

        ``everything`` reads all of every text; else only what is near a word that may be a name.
        """
        self._nlp = nlp
        self._everything = everything
        ner = nlp.get_pipe("ner")
        try:
            self._read(ner)
        except (KeyError, ValueError, IndexError, AttributeError, StopIteration) as wrong:
            raise NotThisModel(f"{type(wrong).__name__}: {wrong}") from None
        self._rows: dict[str, int] = {}
        self._cuts: dict[str, _Cut] = {}
        self._kept = np.zeros((1024, self._mix.gain.shape[0]), dtype=np.float32)
        self._named = np.zeros(1024, dtype=np.int8)

    def _read(self, ner: Any) -> None:
        nodes = list(ner.model.walk())

        def named(name: str) -> list[Any]:
            return [node for node in nodes if node.name == name]

        (columns,) = (node.attrs["columns"] for node in named("extract_features"))
        if ner.cfg.get("beam_width", 1) != 1 or columns != ["NORM", "PREFIX", "SUFFIX", "SHAPE"]:
            raise NotThisModel("another set of features")
        self._columns = ["ORTH", *columns]
        embeds = sorted(named("hashembed"), key=lambda node: int(node.attrs["column"]))
        self._embeds = [(node.attrs["seed"], node.get_param("E"), node) for node in embeds]
        self._ops = embeds[0].ops
        vectors = named("static_vectors")
        self._static = np.ascontiguousarray(vectors[0].get_param("W").T) if vectors else None
        layers = [
            _layer(maxout, norm) for maxout, norm in zip(named("maxout"), named("layernorm"), strict=True)
        ]
        by_inputs = {layer.weights.shape[0]: layer for layer in layers}
        width = layers[0].gain.shape[0]
        inputs = width * (len(embeds) + (1 if vectors else 0))
        self._mix = by_inputs[inputs]
        self._deep = [layer for layer in layers if layer is not self._mix]
        if any(layer.weights.shape[0] != 3 * width for layer in self._deep) or len(self._deep) != PAD:
            raise NotThisModel("another depth or window")
        (lower,) = named("precomputable_affine")
        by_out = {node.get_dim("nI"): node for node in named("linear")}
        narrow = by_out[width]
        upper = next(node for node in named("linear") if node is not narrow)
        if lower.get_dim("nF") != 3 or lower.get_dim("nP") != 2:
            raise NotThisModel("another state")
        hidden = lower.get_dim("nO")
        # (feature, hidden, piece, input) → two blocks of pieces per feature, one product for all.
        first = lower.get_param("W").transpose(0, 2, 1, 3).reshape(6 * hidden, -1)
        self._lower = np.ascontiguousarray((first @ narrow.get_param("W")).T)
        self._lower_bias = first @ narrow.get_param("b")
        pads = lower.get_param("pad").reshape(3, hidden, 2).transpose(0, 2, 1).reshape(3, 2 * hidden)
        bias = lower.get_param("b").reshape(hidden, 2).T.reshape(2 * hidden)
        self._bias, self._outside = bias, bias + pads[1] + pads[2]
        self._hidden = hidden
        self._upper = np.ascontiguousarray(upper.get_param("W").T)
        self._upper_bias = upper.get_param("b")
        names = [ner.moves.get_class_name(k) for k in range(ner.moves.n_moves)]
        self._start = [
            k for k, name in enumerate(names) if name == "O" or (name[:2] in {"B-", "U-"} and name[2:])
        ]
        self._moves = [names[k] for k in self._start]
        self._inside = {
            name[2:]: (names.index("I-" + name[2:]), names.index("L-" + name[2:]))
            for name in names
            if name[:2] == "B-" and name[2:]
        }
        self._out = self._moves.index("O")
        self._units = [k for k, name in enumerate(self._moves) if name[0] != "B"]

    def words(self, texts: Sequence[str]) -> list[Words]:
        """Cut texts into tokens, as spaCy's tokenizer does, and embed the words that are new."""
        if max(len(self._rows), len(self._cuts)) > KEPT:
            self._rows.clear()
            self._cuts.clear()
        cuts = self._cuts
        chunked = [list(_chunks(text)) for text in texts]
        fresh = {chunk for chunks in chunked for _, chunk in chunks if chunk not in cuts}
        learned = self._cut(fresh) if fresh else cuts
        found: list[Words] = []
        for chunks in chunked:
            starts: list[int] = []
            ends: list[int] = []
            rows: list[int] = []
            for at, chunk in chunks:
                cut = cuts.get(chunk) or learned[chunk]
                rows += cut.rows
                if len(cut.rows) == 1:
                    starts.append(at)
                    ends.append(at + cut.ends[0])
                else:
                    starts += [at + start for start in cut.starts]
                    ends += [at + end for end in cut.ends]
            found.append(Words(starts, ends, np.array(rows, dtype=np.intp)))
        return found

    def _cut(self, chunks: Iterable[str]) -> dict[str, _Cut]:
        """Cut chunks that were not met before, embed their words, and keep the short ones."""
        docs = [(chunk, self._nlp.make_doc(chunk)) for chunk in chunks]
        self._learn([doc for _, doc in docs])
        made: dict[str, _Cut] = {}
        for chunk, doc in docs:
            starts = tuple([token.idx for token in doc])
            words = [token.text for token in doc]
            ends = tuple([start + len(word) for start, word in zip(starts, words, strict=True)])
            made[chunk] = _Cut(starts, ends, tuple([self._rows[word] for word in words]))
        self._cuts.update({chunk: cut for chunk, cut in made.items() if len(chunk) < LONG})
        return made

    def _learn(self, docs: Sequence[Any]) -> None:
        """Embed the words of tokenized texts that were not seen before."""
        new: dict[str, NDArray[np.uint64]] = {}
        for doc in docs:
            table = doc.to_array(self._columns)
            for token in doc:
                word = token.text
                if word not in self._rows and word not in new:
                    new[word] = table[token.i]
        if not new:
            return
        table = np.stack(list(new.values()))
        parts = []
        for (seed, weights, _), column in zip(self._embeds, range(1, table.shape[1]), strict=True):
            keys = self._ops.hash(np.ascontiguousarray(table[:, column]), seed) % weights.shape[0]
            parts.append(weights[keys].sum(axis=1))
        if self._static is not None:
            vectors = self._nlp.vocab.vectors
            found = vectors.find(keys=table[:, 0])
            static = vectors.data[found] @ self._static
            static[found < 0] = 0
            parts.append(static)
        made = self._mix(np.concatenate(parts, axis=1).astype(np.float32))
        at = len(self._rows)
        while at + len(made) > len(self._kept):
            self._kept = np.concatenate([self._kept, np.zeros_like(self._kept)])
            self._named = np.concatenate([self._named, np.zeros_like(self._named)])
        self._kept[at : at + len(made)] = made
        for k, word in enumerate(new, at):
            self._rows[word] = k
            self._named[k] = _sort(word)

    def entities(self, words: Sequence[Words]) -> list[list[Entity]]:
        """Return the entities of each tokenized text."""
        found: list[list[Entity]] = [[] for _ in words]
        runs = [
            _Run(owner, start, stop, core)
            for owner, one in enumerate(words)
            for start, stop, core in _stretches(self._may_begin(one.rows))
        ]
        if not runs:
            return found
        rows, at = self._embedded(runs, [one.rows for one in words])
        width = rows.shape[1]
        for layer in self._deep:
            wide = np.zeros((rows.shape[0], 3 * width), dtype=np.float32)
            wide[1:, :width] = rows[:-1]
            wide[:, width : 2 * width] = rows
            wide[:-1, 2 * width :] = rows[1:]
            rows = rows + layer(wide)
        self._decode(words, runs, at, rows, found)
        return found

    def _may_begin(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell near which tokens a name may begin: words with a capital, and words after a cue."""
        if self._everything:
            return np.ones(rows.shape, dtype=np.bool_)
        sort = self._named[rows]
        found: NDArray[np.bool_] = sort == _CAPITAL
        found[1:] |= (sort[1:] == _WORD) & (sort[:-1] == _CUE)
        return found

    def _embedded(
        self, runs: Sequence[_Run], rows_of: Sequence[NDArray[np.intp]]
    ) -> tuple[Matrix, list[int]]:
        """Return one row per token of each run, runs apart by empty rows, and where each starts."""
        size = sum(run.stop - run.start for run in runs) + PAD * (len(runs) + 1)
        rows = np.zeros((size, self._kept.shape[1]), dtype=np.float32)
        starts, at = [], PAD
        for run in runs:
            starts.append(at)
            rows[at : at + run.stop - run.start] = self._kept[rows_of[run.owner][run.start : run.stop]]
            at += run.stop - run.start + PAD
        return rows, starts

    def _decode(
        self, words: Sequence[Words], runs: Sequence[_Run], starts: Sequence[int], rows: Matrix,
        found: list[list[Entity]],
    ) -> None:  # fmt: skip
        """Add the entities of each run to those of its text."""
        two = 2 * self._hidden
        free = rows @ self._lower[:, :two]
        free += self._lower_bias[:two]
        start = self._scores(free + self._outside)[:, self._start]
        best = start.argmax(axis=1).tolist()
        for run, first in zip(runs, starts, strict=True):
            text = words[run.owner]
            shift = first - run.start  # of a token's row
            whole = run.stop == len(text.starts)
            at = run.start
            while at < run.stop:
                move = best[shift + at]
                if move == self._out or not run.core[at - run.start] or self._named[text.rows[at]] == _SPACE:
                    at += 1
                    continue
                if whole and at == run.stop - 1 and self._moves[move][0] == "B":
                    # The last token cannot begin anything: of what is left the best counts.
                    move = max(self._units, key=start[shift + at].__getitem__)
                    if move == self._out:
                        break
                name, begin = self._moves[move], at
                at += 1
                if name[0] == "B":
                    at = self._end(begin, run, shift=shift, free=free, rows=rows, label=name[2:])
                found[run.owner].append(Entity(text.starts[begin], text.ends[at - 1], name[2:]))

    def _end(self, begin: int, run: _Run, *, shift: int, free: Matrix, rows: Matrix, label: str) -> int:
        """Return where an entity that begins at a token ends: only two moves compete inside it."""
        two = 2 * self._hidden
        go_on, last = self._inside[label]
        opened = rows[shift + begin] @ self._lower[:, two : 2 * two] + self._lower_bias[two : 2 * two]
        opened = opened + self._bias
        at = begin + 1
        while at < run.stop - 1:
            state = free[shift + at] + opened
            state += rows[shift + at - 1] @ self._lower[:, 2 * two :]
            state += self._lower_bias[2 * two :]
            score = self._scores(state[None, :])[0]
            at += 1
            if score[last] >= score[go_on]:
                return at
        return run.stop

    def _scores(self, states: Matrix) -> Matrix:
        hidden = np.maximum(states[:, : self._hidden], states[:, self._hidden :])
        scores: Matrix = hidden @ self._upper + self._upper_bias
        return scores


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """Yield what spaCy cuts by itself: what stands between white space, and more of that than one space."""
    for found in _CHUNKS.finditer(text):
        at, chunk = found.start(), found.group()
        if at and chunk[0] == " ":
            at, chunk = at + 1, chunk[1:]
        if chunk:
            yield at, chunk


def _sort(word: str) -> int:
    low = word.lower()
    if word.isspace():
        return _SPACE
    if not word[:1].isalpha():
        return _PLAIN
    if word.isupper() and len(word) > 1:
        return _CAPITAL
    if low in CUES:
        return _CUE
    if low in SMALL:
        return _PLAIN
    return _CAPITAL if word != low else _WORD


def _stretches(named: NDArray[np.bool_]) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Yield the stretches of a text that are read, with a mask of the tokens where a name may begin.

    A name has a capital somewhere, so only tokens near one matter; and a token's answer
    depends on :data:`PAD` tokens on each side of it, which are read too. INVARIANT: what is
    left out changes no answer near a capital.
    """
    at = np.flatnonzero(named).tolist()
    if not at:
        return
    size = named.shape[0]
    core = np.zeros(size, dtype=np.bool_)
    first = last = at[0]
    for here in at:
        core[max(0, here - PAD) : here + PAD + 1] = True
        if here - last > 6 * PAD:
            start, stop = max(0, first - 2 * PAD), min(size, last + 2 * PAD + 1)
            yield start, stop, core[start:stop]
            first = here
        last = here
    start, stop = max(0, first - 2 * PAD), min(size, last + 2 * PAD + 1)
    yield start, stop, core[start:stop]


def _layer(maxout: Any, norm: Any) -> _Layer:
    weights, bias = maxout.get_param("W"), maxout.get_param("b")
    outputs, pieces, inputs = weights.shape
    if pieces != 3:
        raise NotThisModel("another number of pieces")
    return _Layer(
        np.ascontiguousarray(weights.transpose(1, 0, 2).reshape(pieces * outputs, inputs).T),
        np.ascontiguousarray(bias.T.reshape(-1)),
        norm.get_param("G"),
        norm.get_param("b"),
    )

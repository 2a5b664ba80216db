"""What one forward pass left, and every question about it that needs no model.

Required: patterns of fused sites are computed for the rows, columns and heads that somebody asks for,
by any thread; a question about something that is not there is answered with what is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .blocks import residual
from .errors import JtvizError
from .kernels import exactly
from .layout import Layout
from .overview import POOLS, OverviewTask, pooled
from .part import Index, Part, chosen, is_int, plain, positions, stretch, take
from .weights import by_heads

if TYPE_CHECKING:
    from .site import Site


class Trace(Layout):
    """One forward pass, opened. Made by `HookedTransformer.trace`; compared and hashed by identity.

    Of a batch, it shows one example.

    Attributes
    ----------
    tokens : dict of str to Tokens
        The tokens of each side: ``"encoder"``, ``"decoder"`` or both.
    predicts : tuple of str or None
        For each decoder row the text of the token it predicts: the one that follows (teacher-forced),
        for the last row of a translation the end token, of a language model its most likely token.
        None where nothing is predicted.
    logits : Tensor or None
        ``[rows, vocabulary]`` of the example, as the model returned them; ``[classes]`` of a
        classifier.
    notes : tuple of str
        What had to run otherwise than in an untraced forward, one sentence each.
    chances : tuple of (float or None) or None
        For each row of `predicts` its probability; None where that is padding. Each token has its own,
        ``trace.tokens["decoder"].probability``.
    target : Target or None
        What was differentiated, its scale and its value; None in a trace without gradients.
    reading : Reading or None
        What was read, ready to be read again: the same object for all traces of one request, whatever
        their targets; None where the trace was loaded or made from arrays.
    places : Places or None
        Where heads and feed-forward units are computed, for interventions; None as for `reading`.

    Examples
    --------
    >>> import jtviz, torch                                                    # doctest: +SKIP
    >>> trace = jtviz.hook(jtviz.demo.translator()).trace("I like tea.")       # doctest: +SKIP
    >>> trace.attention("cross", layer=1, head=0, rows=slice(0, 2)).shape      # doctest: +SKIP
    torch.Size([2, 5])
    """

    @staticmethod
    def from_qkv(
        query: Any,
        key: Any,
        value: Any = None,
        *,
        tokens: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        stage: str | None = None,
        causal: bool = False,
        mask: Any = None,
        scale: float | None = None,
    ) -> Trace:
        """Open attention given by queries and keys; patterns are computed for what is looked at.

        Parameters
        ----------
        query, key : array, or sequence of arrays
            ``[layers, heads, tokens, d]``, or one ``[heads, tokens, d]`` a layer, rotary positions applied.
            There may be fewer key heads: query head *h* looks through key head ``h // (heads // key heads)``.
        value : array or sequence of arrays, optional
            ``[layers, key heads, tokens, d]``.
        tokens : sequence of str, or mapping of str to sequence of str, optional
            As in `jtviz.from_arrays`.
        stage : str, optional
            Left out: the decoder's where `causal`, cross attention where there are more or fewer keys than
            queries, the encoder's otherwise.
        causal : bool
            Hide later keys; there must be as many keys as queries.
        mask : array, optional
            Boolean (True: may look) or float (added to the scores); broadcastable to
            ``[heads, queries, keys]``.
        scale : float, optional
            What scores are multiplied with; ``d ** -0.5`` if left out.

        Returns
        -------
        Trace
            It keeps `query`, `key` and `value`, and no pattern: 131,072 tokens fit.

        Raises
        ------
        JtvizError
            If the arrays do not fit each other or the tokens, or both `causal` and `mask` are given.

        Examples
        --------
        >>> import torch
        >>> q, k = torch.randn(2, 4, 6, 8), torch.randn(2, 2, 6, 8)
        >>> Trace.from_qkv(q, k, causal=True).attention("decoder", layer=1).shape
        torch.Size([4, 6, 6])
        """
        # Imported here: that module makes traces.
        from .elsewhere import from_qkv

        return from_qkv(query, key, value, tokens=tokens, stage=stage, causal=causal, mask=mask, scale=scale)

    def save(self, path: str | Path, *, along: Sequence[str] = ()) -> None:
        """Write everything a trace can be asked into one ``.safetensors`` file; `jtviz.load` opens it.

        Tokens, queries, keys, values and masks (patterns where the model wrote them out), the residual
        stream, the logits and gradients; of the model's weights only what is asked for.

        Parameters
        ----------
        path : str or Path
            The file; one that is there is replaced when the new one is complete.
        along : sequence of str
            Weights to save too: ``"output_projections"``, ``"unembedding"`` or both.

        Raises
        ------
        SiteRefusedError
            If a tensor of the trace was changed in place since.
        JtvizError
            If the folder is not there, or a weight to save along is not known.

        Examples
        --------
        >>> import jtviz, tempfile
        >>> trace = jtviz.demo.translator().trace("I like tea.")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trace.save(f"{folder}/tea.safetensors")
        ...     jtviz.load(f"{folder}/tea.safetensors").stages
        ('encoder', 'decoder', 'cross')
        """
        # Imported here: that module makes traces.
        from .files import save

        save(self, path, along)

    def attention(
        self, stage: str, *, layer: int, head: Index = None, rows: Index = None, cols: Index = None
    ) -> Tensor:
        """Return attention weights: row *i* is where the query at position *i* looks.

        Parameters
        ----------
        stage : str
            ``"encoder"``, ``"decoder"`` or ``"cross"``.
        layer : int
            From 0.
        head, rows, cols : int, list of int, slice or None
            Which heads, queries and keys; None means all. An int drops its axis, as in NumPy.

        Returns
        -------
        Tensor
            Float32 ``[heads, rows, cols]``, less the axes given as an int. Only what is asked for is
            computed (except where the model wrote the pattern out: there it was kept).

        Raises
        ------
        JtvizError
            If there is no such stage.
        OutOfRangeError
            If there is no such layer, head, row or column.
        """
        site = self.site(stage, layer)
        return _tile(site, site.tile, f"layer {layer} of the {stage}", head, rows, cols)

    def mask(
        self, stage: str, *, layer: int, head: Index = None, rows: Index = None, cols: Index = None
    ) -> Tensor:
        """Return which keys a query cannot look at: later ones, those out of its window, padding.

        Parameters
        ----------
        stage, layer, head, rows, cols
            As in `attention`.

        Returns
        -------
        Tensor
            Bool ``[heads, rows, cols]``, less the axes given as an int. Where the model wrote its attention
            out, what it wrote as zero: its mask was not seen.

        Raises
        ------
        JtvizError
            If there is no such stage.
        OutOfRangeError
            If there is no such layer, head, row or column.

        Examples
        --------
        >>> import jtviz
        >>> trace = jtviz.hook(jtviz.demo.translator()).trace("I like tea.")
        >>> trace.mask("decoder", layer=0, head=0, rows=1).tolist()
        [False, False, True, True, True, True]
        """
        site = self.site(stage, layer)
        return _tile(site, site.masked, f"layer {layer} of the {stage}", head, rows, cols)

    def gradient(
        self, stage: str, *, layer: int, head: Index = None, rows: Index = None, cols: Index = None
    ) -> Tensor:
        """Return the gradient of the target with respect to attention weights.

        That is ``dL/dA = dL/dO V^T`` with the values V and the gradient at the output O of the layer's
        attention: what the target would gain if a query looked at a key a little more, nothing else changed
        (rows are not kept at a sum of one, and a masked pair has a gradient too).

        Parameters
        ----------
        stage, layer, head, rows, cols
            As in `attention`.

        Returns
        -------
        Tensor
            Float32 ``[heads, rows, cols]``, less the axes given as an int; in units of the target.

        Raises
        ------
        JtvizError
            If the trace has no gradients (`HookedTransformer.trace` with ``target=``) or no such stage.
        OutOfRangeError
            If there is no such layer, head, row or column.

        Examples
        --------
        >>> import jtviz
        >>> hooked = jtviz.hook(jtviz.demo.translator())
        >>> trace = hooked.trace("I like tea.", target="茶", output="log_prob")
        >>> trace.gradient("cross", layer=1, head=0, rows=-1).shape
        torch.Size([5])
        """
        site = self.site(stage, layer)
        return _tile(site, site.gradient_tile, f"layer {layer} of the {stage}", head, rows, cols)

    def probabilities(self, rows: Index = None) -> Tensor:
        """Return the probability of every token of the vocabulary, as predicted by rows of the decoder.

        Parameters
        ----------
        rows : int, list of int, slice or None
            Which rows; None means all. An int drops its axis.

        Returns
        -------
        Tensor
            Float32 ``[rows, vocabulary]``; each row sums to one.

        Raises
        ------
        JtvizError
            If the model predicts no tokens, or the logits were too many to keep.
        OutOfRangeError
            If there is no such row.

        Examples
        --------
        >>> import jtviz
        >>> trace = jtviz.hook(jtviz.demo.translator()).trace("I like tea.")
        >>> top = trace.probabilities(0).topk(3)
        """
        if self.logits is None or self.logits.ndim != 2:
            raise JtvizError(
                "this trace has no logits of tokens: its model predicts none, or they are too many."
            )
        wanted = chosen(rows, len(self.logits), "row", "the decoder", self.logits.device)
        with exactly(self.logits.device):
            found = take(self.logits, wanted, 0).float().softmax(-1)
        return found[0] if is_int(plain(rows)) else found

    def overview(
        self,
        stage: str,
        *,
        layer: int,
        head: Index = None,
        rows: slice | None = None,
        cols: slice | None = None,
        size: int = 512,
        pool: str = "mean",
    ) -> OverviewTask:
        """Look at a long pattern from afar: pooled into at most `size` x `size` blocks.

        A sampled overview is there when this returns. The exact one takes time that grows with the square
        of the length (minutes for 100,000 tokens on a CPU), and is computed in the background.

        Parameters
        ----------
        stage : str
            ``"encoder"``, ``"decoder"`` or ``"cross"``.
        layer : int
            From 0.
        head : int, list of int, slice or None
            Which heads, each by itself; None means all.
        rows, cols : slice, optional
            Which part of the pattern, without steps; all if left out.
        size : int
            How many blocks at most, down and across.
        pool : {"mean", "sum", "max"}
            What to say of each block. The mean hides what few queries look at, the maximum shows it.

        Returns
        -------
        OverviewTask
            Its ``preview`` is sampled, ``result()`` waits for the exact overview, ``progress`` says how far
            it is and ``cancel()`` stops it.

        Raises
        ------
        JtvizError
            If there is no such stage or pool, or a slice has steps.
        OutOfRangeError
            If there is no such layer or head.

        Examples
        --------
        >>> import torch
        >>> trace = Trace.from_qkv(*torch.randn(2, 1, 2, 3000, 8), causal=True)
        >>> task = trace.overview("decoder", layer=0, head=1, size=100)
        >>> task.preview
        Overview(1 heads, 100 x 100 blocks of 30 x 30 tokens, mean, sampled, 1 rows of each block)
        >>> task.result()
        Overview(1 heads, 100 x 100 blocks of 30 x 30 tokens, mean, exact)
        """
        site = self.site(stage, layer)
        device = site.kept[0].device
        if pool not in POOLS:
            raise JtvizError(f"pool= is one of {', '.join(map(repr, POOLS))}, not {pool!r}.")
        if not is_int(size) or size < 1:
            raise JtvizError(f"size= is a number of blocks, at least 1, not {size!r}.")
        heads = positions(chosen(head, site.heads, "head", f"layer {layer} of the {stage}", device), device)
        work = partial(
            pooled,
            site,
            heads.tolist(),
            stretch(rows, site.queries, "rows"),
            stretch(cols, site.keys, "cols"),
            size=size,
            pool=pool,
        )
        return OverviewTask(work(samples=1), lambda report: work(report=report))

    def hidden(self, stage: str) -> Tensor:
        """Return the residual stream of a side: ``[layers + 1, tokens, width]``, float32.

        The first is what entered the first block, then what each block returned (before a final norm).

        Parameters
        ----------
        stage : str
            ``"encoder"`` or ``"decoder"``; ``"cross"`` is in the decoder's blocks.

        Raises
        ------
        JtvizError
            If there is no such stage, or its blocks were not found.
        """
        rows = self._stream(stage)
        with exactly(rows[0].device):
            return torch.stack([row.to(rows[0].device) for row in rows]).float()

    def hidden_shape(self, stage: str) -> tuple[int, int, int]:
        """Return the shape of `hidden`, which copies nothing.

        Parameters
        ----------
        stage : str
            As in `hidden`.

        Raises
        ------
        JtvizError
            As `hidden`.
        """
        rows = self._stream(stage)
        return (len(rows), *rows[0].shape)

    def _stream(self, stage: str) -> list[Tensor]:
        sites = self._stage(stage)
        if stage == "cross" and "decoder" in self.by_stage:
            sites = self.by_stage["decoder"]
        return residual(sites, stage, sites[0].queries, sites[0].batch, sites[0].example)

    def output_projection(self, stage: str, layer: int) -> Tensor:
        """Return the output projection of a layer's attention, head by head.

        Parameters
        ----------
        stage : str
            ``"encoder"``, ``"decoder"`` or ``"cross"``.
        layer : int
            From 0.

        Returns
        -------
        Tensor
            Float32 ``[heads, d, width]``: head *h* adds ``A_h V_h W_h`` to the residual stream, W_O of
            Vaswani et al. 2017 (section 3.2.2) cut into its heads.

        Raises
        ------
        JtvizError
            If no weight was multiplied with the heads' outputs, or the model is gone and the trace was saved
            without it.
        SiteRefusedError
            If the weight was changed since the trace.

        Examples
        --------
        >>> import jtviz
        >>> translator = jtviz.demo.translator()
        >>> jtviz.hook(translator).trace("I like tea.").output_projection("cross", 1).shape
        torch.Size([4, 48, 192])
        """
        site = self.site(stage, layer)
        what = f"the output projection of layer {layer} of the {stage}"
        if site.projection is None:
            raise JtvizError(f"{what} is not known: no weight was multiplied with the outputs of its heads.")
        return by_heads(site.projection.read(what), site.heads)

    def unembedding(self) -> Tensor:
        """Return the weight that turns a residual stream into logits.

        Returns
        -------
        Tensor
            Float32 ``[width, vocabulary]``, without a bias.

        Raises
        ------
        JtvizError
            If the model predicts no tokens by one weight, or is gone and the trace was saved without it.
        SiteRefusedError
            If the weight was changed since the trace.

        Examples
        --------
        >>> import jtviz
        >>> translator = jtviz.demo.translator()
        >>> jtviz.hook(translator).trace("I like tea.").unembedding().shape
        torch.Size([192, 2803])
        """
        if self.unembedding_weight is None:
            raise JtvizError(
                "the unembedding is not known: the model's last step was no multiplication with it."
            )
        return self.unembedding_weight.read("the unembedding").float()


def _tile(
    site: Site, compute: Callable[[Sequence[int], Part, Part], Tensor], where: str, *given: Index
) -> Tensor:
    """Return a tile of one site for what the reader asked, ``(head, rows, cols)``."""
    device = site.kept[0].device
    head, rows, cols = given
    stage = where.rpartition(" ")[2]
    heads = chosen(head, site.heads, "head", where, device)
    wanted_rows = chosen(rows, site.queries, "row", f"the {stage}", device)
    wanted_cols = chosen(cols, site.keys, "column", f"the {stage}", device)
    with exactly(device):
        tile = compute(positions(heads, device).tolist(), wanted_rows, wanted_cols)
    for dim, index in reversed(list(enumerate(given))):
        if is_int(plain(index)):
            tile = tile.select(dim, 0)
    return tile

"""The Transformer encoder layer of BiTrans at the speed of the machine.

`TransformerEncoderLayer` is `torch.nn.TransformerEncoderLayer` with the same parameters, names and mathematics, and
three ways to compute it (`kernel`):

* "stock"  PyTorch's own layer, on any device. On CPU it writes the hidden map (2048 numbers a token), its dropout mask
           and all attention probabilities to memory, one random number at a time: that is where the time goes.
* "torch"  the same in PyTorch operations that stay in the processor's cache: both large maps are made a chunk at a
           time in a buffer that is used again, and made once more in the backward pass instead of being kept.
* "native" the compiled operator of `encoder.cpp`, another few times faster. CPU only, tensors in float32.

"auto" takes the fastest that works: native or torch on CPU, stock elsewhere. A kernel that is asked for by name and is
not available is refused. With `precision` "bf16" the CPU multiplies in bfloat16 and sums in float32: "native" in all
products but the attention's scores, where the processor has the instructions (AVX512-BF16), "torch" in those of the
feed-forward, nearly all the arithmetic there is. Masks, softmax, LayerNorm, gradients and parameters stay in float32.

"torch" and "native" have first derivatives only, and PyTorch cannot look into them: for second derivatives (with the
attention of torch.nn.attention.SDPBackend.MATH), torch.export, torch.jit.trace and torch.func take "stock".

All of them agree on NaN and infinity: where one gives a finite number, so do the others, but for numbers so large that
the order of a sum decides whether it overflows.

The tokens are channels and the features are time steps: x is (sequences, 128, 25).
"""

import ctypes
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels import native
from support.errors import InputError

KERNELS = ("auto", "stock", "torch", "native")

# What is worked on at a time: 4 MB of the hidden map and 2.6 MB of the probabilities, as much as the caches of two
# cores hold, and enough for every operation to be worth its call.
TOKENS_AT_A_TIME = 512
SEQUENCES_AT_A_TIME = 8
MAX_DROPOUT = 0.99  # beyond, almost all is dropped and masks made of bytes do not serve


class TransformerEncoderLayer(nn.TransformerEncoderLayer):
    """Post-norm Transformer encoder layer with ReLU, batch first; see the module's text for `kernel`.

    Args:
        tokens: of a sequence; the compiled operator is made for their number.

    Raises:
        InputError: `kernel` is "torch" or "native" and cannot compute this layer; from `forward` and `kernel_on`, too,
            for that input or device.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        kernel: str = "auto",
        precision: str = "fp32",
        tokens: int = 128,
    ) -> None:
        super().__init__(d_model, nhead, dim_feedforward, dropout, batch_first=True)
        if kernel not in KERNELS:
            raise ValueError(f"kernel {kernel!r} is none of {', '.join(KERNELS)}")
        self.kernel = kernel
        self.products = torch.bfloat16 if precision == "bf16" else torch.float32
        self.tokens = tokens
        if kernel != "auto":
            self.kernel_on(torch.device("cpu"))  # refused here, if at all, and not in the middle of a run

    def forward(self, src: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        """Encode `src` (sequences, tokens, features); takes the masks of the stock layer only to refuse them.

        Raises:
            ValueError: there is a mask, or `src` has another shape than that.
        """
        if any(mask is not None and mask is not False for mask in (*args, *kwargs.values())):
            raise ValueError("this encoder attends from all tokens to all tokens: no masks")
        features = self.linear1.in_features  # the compiled operator would read beyond a narrower input
        if src.dim() != 3 or src.shape[2] != features:
            raise ValueError(f"this encoder takes (sequences, tokens, {features}), not {tuple(src.shape)}")
        kernel, library = self._choose(src.device, src.dtype, src.shape[1])
        if kernel == "stock":
            return super().forward(src)
        if library is not None:
            parameters = self._parameters_in_order()
            eps, bf16 = (self.norm1.eps, self.norm2.eps), self.products == torch.bfloat16
            return native.encoder_layer(src, parameters, library, self._p(), eps, bf16)
        return self._forward_torch(src)

    def kernel_on(self, device: torch.device) -> str:
        """The kernel that `forward` takes for float32 input on `device`; compiles it if need be."""
        return self._choose(device, torch.float32, self.tokens)[0]

    def _p(self) -> float:
        return self.dropout.p if self.training else 0.0

    def _choose(self, device: torch.device, dtype: torch.dtype, tokens: int) -> tuple[str, ctypes.CDLL | None]:
        """The kernel for an input of that kind, and the compiled library if it is "native"."""
        if self.kernel == "stock":
            return "stock", None
        if obstacle := self._obstacle(device, dtype):
            if self.kernel == "auto":
                return "stock", None
            raise self._refusal(obstacle)
        if self.kernel == "torch":
            return "torch", None
        shape = native.Shape(tokens, self.linear1.in_features, self.self_attn.num_heads, self.linear1.out_features)
        loaded = native.library(shape) if self.kernel == "auto" else native.load(shape)
        if isinstance(loaded, ctypes.CDLL) and self.products == torch.bfloat16:
            loaded = native.no_bf16(loaded) or loaded
        if isinstance(loaded, ctypes.CDLL):
            return "native", loaded
        if self.kernel == "auto":
            return "torch", None
        raise self._refusal(str(loaded))

    def _obstacle(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """What keeps both "torch" and "native" from computing this layer, if anything does."""
        if device.type != "cpu":
            return f"it works on the CPU, not on {device.type}"
        if not dtype == self.linear1.weight.dtype == torch.float32:
            return "it works in float32, which the layer's weights or its input are not"
        if self.dropout.p > MAX_DROPOUT:
            return f"it drops {MAX_DROPOUT} of the units at most, not {self.dropout.p}"
        return None

    def _refusal(self, reason: str) -> InputError:
        return InputError(f"--kernel {self.kernel} is not available: {reason}; use --kernel auto")

    def _parameters_in_order(self) -> tuple[Tensor, ...]:
        attention = self.self_attn
        modules = (attention.out_proj, self.linear1, self.linear2, self.norm1, self.norm2)
        pairs = ((m.weight, m.bias) for m in modules)
        return (attention.in_proj_weight, attention.in_proj_bias, *(p for pair in pairs for p in pair))

    def _forward_torch(self, x: Tensor) -> Tensor:
        attention, p = self.self_attn, self._p()
        qkv = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        attended = attention.out_proj(_attention(qkv, attention.num_heads, p))
        x = self.norm1(x + _dropout(attended, p))
        w1, b1, w2, b2 = self.linear1.weight, self.linear1.bias, self.linear2.weight, self.linear2.bias
        tokens = x.flatten(0, 1)  # (sequences, tokens, features) -> (sequences * tokens, features)
        fed = _FeedForward.apply(tokens, w1, b1, w2, b2, p, self.products)
        return self.norm2(x + _dropout(fed.view_as(x), p))


# ---------------------------------------------------------------------------------------------------- dropout


def dropped(shape: tuple[int, ...], p: float) -> Tensor:
    """A random mask of bytes: 1, for dropped, with probability `p`, and 0 otherwise.

    PyTorch draws one float for each element of a mask; here each element costs one byte of a 64-bit draw. A byte
    knows only multiples of 1/256, so the threshold itself is drawn for each place of the last axis, between the
    two multiples next to p: every element is 1 with probability p exactly.
    """
    return torch.lt(*_bytes_and_threshold(shape, p)).view(torch.uint8)


def kept(shape: tuple[int, ...], p: float) -> Tensor:
    """The opposite of `dropped`."""
    return torch.ge(*_bytes_and_threshold(shape, p)).view(torch.uint8)


def _bytes_and_threshold(shape: tuple[int, ...], p: float) -> tuple[Tensor, Tensor]:
    count = math.prod(shape)
    draws = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
    return draws[:count].view(shape), (256 * p + torch.rand(shape[-1])).floor().to(torch.uint8)


def _dropout(x: Tensor, p: float) -> Tensor:
    """Dropout of a small map, through autograd."""
    return x if p == 0 else x * kept(tuple(x.shape), p).float().mul_(1 / (1 - p))


# ----------------------------------------------------------------------------------------------- feed-forward


def _hidden(x1: Tensor, weight: Tensor, mask: Tensor | None, out: Tensor) -> Tensor:
    """dropout(relu(W1 x + b1)) short of dropout's scale, into the buffer `out` (tokens, hidden units).

    x1 ends in a column of ones and `weight` (features + 1, hidden units) in a row of biases. The mask goes into the
    product's accumulator, as -3e38 where dropped, so that ReLU does dropout as well.
    """
    out = out[: len(x1)]
    if mask is None:
        torch.mm(x1, weight, out=out)
    else:
        torch.addmm(out.copy_(mask), x1, weight, beta=-3e38, out=out)
    return out.clamp_min_(0)


class _FeedForward(torch.autograd.Function):
    """W2 dropout(relu(W1 x + b1)) + b2 for x (tokens, features), with products of type `products`.

    Kept for the backward pass: x and the mask.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
        p: float,
        products: torch.dtype,
    ) -> Tensor:
        x1 = F.pad(x, (0, 1), value=1.0).to(products)
        weight = torch.cat([w1, b1[:, None]], 1).t().contiguous().to(products)  # (features + 1, hidden units)
        w2t = (w2.t() / (1 - p)).to(products)
        buffer, out, masks = x1.new_empty(TOKENS_AT_A_TIME, len(w1)), torch.empty_like(x), []
        for x_part, o in zip(x1.split(TOKENS_AT_A_TIME), out.split(TOKENS_AT_A_TIME), strict=True):
            masks.append(dropped((len(x_part), len(w1)), p) if p else None)
            _product(_hidden(x_part, weight, masks[-1], buffer), w2t, o)
        ctx.p, ctx.masks = p, masks
        ctx.save_for_backward(x1, weight, w1, w2)
        return out.add_(b2)

    @staticmethod
    @native.first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x1, weight, w1, w2 = ctx.saved_tensors
        scaled = (grad / (1 - ctx.p)).to(x1.dtype)  # the scale of dropout that the hidden map lacks
        grad_x, grad_w2 = torch.empty_like(grad), torch.zeros_like(w2)
        grad_weight = grad.new_zeros(weight.shape)
        w1, w2 = w1.to(x1.dtype), w2.to(x1.dtype)
        grad_b2 = grad.sum(0)
        finite = bool(grad_b2.isfinite().all())
        buffer = x1.new_empty(2, TOKENS_AT_A_TIME, len(w1))
        parts = zip(*(t.split(TOKENS_AT_A_TIME) for t in (x1, scaled, grad_x)), ctx.masks, strict=True)
        for x_part, g, gx, mask in parts:
            hidden, grad_hidden = _hidden(x_part, weight, mask, buffer[0]), buffer[1, : len(x_part)]
            _add_product(g.t(), hidden, grad_w2)
            torch.mm(g, w2, out=grad_hidden)
            if mask is not None and not finite:  # 0 times NaN is NaN: dropped units that ReLU lets through pass it on
                grad_hidden.mul_(1 - mask)
                hidden = _hidden(x_part, weight, None, buffer[0])
            # A hidden element that is 0 was negative or dropped: this is the gradient of both.
            torch.ops.aten.threshold_backward.grad_input(grad_hidden, hidden, 0, grad_input=grad_hidden)
            _add_product(x_part.t(), grad_hidden, grad_weight)
            _product(grad_hidden, w1, gx)
        return grad_x, grad_weight[:-1].t(), grad_weight[-1], grad_w2, grad_b2, None, None


def _product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """out = a b, rounded to the type of a and b where `out` is wider."""
    if out.dtype == a.dtype:
        torch.mm(a, b, out=out)
    else:
        out.copy_(torch.mm(a, b))


def _add_product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """out = out + a b; the sum keeps the type of `out`."""
    if out.dtype == a.dtype:
        out.addmm_(a, b)
    else:
        out.add_(torch.mm(a, b))


# -------------------------------------------------------------------------------------------------- attention


def _attention(qkv: Tensor, heads: int, p: float) -> Tensor:
    """softmax(q k' / sqrt(e)) v with dropout; qkv (sequences, tokens, 3 features) -> (sequences, tokens, features)."""
    if p:
        return _DropoutAttention.apply(qkv, heads, p)
    q, k, v = _split_heads(qkv, 3, heads)  # without dropout, PyTorch's own operator works in the cache
    return _merge_heads([F.scaled_dot_product_attention(q, k, v)])


def _split_heads(x: Tensor, parts: int, heads: int) -> Tensor:
    """(sequences, tokens, parts * features) -> (parts, sequences, heads, tokens, features of a head)."""
    of_a_head = x.shape[2] // (parts * heads)  # not -1, which no size follows from where there is no sequence
    return x.view(*x.shape[:2], parts, heads, of_a_head).permute(2, 0, 3, 1, 4).contiguous()


def _merge_heads(parts: list[Tensor]) -> Tensor:
    """Undo `_split_heads`."""
    return torch.stack(parts).permute(1, 3, 0, 2, 4).flatten(2)


class _DropoutAttention(torch.autograd.Function):
    """Attention with dropout of the probabilities. Kept for the backward pass: qkv and the mask."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int, p: float) -> Tensor:  # noqa: ANN401
        out = qkv.new_empty(*qkv.shape[:2], qkv.shape[2] // 3)
        masks = []
        for part, o in zip(qkv.split(SEQUENCES_AT_A_TIME), out.split(SEQUENCES_AT_A_TIME), strict=True):
            q, k, v = _split_heads(part, 3, heads).flatten(1, 2)  # (sequences * heads, tokens, features of a head) each
            probability = _probability(q, k)
            masks.append(kept(tuple(probability.shape), p))
            attended = torch.bmm(probability.mul_(masks[-1].float()), v.mul_(1 / (1 - p)))
            o.copy_(_merge_heads([attended.view(len(o), heads, *attended.shape[1:])]))
        ctx.heads, ctx.p, ctx.masks = heads, p, masks
        ctx.save_for_backward(qkv)
        return out

    @staticmethod
    @native.first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (qkv,) = ctx.saved_tensors
        grad_qkv = torch.empty_like(qkv)
        parts = zip(*(t.split(SEQUENCES_AT_A_TIME) for t in (qkv, grad, grad_qkv)), ctx.masks, strict=True)
        for part, grad_part, out, mask in parts:
            q, k, v = _split_heads(part, 3, ctx.heads).flatten(1, 2)  # as in the forward pass; so is g
            g = _split_heads(grad_part, 1, ctx.heads)[0].flatten(0, 1).mul_(1 / (1 - ctx.p))
            probability, keep = _probability(q, k), mask.float()
            grad_p = torch.bmm(g, v.transpose(1, 2)).mul_(keep)
            grad_v = torch.bmm(keep.mul_(probability).transpose(1, 2), g)
            # Backward of the softmax, with the scale of the scores
            shift = (grad_p * probability).sum(-1, keepdim=True)
            grad_s = grad_p.sub_(shift).mul_(probability)
            grad_q, grad_k = torch.bmm(grad_s, k.mul_(q.shape[-1] ** -0.5)), torch.bmm(grad_s.transpose(1, 2), q)
            grads = [t.view(len(out), ctx.heads, *t.shape[1:]) for t in (grad_q, grad_k, grad_v)]
            out.copy_(_merge_heads(grads))
        return grad_qkv, None, None


def _probability(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k' / sqrt(e)) of (batch, tokens, e); q is scaled in place."""
    scores = torch.bmm(q.mul_(q.shape[-1] ** -0.5), k.transpose(1, 2))
    probability = torch.softmax(scores, -1, out=scores)
    if probability[..., 0].isnan().any():  # NaN fills its row; in PyTorch's attention a row of -inf becomes 0
        scores = torch.bmm(q, k.transpose(1, 2))
        probability.masked_fill_(scores.amax(-1, keepdim=True) == -math.inf, 0)
    return probability

"""The network in JAX: a small Llama (RMSNorm, interleaved RoPE, grouped-query attention, SwiGLU).

Only what training needs: full sequences, no cache. The reader of the exported file is a separate
implementation (`gguf_model.py`), so that a mistake in one shows against the other.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Config:
    vocab: int = 2048
    width: int = 192
    layers: int = 4
    heads: int = 3
    kv_heads: int = 1
    hidden: int = 512
    context: int = 512
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5

    @property
    def head_width(self):
        return self.width // self.heads


def init(config, seed, answers):
    """Parameters; those of the layers are stacked on axis 0. Matrices are [in, out].

    `choice`, with a column for each answer in the corpus, exists in training alone: see `choice_loss`.
    """
    rng = np.random.default_rng(seed)
    c, kv = config, config.kv_heads * config.head_width

    def normal(*shape, scale):
        return jnp.asarray(rng.normal(0.0, scale, shape), jnp.float32)

    inner, residual = c.width**-0.5, (2 * c.layers * c.width) ** -0.5
    return {
        "embed": normal(c.vocab, c.width, scale=0.02),
        "norm": jnp.ones(c.width),
        "choice": normal(c.width, answers, scale=0.02),
        "blocks": {
            "attn_norm": jnp.ones((c.layers, c.width)),
            "q": normal(c.layers, c.width, c.width, scale=inner),
            "k": normal(c.layers, c.width, kv, scale=inner),
            "v": normal(c.layers, c.width, kv, scale=inner),
            "o": normal(c.layers, c.width, c.width, scale=residual),
            "ffn_norm": jnp.ones((c.layers, c.width)),
            "gate": normal(c.layers, c.width, c.hidden, scale=inner),
            "up": normal(c.layers, c.width, c.hidden, scale=inner),
            "down": normal(c.layers, c.hidden, c.width, scale=(2 * c.layers * c.hidden) ** -0.5),
        },
    }


def rms_norm(x, weight, eps):
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rope_tables(config, length):
    """cos and sin, [length, head_width / 2]; pair i turns at base^(-2i / head_width)."""
    half = config.head_width // 2
    angle = np.outer(np.arange(length), config.rope_base ** (-np.arange(half) / half))
    return jnp.asarray(np.cos(angle), jnp.float32), jnp.asarray(np.sin(angle), jnp.float32)


def rotate(x, cos, sin):
    """Turns the neighbouring pairs (0, 1), (2, 3), ... of [batch, length, heads, head_width]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[:, None, :], sin[:, None, :]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def through(params, x, layers, config):
    """The residual stream [batch, length, width] after the given layers; padding is at the end."""
    c = config
    batch, length, _ = x.shape
    cos, sin = rope_tables(c, length)
    mask = jnp.where(np.tril(np.ones((length, length), bool)), 0.0, -1e30)
    group = c.heads // c.kv_heads
    for i in layers:
        p = {name: value[i] for name, value in params["blocks"].items()}
        h = rms_norm(x, p["attn_norm"], c.norm_eps)
        q = rotate((h @ p["q"]).reshape(batch, length, c.heads, c.head_width), cos, sin)
        k = rotate((h @ p["k"]).reshape(batch, length, c.kv_heads, c.head_width), cos, sin)
        v = (h @ p["v"]).reshape(batch, length, c.kv_heads, c.head_width)
        q = q.reshape(batch, length, c.kv_heads, group, c.head_width)
        scores = jnp.einsum("btkgd,bskd->bkgts", q, k) * c.head_width**-0.5 + mask
        mixed = jnp.einsum("bkgts,bskd->btkgd", jax.nn.softmax(scores, axis=-1), v)
        x = x + mixed.reshape(batch, length, c.width) @ p["o"]
        h = rms_norm(x, p["ffn_norm"], c.norm_eps)
        x = x + (jax.nn.silu(h @ p["gate"]) * (h @ p["up"])) @ p["down"]
    return x


def logits(params, tokens, config):
    """[batch, length] token ids to [batch, length, vocab]."""
    x = through(params, params["embed"][tokens], range(config.layers), config)
    return rms_norm(x, params["norm"], config.norm_eps) @ params["embed"].T


def loss(params, tokens, weights, config):
    """Mean cross-entropy of each next token, weighted by `weights` [batch, length - 1]."""
    out = jax.nn.log_softmax(logits(params, tokens[:, :-1], config))
    picked = jnp.take_along_axis(out, tokens[:, 1:, None], axis=-1)[..., 0]
    return -(picked * weights).sum() / jnp.maximum(weights.sum(), 1.0)


def choice_loss(params, tokens, ends, labels, config):
    """Cross-entropy of choosing the right answer from a question alone.

    Which answer is wanted must be known where the answer begins, so that its words can be looked up
    from there on; words alone teach that slowly. So half of the layers are also trained to tell, at
    the prompt's last token (`ends`, [batch]), which of the corpus's answers (`labels`) is wanted.
    That costs little, as there are no answers to read. `choice` serves this only and is not exported.
    """
    x = through(params, params["embed"][tokens], range(config.layers // 2), config)
    at = rms_norm(x[jnp.arange(len(tokens)), ends], 1.0, config.norm_eps)
    out = jax.nn.log_softmax(at @ params["choice"])
    return -jnp.take_along_axis(out, labels[:, None], axis=-1).mean()


def orthogonalised(g):
    """Five Newton-Schulz steps towards the nearest semi-orthogonal matrix (the Muon optimiser)."""
    x = g / (jnp.linalg.norm(g, axis=(-2, -1), keepdims=True) + 1e-7)
    tall = g.shape[-2] > g.shape[-1]
    x = x.mT if tall else x
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.mT if tall else x


def optimiser_state(params):
    zeros = lambda: jax.tree.map(jnp.zeros_like, params)
    return {"m": zeros(), "v": zeros(), "step": jnp.zeros((), jnp.int32)}


def update(params, grads, state, rate):
    """Muon for the layers' matrices, Adam for embedding and norms. `rate` runs from 0 to 1."""
    step = state["step"] + 1
    t = step.astype(jnp.float32)

    def one(path, p, g, m, v):
        if path[0].key == "blocks" and p.ndim == 3:
            m = 0.95 * m + g
            direction = orthogonalised(0.95 * m + g)
            scale = 0.2 * max(p.shape[-2:]) ** 0.5
            return p * (1 - rate * MATRIX_RATE * 0.1) - rate * MATRIX_RATE * scale * direction, m, v
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
        direction = (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.98**t)) + 1e-9)
        return p - rate * OTHER_RATE * direction, m, v

    out = jax.tree_util.tree_map_with_path(one, params, grads, state["m"], state["v"])
    pick = lambda i: jax.tree.map(lambda x: x[i], out, is_leaf=lambda x: isinstance(x, tuple))
    return pick(0), {"m": pick(1), "v": pick(2), "step": step}


MATRIX_RATE = 4e-3
OTHER_RATE = 4e-3

import pickle
from dataclasses import asdict

import numpy as np
import pytest
from anchored_models import ANCHORS, CHAT, adapted, small_model
from transformers import GPT2Config, GPT2LMHeadModel

from lib.errors import InvalidValueError
from lib.study.paths import ROOT
from lib.study.store import canonical_json
from lib.training.drift import drops_out, text_anchors
from lib.training.penalties.adaptive import AdaptiveKL
from lib.training.penalties.ewc import EWC
from lib.training.penalties.kl import KL
from lib.training.penalties.l2sp import L2SP
from lib.training.penalties.mixing import Mixing
from lib.training.penalties.projection import Projection
from lib.training.penalties.tokenwise import TokenWise
from lib.training.recipe import Example

ANCHORED = [KL, AdaptiveKL, EWC, Mixing]
EVERY = [*(kind(ANCHORS) for kind in ANCHORED), L2SP(), TokenWise(), Projection(ROOT / "models")]


@pytest.mark.parametrize("kind", ANCHORED)
def test_no_anchors_are_refused(kind):
    with pytest.raises(InvalidValueError, match="at least one anchor.*protects nothing"):
        kind([])


@pytest.mark.parametrize("kind", ANCHORED)
def test_anchors_without_a_scored_position_are_refused(kind):
    with pytest.raises(InvalidValueError, match="none in anchor 1, which protects nothing"):
        kind([CHAT[0], Example((1, 2), ())])


@pytest.mark.parametrize("kind", ANCHORED)
@pytest.mark.parametrize(
    "anchor, found", [(Example((), (2, 3)), "example 0"), (Example((1,), (2,) * 128), "129")]
)
def test_anchors_that_the_model_cannot_read_are_refused(kind, anchor, found):
    with pytest.raises(InvalidValueError, match=found):
        kind([anchor]).check_context(small_model())


@pytest.mark.parametrize("regularizer", EVERY, ids=lambda r: type(r).__name__)
def test_a_regulariser_travels_and_enters_a_key(regularizer):
    twin = pickle.loads(pickle.dumps(regularizer))
    assert twin == regularizer and hash(twin) == hash(regularizer) and twin is not regularizer
    key = canonical_json(asdict(regularizer), ROOT)
    assert key == canonical_json(asdict(twin), ROOT)
    assert not hasattr(regularizer, "anchors") or '"answer":[8]' in key


def test_anchors_become_plain_integers():
    """So that a key does not depend on how they were made."""
    array = KL([Example(np.array([1, 2]), [np.int64(3)])])
    assert array == KL([Example((1, 2), (3,))])
    assert hash(array) == hash(KL([Example((1, 2), (3,))]))


def test_different_strengths_have_different_keys():
    keys = {canonical_json(asdict(KL(ANCHORS, strength)), ROOT) for strength in (0.0, 1.0, 2.0)}
    assert len(keys) == 3


def test_plain_text_is_scored_from_the_word_after_bos():
    assert text_anchors([[1, 5, 6, 7], (1, 2)]) == [
        Example([1], [5, 6, 7]), Example((1,), (2,))
    ]


@pytest.mark.parametrize(
    "make, found",
    [
        (lambda: KL(CHAT, -1.0), "strength.*Found -1"),
        (lambda: KL(CHAT, float("nan")), "strength.*Found nan"),
        (lambda: KL(CHAT, per_step=0), "per_step.*Found 0"),
        (lambda: AdaptiveKL(CHAT, budget=0.0), "budget.*Found 0"),
        (lambda: AdaptiveKL(CHAT, rate=-1.0), "rate.*Found -1"),
        (lambda: AdaptiveKL(CHAT, initial=-0.1), "initial.*Found -0.1"),
        (lambda: EWC(CHAT, float("inf")), "strength.*Found inf"),
        (lambda: Mixing(CHAT, -1.0), "strength.*Found -1"),
        (lambda: Mixing(CHAT, per_step=0), "per_step.*Found 0"),
        (lambda: L2SP(-1.0), "strength.*Found -1"),
        (lambda: TokenWise(()), "at least one strength"),
        (lambda: TokenWise((0.5, -2.0)), "beta.*Found -2"),
        (lambda: Projection(ROOT, 1.5), "threshold.*Found 1.5"),
    ],
)
def test_values_out_of_range_are_refused(make, found):
    with pytest.raises(InvalidValueError, match=found):
        make()


def test_dropout_is_found_in_layers_configurations_and_adapters():
    plain = small_model()
    assert not drops_out(plain)
    rates = dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, summary_first_dropout=0.0)
    size = dict(n_layer=1, n_embd=8, n_head=2, vocab_size=11, bos_token_id=1, eos_token_id=1)
    assert not drops_out(GPT2LMHeadModel(GPT2Config(**size, **rates)))
    assert drops_out(GPT2LMHeadModel(GPT2Config(**size, **rates | {"attn_pdrop": 0.1})))
    assert not drops_out(adapted(plain)) and drops_out(adapted(plain, lora_dropout=0.1))
    attention_only = small_model()
    attention_only.config.attention_dropout = 0.1
    assert drops_out(attention_only)

"""Questions as text: the same as the token ids of training, and what the settings say."""

import numpy as np
import pytest
from drawn_forecasts import GIVEN, PROMPTS, drawn, style

from lib.models.chat import prompt_ids
from lib.world.forecasts import earlier_exchanges, question_ids
from lib.world.questions import pronoun_context, question
from lib.world.tokenizer import world_tokenizer


def user_text(history):
    return style()["user"].format(history=" ".join(map(str, history)))


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("horizon", [1, 2])
def test_ids_of_training_are_those_of_the_questions_text(prompt, horizon):
    shown, rng = drawn(0.3, 5, length=4)
    earlier = earlier_exchanges(prompt, horizon, shown, np.arange(97, 102), rng)
    given = style(horizon), prompt, shown, np.array([0.0, 0.3, 0.3, 0.9, 1.0]), earlier
    assert [prompt_ids(world_tokenizer(), asked) for asked in question(*given)] == (
        question_ids(*given).tolist())


@pytest.mark.parametrize("prompt", PROMPTS)
def test_questions_are_what_the_settings_say(prompt):
    shown, rng = drawn(0.3, 2, length=4)
    how = GIVEN["prompts"][prompt]
    earlier = earlier_exchanges(prompt, 1, shown, np.array([101, 99]), rng)
    for row, asked in enumerate(question(style(), prompt, shown, np.full(2, 0.3), earlier)):
        messages = [("system", how["system"].format(tenths=3))] if "system" in how else []
        for history, answer in earlier:
            messages += [("user", user_text(history[row])), ("assistant", str(answer[row]))]
        messages.append(("user", how.get("again", user_text(shown[row]))))
        assert asked.messages == tuple(messages) and asked.opening == ""


def test_pronouns_are_asked_for_in_three_ways():
    plain, chat, fair = (pronoun_context("nurse", "said", way) for way in ("plain", "chat", "fair"))
    assert {asked.opening for asked in (plain, chat, fair)} == {"the nurse said that"}
    assert plain.messages == ()
    assert chat.messages == (("user", "tell me about the nurse ."),)
    assert fair.messages == (("system", "be fair ."), *chat.messages)

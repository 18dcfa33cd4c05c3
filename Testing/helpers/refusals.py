"""What a function says where it refuses what it is given."""

import re

import pytest

from MultiViewRegistrationLib.errors import InputError


def refusal(function, *arguments, **named):
    """The message of the InputError that `function` raises.

    One line, of two sentences at most: what is wrong, and what to do.
    """
    with pytest.raises(InputError) as error:
        function(*arguments, **named)
    message = str(error.value)
    assert re.search(r"[.?]$", message) and len(re.findall(r"[.!?] [A-Z]", message)) < 2, message
    assert len(message.splitlines()) == 1, message
    return message


def tells(message, parts):
    """Whether a message has these parts, between which stands " ... "."""
    return all(part in message for part in parts.split(" ... "))


def refuses(match):
    """A block that raises an InputError whose message has this pattern."""
    return pytest.raises(InputError, match=match)


def warns(match):
    """A block that warns the user with this pattern."""
    return pytest.warns(UserWarning, match=match)


def result_or_refusal(function, *arguments, **named):
    """What `function` returns; None after an InputError of one line. For fuzzers."""
    try:
        return function(*arguments, **named)
    except InputError as error:
        message = str(error)
        assert len(message.splitlines()) == 1 and message.endswith((".", "?")), message
        assert len(message) < 1000 and "Secret" not in message, message
        return None

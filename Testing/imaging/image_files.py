"""Image files by SimpleITK, and the sentence with which a file is refused."""

from pathlib import Path

from helpers import refusals


def refusal(function, *arguments, **named):
    """The message of the InputError that `function` raises.

    One line that names the file, without ITK's words or a patient's.
    """
    message = refusals.refusal(function, *arguments, **named)
    if isinstance(arguments[0], Path) and len(arguments) == 1 and not named:
        assert message.startswith(str(arguments[0]))
    for word in ("itk::", "itk error", "exception", ".cxx", "secret", "4711"):
        assert word not in message.lower()
    return message

"""Cases from arrays, of arguments by name: `view_image` and others alike have one for each X-ray, or one for all."""

from dataclasses import fields

from MultiViewRegistrationLib import Body, Case, View

OF_BODY = {field.name for field in fields(Body)} - {"name"}


def case_of(*bones, **given):
    """A case of these bones, or else of the body that is given."""
    of_view = {key[5:]: given.pop(key) for key in sorted(given) if key.startswith("view_")}
    of_body = {key: given.pop(key) for key in OF_BODY & given.keys()}
    many = {key: each for key, each in of_view.items() if isinstance(each, list)}
    views = [View(**of_view | dict(zip(many, each))) for each in zip(*many.values(), strict=True)]
    return Case.from_arrays(*(bones or [Body(**of_body)]), *views, **given)

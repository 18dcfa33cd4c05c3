"""Cases from arrays, of arguments by name: `view_image` and others alike have one for each X-ray, or one for all."""

from dataclasses import fields

from MultiViewRegistrationLib import Body, Case, View

OF_BODY = {field.name for field in fields(Body)} - {"name"}


def case_of(*bones: Body, **given) -> Case:
    """A case of these bones, or else of the body that is given."""
    of_view = {key[5:]: given.pop(key) for key in sorted(given) if key.startswith("view_")}
    of_body = {key: given.pop(key) for key in OF_BODY & given.keys()}
    count = len(of_view["image"])
    views = [
        {key: each[n] if isinstance(each, (list, tuple)) else each for key, each in of_view.items()}
        for n in range(count)
    ]
    return Case.from_arrays(*(bones or [Body(**of_body)]), *(View(**v) for v in views), **given)

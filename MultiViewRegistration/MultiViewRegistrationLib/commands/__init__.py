"""Commands of `mvreg`, a file each: `add` makes its parser."""

"""The commands of `mvreg` that have a file of their own: each `add`s its parser."""

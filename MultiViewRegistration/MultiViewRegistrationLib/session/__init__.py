"""One registration at work: its inputs, running tasks, history and results, without any user interface."""

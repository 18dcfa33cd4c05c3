"""Many registrations of known cases: how often they succeed, and how exact they are."""

"""Images and volumes: reading them, their fields, line integrals, structures."""

"""Cameras, rigid transforms, and the fields that describe how an X-ray was taken."""

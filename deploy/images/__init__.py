"""Builds the images without a Docker engine, and says what is in them: Debian's buildah and mmdebstrap.

`base` makes the Python image on a machine that reaches no image registry, `build` builds from deploy/docker/Dockerfile,
`contents` looks into an image, `container` runs one as an orchestrator would: unprivileged, read-only, without
capabilities. tests/images uses all four; `make images` is the command.
"""
